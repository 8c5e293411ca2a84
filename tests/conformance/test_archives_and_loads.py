"""Archives that are refused, loads that are given up, and models that have to be signed."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from support.server import Server, ServerDidNotStart, ServerPool, manifest
from support.waiting import eventually

from archiver.signing.keys import generate_key, load_private_key
from archiver.signing.sign import sign

pytestmark = pytest.mark.better_than_mms

HANDLE = "def handle(data, context):\n    return ['OK'] * len(data or [])\n"


def _unpacked(server: Server) -> list[str]:
    """What lies in the folders of unpacked archives."""
    return [str(path) for path in server.temporary.glob("*/models/*") if path.name[0] != "."]


def _write_zip(path: Path, entries: dict[str, str | bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_a_hostile_archive_is_refused_by_name_and_leaves_nothing(
    server: Server, scratch: Path
) -> None:
    before = _unpacked(server)
    _write_zip(server.store / "evil.mar", {"service.py": HANDLE, "../../evil.py": "import os"})
    reply = server.register("evil.mar", model_name="evil", handler="service:handle")
    assert reply.status == 400
    assert reply.json()["type"] == "InvalidModelException"
    assert "'../../evil.py' leaves the archive" in reply.json()["message"]
    assert _unpacked(server) == before
    assert not list(server.directory.rglob("evil.py"))


def _write_folder(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_folder_that_is_alone_in_a_folder_is_the_model(main_server: Server) -> None:
    files = {
        "alone/service.py": HANDLE,
        "alone/MAR-INF/MANIFEST.json": json.dumps(manifest("alone")),
    }
    _write_folder(main_server.store / "around", files)
    assert main_server.register("around").status == 200
    main_server.unregister("alone")


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_of_a_manifest_one_level_down_the_refusal_says_where_it_is(
    main_server: Server, kind: str
) -> None:
    files = {
        "resnet/service.py": HANDLE,
        "resnet/MAR-INF/MANIFEST.json": json.dumps(manifest("resnet")),
    }
    url = f"parent-{kind}"
    if kind == "zip":
        url += ".mar"
        _write_zip(main_server.store / url, files)
    else:
        # The only folder in one would be taken for it.
        _write_folder(main_server.store / url, {**files, "data/words.txt": "a"})
    reply = main_server.register(url)
    assert reply.status == 400
    assert reply.json()["message"].startswith("Model name is not defined. ")
    assert "MAR-INF lies one level down, in 'resnet'" in reply.json()["message"]


def test_an_archive_says_how_deep_its_manifest_lies_or_that_it_has_none(
    main_server: Server,
) -> None:
    deep = {"out/resnet/service.py": HANDLE}
    _write_zip(main_server.store / "bare.mar", deep)
    message = main_server.register("bare.mar").json()["message"]
    assert message == (
        "Model name is not defined. The archive has no MAR-INF/MANIFEST.json: pack it with model-archiver, or register "
        "it with model_name and handler."
    )
    deep["out/resnet/MAR-INF/MANIFEST.json"] = json.dumps(manifest("resnet"))
    _write_zip(main_server.store / "deep.mar", deep)
    message = main_server.register("deep.mar").json()["message"]
    assert "MAR-INF lies 2 levels down, in 'out/resnet'" in message


def test_a_syntax_error_is_described_with_file_and_line(main_server: Server) -> None:
    files = {"MAR-INF/MANIFEST.json": json.dumps(manifest("syntax", "sub/service.py:handle"))}
    _write_zip(main_server.store / "syntax.mar", files | {"sub/service.py": "\n\ndef (:\n"})
    reply = main_server.register("syntax.mar", initial_workers=1, synchronous="false")
    assert reply.status == 202, reply
    described = eventually(
        "the load has failed", lambda: main_server.describe("syntax").get("loadError")
    )
    main_server.unregister("syntax")
    assert described == "SyntaxError: invalid syntax (sub/service.py, line 3)"


def test_a_load_that_hangs_is_given_up_after_its_load_timeout(server: Server) -> None:
    url = server.write_model(
        "hangs-at-import", "while True:\n    pass\n", manifest("hangs", "service:handle")
    )
    reply = server.register(url, initial_workers=1, synchronous="true", load_timeout=1)
    assert reply.status == 500
    assert reply.json()["message"] == "Failed to start workers"
    assert server.management.get("/models/hangs").status == 404
    server.wait_for_log("mms_log.log", "model did not load within 1 seconds")


@pytest.mark.parametrize("value", ["-1", "soon", "nan"])
def test_a_load_timeout_is_a_number_of_seconds(server: Server, value: str) -> None:
    reply = server.register("obey", load_timeout=value)
    assert reply.status == 400
    assert "Parameter load_timeout must be a number of seconds" in reply.json()["message"]


def test_limits_of_archives_are_settings(start_server: Callable[..., Server]) -> None:
    server = start_server({"max_archive_entries": "3", "max_archive_size": "100000"})
    _write_zip(server.store / "many.mar", {f"f{index}": "" for index in range(4)})
    message = server.register("many.mar", model_name="m", handler="f:f").json()["message"]
    assert message == "The archive has more than 3 entries (the first one too many is 'f3')."
    _write_zip(server.store / "large.mar", {"zeros": b"\0" * 100_001})
    message = server.register("large.mar", model_name="m", handler="f:f").json()["message"]
    assert message.startswith("The archive unpacks to more than 100000 bytes")


class Signed:
    """A server that asks for signatures, and how to make them."""

    def __init__(self, start: Callable[..., Server], servers: ServerPool) -> None:
        directory = servers.new_directory()
        self.keys = directory / "keys"
        self.keys.mkdir(parents=True)
        generate_key(self.keys / "ours")
        generate_key(directory / "theirs")
        self.server = start(
            {"require_signature": "true", "trusted_keys": str(self.keys / "ours.pub")},
            directory=directory,
        )

    def write(self, name: str, key: str | None = "keys/ours") -> str:
        url = self.server.write_model(name, HANDLE, manifest(name, "service:handle"))
        if key is not None:
            sign(self.server.store / url, load_private_key(self.keys.parent / f"{key}.key"))
        return url


@pytest.fixture(scope="module")
def signed(servers: ServerPool) -> Iterator[Signed]:
    started: list[Server] = []

    def start(settings: dict[str, str], directory: Path) -> Server:
        server = Server(directory, settings)
        started.append(server)
        return server.start()

    yield Signed(start, servers)
    for server in started:
        server.stop()


def test_a_signed_model_is_served_and_says_who_has_signed_it(signed: Signed) -> None:
    server = signed.server
    reply = server.register(signed.write("good"), initial_workers=1, synchronous="true")
    assert reply.status == 200, reply
    assert server.inference.post("/predictions/good", b"x").text == "OK"
    assert len(server.describe("good")["signedBy"]) == 32
    # Workers run the copy that was looked at.
    (server.store / "good" / "service.py").write_text("raise SystemExit")
    scaled = server.management.put("/models/good?min_worker=2&synchronous=true")
    assert scaled.status == 200
    assert server.inference.post("/predictions/good", b"x").text == "OK"


def test_models_that_no_trusted_key_has_signed_are_refused(signed: Signed) -> None:
    before = _unpacked(signed.server)
    reply = signed.server.register(signed.write("unsigned", None))
    assert reply.status == 400
    assert reply.json()["type"] == "InvalidModelException"
    assert reply.json()["message"] == "The archive is not signed."
    reply = signed.server.register(signed.write("foreign", "theirs"))
    assert reply.status == 400
    assert "none of the trusted keys" in reply.json()["message"]
    assert _unpacked(signed.server) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("handler", "os:system"),
        ("runtime", "python3"),
        ("model_path", "/tmp"),
        ("parameters", '[{"name": "model_uri", "value": "/tmp", "type": "STRING"}]'),
        ("class_args", '{"model_path": "/tmp"}'),
    ],
)
def test_what_runs_is_not_for_a_registration_to_say(signed: Signed, name: str, value: str) -> None:
    url = signed.write(f"with-{name}")
    reply = signed.server.register(url, **{name: value})
    assert reply.status == 400
    assert reply.json()["type"] == "BadRequestException"
    assert "because require_signature is on" in reply.json()["message"]
    assert name in reply.json()["message"] or "argument model_uri" in reply.json()["message"]


def test_code_in_a_request_is_refused(signed: Signed) -> None:
    reply = signed.server.management.post_json("/models", {"serving_spec": {"spec": {}}})
    assert reply.status == 400
    assert (
        "Parameter serving_spec is refused because require_signature is on"
        in reply.json()["message"]
    )


def test_model_files_from_elsewhere_are_refused(signed: Signed) -> None:
    folder = signed.server.store / "weights"
    os.makedirs(folder)
    (folder / "model.joblib").write_bytes(b"pickle")
    reply = signed.server.management.post_json(
        "/models", {"prepackaged": "sklearn", "model_uri": str(folder), "model_name": "weights"}
    )
    assert reply.status == 400
    assert "is not in the signed archive" in reply.json()["message"]


@pytest.mark.parametrize("keys", ["", "missing.pub"])
def test_a_server_that_could_trust_nobody_does_not_start(
    start_server: Callable[..., Server], keys: str
) -> None:
    with pytest.raises(ServerDidNotStart) as caught:
        start_server({"require_signature": "true", "trusted_keys": keys})
    assert caught.value.exit_code == 1
    assert "Invalid configuration" in str(caught.value)
    assert "trusted_keys" in str(caught.value)
