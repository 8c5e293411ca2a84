"""`POST /models`."""

from __future__ import annotations

import http.server
import json
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.background import Background
from support.client import Reply
from support.processes import free_port, is_original
from support.server import Server, ServerPool, manifest, unique_name

from .archives import archive_bytes, model_files, write_archive, zip_folder


def _error(reply: Reply) -> tuple[int, int, str, str]:
    body = reply.json()
    return reply.status, body["code"], body["type"], body["message"]


def _refusal(status: int, kind: str, message: str) -> tuple[int, int, str, str]:
    return status, status, kind, message


def test_registering_without_workers_says_registered(main_server: Server) -> None:
    name = unique_name("noop")
    reply = main_server.register("noop", model_name=name)
    assert (reply.status, reply.json()) == (200, {"status": f'Model "{name}" registered'})
    assert main_server.describe(name)["workers"] == []
    main_server.unregister(name)


@pytest.mark.parametrize("synchronous", ["true", "false"])
def test_registering_without_workers_does_not_depend_on_synchronous(
    main_server: Server, synchronous: str
) -> None:
    name = unique_name("noop")
    reply = main_server.register(
        "noop", model_name=name, initial_workers=0, synchronous=synchronous
    )
    assert (reply.status, reply.status_text) == (200, f'Model "{name}" registered')
    main_server.unregister(name)


def test_registering_with_workers_waits_for_them_by_default(main_server: Server) -> None:
    name = unique_name("noop")
    reply = main_server.register("noop", model_name=name, initial_workers=1)
    assert (reply.status, reply.json()) == (200, {"status": "Workers scaled"})
    assert main_server.inference.get(f"/predictions/{name}").body == b"OK"
    main_server.unregister(name)


def test_registering_in_the_background_answers_at_once(main_server: Server) -> None:
    name = unique_name("noop")
    reply = main_server.register("noop", model_name=name, initial_workers=1, synchronous="false")
    assert (reply.status, reply.json()) == (202, {"status": "Processing worker updates..."})
    assert main_server.inference.get(f"/predictions/{name}").body == b"OK"
    main_server.unregister(name)


def test_only_true_means_that_a_registration_waits(main_server: Server) -> None:
    with main_server.registered("noop") as name:
        for word in ("1", "yes", "on", "y", "t", ""):
            other = f"{name}-{word}"
            reply = main_server.register(
                "noop", model_name=other, initial_workers=1, synchronous=word
            )
            assert (reply.status, reply.status_text) == (202, "Processing worker updates..."), word
            main_server.unregister(other)
            path = f"/models/{name}?min_worker=1&synchronous={word}"
            assert main_server.management.put(path).status == 202, word


@pytest.mark.better_than_mms
def test_a_word_that_looks_like_true_and_is_not_is_warned_about(main_server: Server) -> None:
    with main_server.registered("noop") as name:
        reply = main_server.management.put(f"/models/{name}?min_worker=1&synchronous=yes")
        assert "synchronous='yes' means false; only true is true" in (reply.header("Warning") or "")
        order = {"url": "noop", "model_name": f"{name}-2", "synchronous": 1}
        refused = main_server.management.post_json("/models", order)
        assert refused.status == 400
        assert "synchronous must be true or false, not 1" in refused.json()["message"]


def test_a_legacy_model_is_registered_with_a_runtime(main_server: Server) -> None:
    name = unique_name("legacy")
    reply = main_server.register(
        "noop-v0.1", model_name=name, runtime="python", synchronous="false"
    )
    assert (reply.status, reply.status_text) == (200, f'Model "{name}" registered')
    main_server.unregister(name)


def test_a_legacy_model_is_named_by_its_manifest(main_server: Server) -> None:
    reply = main_server.register("noop-v0.1")
    assert (reply.status, reply.status_text) == (200, 'Model "noop_v0.1" registered')
    main_server.unregister("noop_v0.1")


def test_lenient_json_registers(main_server: Server) -> None:
    name = unique_name("noop")
    body = (
        f"{{'url':'noop-v0.1', 'model_name':'{name}', 'initial_workers':'1', 'synchronous':'true'}}"
    )
    reply = main_server.management.post("/models", body, content_type="application/json")
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    main_server.unregister(name)


def test_strict_json_registers_and_unknown_members_do_not_matter(main_server: Server) -> None:
    name = unique_name("noop")
    order = {"url": "noop", "model_name": name, "initial_workers": 1, "other": [{"x": None}]}
    reply = main_server.management.post_json("/models", order)
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    main_server.unregister(name)


@pytest.mark.parametrize("content_type", ["Application/JSON", "application/json; charset=utf-8"])
def test_a_json_body_replaces_the_query(main_server: Server, content_type: str) -> None:
    name = unique_name("noop")
    reply = main_server.management.post(
        "/models?url=absent&model_name=other",
        json.dumps({"url": "noop", "model_name": name}),
        content_type=content_type,
    )
    assert (reply.status, reply.status_text) == (200, f'Model "{name}" registered')
    main_server.unregister(name)


def test_a_form_body_is_not_read(main_server: Server) -> None:
    reply = main_server.management.post(
        "/models", b"url=noop", content_type="application/x-www-form-urlencoded"
    )
    assert _error(reply) == _refusal(400, "BadRequestException", "Parameter url is required.")


@pytest.mark.better_than_mms
@pytest.mark.parametrize("body", [b"", b"{", b"{'url': ", b"[1, 2", b"nothing of the kind at all"])
def test_json_that_cannot_be_read_is_400(main_server: Server, body: bytes) -> None:
    reply = main_server.management.post("/models", body, content_type="application/json")
    assert (reply.status, reply.json()["type"]) == (400, "BadRequestException")
    assert reply.json()["message"]


def test_a_url_is_required(main_server: Server) -> None:
    expected = _refusal(400, "BadRequestException", "Parameter url is required.")
    assert _error(main_server.management.post("/models")) == expected
    assert _error(main_server.management.post("/models?model_url=noop")) == expected
    assert _error(main_server.management.post_json("/models", {"model_name": "x"})) == expected


def test_the_runtime_is_checked_before_the_url_is_looked_for(main_server: Server) -> None:
    reply = main_server.register("InvalidUrl", runtime="InvalidRuntime")
    assert _error(reply) == _refusal(
        400, "BadRequestException", "Invalid RuntimeType value: InvalidRuntime"
    )


@pytest.mark.parametrize("runtime", ["PYTHON", "python4", "java", "Python3"])
def test_only_the_three_runtimes_are_accepted(main_server: Server, runtime: str) -> None:
    reply = main_server.register("noop", runtime=runtime)
    assert _error(reply) == _refusal(
        400, "BadRequestException", f"Invalid RuntimeType value: {runtime}"
    )


@pytest.mark.parametrize("runtime", ["python", "python3"])
def test_a_runtime_is_used_and_shown(main_server: Server, runtime: str) -> None:
    with main_server.registered("noop", runtime=runtime) as name:
        assert main_server.describe(name)["runtime"] == runtime
        assert main_server.inference.get(f"/predictions/{name}").body == b"OK"


def test_a_url_that_is_not_in_the_store_is_404(main_server: Server) -> None:
    assert _error(main_server.register("nothing-like-it.mar")) == _refusal(
        404, "ModelNotFoundException", "Model not found in model store: nothing-like-it.mar"
    )


@pytest.mark.parametrize("url", ["../fake.mar", "noop/../noop", "..", "noop/.."])
def test_a_url_with_two_dots_is_refused(main_server: Server, url: str) -> None:
    assert _error(main_server.register(url)) == _refusal(
        404, "ModelNotFoundException", f"Relative path is not allowed in url: {url}"
    )


def test_an_absolute_path_is_taken_below_the_store(main_server: Server) -> None:
    with main_server.registered("/noop") as name:
        assert main_server.describe(name)["modelUrl"] == "/noop"


def test_a_model_in_a_folder_of_the_store_is_found(main_server: Server) -> None:
    folder = main_server.store / "nested" / "deep"
    folder.mkdir(parents=True, exist_ok=True)
    zip_folder(main_server.store / "noop", folder / "noop.mar")
    with main_server.registered("nested/deep/noop.mar") as name:
        assert main_server.inference.get(f"/predictions/{name}").body == b"OK"


def test_a_taken_name_is_a_conflict(main_server: Server) -> None:
    with main_server.registered("noop-v0.1", initial_workers=0) as name:
        reply = main_server.register("noop-v0.1", model_name=name)
        assert _error(reply) == _refusal(
            409, "ConflictStatusException", f"Model {name} is already registered."
        )
        assert main_server.describe(name)["modelName"] == name


def test_a_taken_name_is_noticed_without_a_worker_being_harmed(main_server: Server) -> None:
    with main_server.registered("obey") as name:
        before = main_server.inference.post_json(f"/predictions/{name}", {}).text
        assert main_server.register("obey", model_name=name, initial_workers=1).status == 409
        assert main_server.inference.post_json(f"/predictions/{name}", {}).text == before


def test_a_url_with_a_bad_port_is_404(main_server: Server) -> None:
    assert _error(main_server.register("http://localhost:aaaa")) == _refusal(
        404, "ModelNotFoundException", "Invalid model url: http://localhost:aaaa"
    )


def test_a_host_that_does_not_listen_is_400(main_server: Server) -> None:
    url = f"http://localhost:{free_port()}/fake.mar"
    status, code, kind, message = _error(main_server.register(url))
    assert (status, code, kind) == (400, 400, "DownloadModelException")
    assert message.startswith(f"Failed to download model from: {url}")


class _Archives(http.server.BaseHTTPRequestHandler):
    content: ClassVar[dict[str, bytes]] = {}
    etag: ClassVar[str | None] = None

    def do_GET(self) -> None:
        body = self.content.get(self.path)
        if self.path == "/redirect.mar":
            self.send_response(302)
            self.send_header("Location", "/noop.mar")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        if self.path.startswith("/tagged"):
            self.send_header("ETag", '"../../escaped"')
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *arguments: Any) -> None:
        return


@contextmanager
def _archive_host() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), _Archives)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_remote_archive_is_registered_and_described(main_server: Server) -> None:
    _Archives.content = {"/noop.mar": archive_bytes(model_files(manifest("remote")))}
    with _archive_host() as host:
        name = unique_name("remote")
        reply = main_server.register(f"{host}/noop.mar", model_name=name)
        assert (reply.status, reply.status_text) == (200, f'Model "{name}" registered')
        assert main_server.management.get(f"/models/{name}").status == 200
        assert main_server.describe(name)["modelUrl"] == f"{host}/noop.mar"
        assert main_server.management.get("/models").status == 200
        main_server.unregister(name)


def test_a_remote_archive_serves(main_server: Server) -> None:
    _Archives.content = {"/noop.mar": archive_bytes(model_files(manifest("remote")))}
    with _archive_host() as host:
        for url in (f"{host}/noop.mar", f"{host}/redirect.mar"):
            with main_server.registered(url) as name:
                assert main_server.inference.get(f"/predictions/{name}").body == b"OK"


@pytest.mark.better_than_mms
def test_an_entity_tag_cannot_choose_a_folder(main_server: Server) -> None:
    _Archives.content = {"/tagged.mar": archive_bytes(model_files(manifest("remote")))}
    with _archive_host() as host, main_server.registered(f"{host}/tagged.mar") as name:
        assert main_server.inference.get(f"/predictions/{name}").body == b"OK"
        assert not list(main_server.directory.rglob("escaped"))


def test_the_status_of_a_refused_download_is_told(main_server: Server) -> None:
    with _archive_host() as host:
        url = f"{host}/absent.mar"
        assert _error(main_server.register(url)) == _refusal(
            400, "DownloadModelException", f"Failed to download model from: {url}, code: 404"
        )


@pytest.mark.better_than_mms
def test_a_slow_download_does_not_hold_up_other_requests(main_server: Server) -> None:
    asked = threading.Event()
    release = threading.Event()

    class Slow(_Archives):
        def do_GET(self) -> None:
            asked.set()
            release.wait(20)
            super().do_GET()

    host = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Slow)
    thread = threading.Thread(target=host.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{host.server_address[1]}/absent.mar"
    registering = Background(lambda: main_server.register(url))
    try:
        assert asked.wait(10)
        assert main_server.inference.get("/ping", timeout_s=15).status == 200
        assert main_server.inference.get("/predictions/noop", timeout_s=15).body == b"OK"
        assert main_server.management.get("/models/noop", timeout_s=15).status == 200
    finally:
        release.set()
        registering.result()
        host.shutdown()
        host.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{not json", "Failed to parse signature.json."),
        ({"runtime": "python"}, "Model name is not defined."),
        (
            {"runtime": "python", "model": {"handler": "service:handle"}},
            "Model name is not defined.",
        ),
        ({"runtime": "python", "model": {"modelName": "m"}}, "Model handler is not defined."),
        ({**manifest("m"), "runtime": "java"}, "Runtime is not defined or invalid."),
        ({**manifest("m"), "engine": {}}, "engineName is required in <engine>."),
    ],
)
def test_a_bad_manifest_is_400_and_names_the_fault(
    main_server: Server, text: dict[str, object] | str, message: str
) -> None:
    url = unique_name("bad-manifest") + ".mar"
    write_archive(main_server.store / url, model_files(text))
    assert _error(main_server.register(url)) == _refusal(400, "InvalidModelException", message)


def test_a_legacy_manifest_without_a_service_is_400(main_server: Server) -> None:
    legacy = json.loads((main_server.store / "noop-v0.1" / "MANIFEST.json").read_text())
    del legacy["Model"]["Service"]
    url = unique_name("bad-legacy") + ".mar"
    write_archive(main_server.store / url, {"MANIFEST.json": json.dumps(legacy)})
    assert _error(main_server.register(url)) == _refusal(
        400, "InvalidModelException", "Missing Service entry in MANIFEST.json"
    )


@pytest.mark.better_than_mms
def test_a_manifest_whose_model_is_null_is_400(main_server: Server) -> None:
    url = unique_name("null-model") + ".mar"
    write_archive(main_server.store / url, model_files({"runtime": "python", "model": None}))
    reply = main_server.register(url)
    assert (reply.status, reply.json()["type"]) == (400, "InvalidModelException")
    assert reply.json()["message"] == "Missing Model entry in manifest file."


def test_a_file_that_is_no_archive_is_400(main_server: Server) -> None:
    url = unique_name("no-archive") + ".mar"
    (main_server.store / url).write_bytes(b"this is not a zip file")
    reply = main_server.register(url)
    assert (reply.status, reply.json()["type"]) == (400, "InvalidModelException")


def test_parameters_override_the_manifest(main_server: Server) -> None:
    main_server.write_model(
        name := unique_name("override"),
        "def handle(d, c):\n    return ['first'] * len(d or [1])\n"
        "def other(d, c):\n    return ['other'] * len(d or [1])\n",
        manifest("overridden"),
    )
    with main_server.registered(name, handler="service:other") as registered:
        assert main_server.inference.get(f"/predictions/{registered}").body == b"other"


def test_an_empty_model_name_means_the_manifests_name(main_server: Server) -> None:
    main_server.write_model(name := unique_name("own"), "def handle(d, c): ...\n", manifest(name))
    reply = main_server.register(name, model_name="")
    assert reply.status_text == f'Model "{name}" registered'
    main_server.unregister(name)


def test_a_model_without_a_manifest_needs_name_and_handler(main_server: Server) -> None:
    reply = main_server.register("noop-no-manifest")
    assert (reply.status, reply.json()["type"]) == (400, "InvalidModelException")
    assert reply.json()["message"].startswith("Model name is not defined.")
    reply = main_server.register("noop-no-manifest", model_name="bare")
    assert (reply.status, reply.json()["type"]) == (400, "InvalidModelException")
    assert reply.json()["message"].startswith("Model handler is not defined.")
    with main_server.registered("noop-no-manifest", handler="service:handle") as name:
        assert main_server.inference.get(f"/predictions/{name}").body == b"OK"


def test_the_default_handler_serves_a_model_without_a_manifest(combined: Server) -> None:
    with combined.registered("noop-no-manifest") as name:
        reply = combined.inference.post_json(f"/predictions/{name}", {"data": "test"})
        assert (reply.status, reply.body) == (200, b"OK")


def test_the_default_number_of_workers_applies_to_registering(combined_server: Server) -> None:
    name = unique_name("noop")
    reply = combined_server.register("noop", model_name=name)
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    assert combined_server.describe(name)["minWorkers"] == 1
    reply = combined_server.unregister(name)
    assert (reply.status, reply.status_text) == (200, f'Model "{name}" unregistered')


def test_one_worker_is_shown_as_minimum(combined_server: Server) -> None:
    with combined_server.registered("noop", initial_workers=1) as name:
        assert combined_server.describe(name)["minWorkers"] == 1


@pytest.mark.parametrize("batch_size", ["0", "-3"])
def test_a_batch_size_below_one_works_as_one(main_server: Server, batch_size: str) -> None:
    with main_server.registered("noop", batch_size=batch_size) as name:
        assert main_server.inference.get(f"/predictions/{name}").body == b"OK"


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "name", ["batch_size", "max_batch_delay", "initial_workers", "response_timeout"]
)
def test_a_number_that_is_none_is_400_and_registers_nothing(main_server: Server, name: str) -> None:
    model = unique_name("noop")
    reply = main_server.register("noop", model_name=model, **{name: "many"})
    assert (reply.status, reply.json()["type"]) == (400, "BadRequestException")
    assert name in reply.json()["message"]
    assert main_server.management.get(f"/models/{model}").status == 404


def test_the_first_of_repeated_parameters_counts(main_server: Server) -> None:
    name = unique_name("noop")
    reply = main_server.management.post(f"/models?url=noop&url=x&model_name={name}&model_name=y")
    assert reply.status_text == f'Model "{name}" registered'
    main_server.unregister(name)


def test_a_model_that_does_not_load_is_500_and_forgotten(main_server: Server) -> None:
    name = unique_name("init-error")
    reply = main_server.register("init-error", model_name=name, initial_workers=1)
    assert _error(reply) == _refusal(500, "InternalServerException", "Failed to start workers")
    assert main_server.management.get(f"/models/{name}").status == 404


@pytest.mark.better_than_mms
@pytest.mark.parametrize("parameters", [{}, {"handler": "absent:handle"}])
def test_a_registration_that_fails_answers_with_the_reason(
    main_server: Server, parameters: dict[str, str]
) -> None:
    url = unique_name("reason")
    main_server.write_model(url, "raise KeyError('no weights')\n", manifest(url))
    reply = main_server.register(url, initial_workers=2, synchronous="true", **parameters)
    assert reply.json() == {
        "code": 500,
        "type": "InternalServerException",
        "message": "Failed to start workers",
        "reason": "ModuleNotFoundError: No module named 'absent'; the model's folder has service.py"
        if parameters
        else "KeyError: 'no weights'",
    }


def test_a_model_that_does_not_load_may_be_registered_without_workers(
    main_server: Server,
) -> None:
    name = unique_name("init-error")
    reply = main_server.register("init-error", model_name=name, synchronous="false")
    assert reply.status == 200
    reply = main_server.management.put(f"/models/{name}?synchronous=true&min_worker=1")
    assert _error(reply) == _refusal(500, "InternalServerException", "Failed to start workers")
    assert main_server.unregister(name).status == 200


def test_no_memory_to_load_is_507_and_the_name_is_free_again(main_server: Server) -> None:
    name = unique_name("memory")
    order = {"model_name": name, "runtime": "python", "initial_workers": 1}
    # The original frees the name some time after its answer.
    for _ in range(1 if is_original() else 2):
        reply = main_server.register("loading-memory-error", synchronous="true", **order)
        assert _error(reply) == _refusal(507, "InternalServerException", "Failed to start workers")
    if not is_original():
        assert main_server.management.get(f"/models/{name}").status == 404


# The original frees the name some time after its answer.
@pytest.mark.better_than_mms
def test_a_handler_that_is_not_there_fails_the_load(main_server: Server) -> None:
    name = unique_name("noop")
    reply = main_server.register(
        "noop", model_name=name, handler="absent:handle", initial_workers=1
    )
    assert _error(reply)[0] == 500
    assert "Failed to start workers" in reply.json()["message"]
    assert main_server.register("noop", model_name=name).status == 200
    main_server.unregister(name)


def test_one_archive_serves_under_two_names_and_loads_again_after_one_is_gone(
    main_server: Server,
) -> None:
    zip_folder(main_server.store / "noop", main_server.store / "twice.mar")
    with main_server.registered("twice.mar") as kept:
        with main_server.registered("twice.mar"):
            pass
        reply = main_server.inference.get(f"/predictions/{kept}")
        assert (reply.status, reply.body) == (200, b"OK")
        if not is_original():
            reply = main_server.management.put(f"/models/{kept}?min_worker=2&synchronous=true")
            assert (reply.status, reply.status_text) == (200, "Workers scaled")


EVIL_NAMES = ["../evil", "../../evil", "/tmp/conformance-evil", "a/../../evil", "..\\evil"]


@pytest.mark.better_than_mms
@pytest.mark.parametrize("entry", EVIL_NAMES)
def test_an_archive_that_writes_outside_is_refused(main_server: Server, entry: str) -> None:
    url = unique_name("slip") + ".mar"
    files = {**model_files(manifest("slip")), entry: "evil"}
    write_archive(main_server.store / url, files)
    reply = main_server.register(url, model_name=unique_name("slip"))
    assert (reply.status, reply.json()["type"]) == (400, "InvalidModelException")
    assert not list(main_server.directory.rglob("*evil"))
    assert not Path("/tmp/conformance-evil").exists()


def test_a_quoted_name_is_escaped_in_json(main_server: Server) -> None:
    name = 'quoted "name" <&\'>'
    reply = main_server.management.post(
        "/models?" + urllib.parse.urlencode({"url": "noop", "model_name": name})
    )
    assert reply.status_text == f'Model "{name}" registered'
    assert b"\\u003c\\u0026\\u0027\\u003e" in reply.body
    main_server.unregister(name)


LENIENT = [
    "{url: 'noop', model_name: %s}",
    "{url: noop, model_name: %s}",
    '{"url" = "noop"; "model_name" => "%s"}',
    '// a comment\n{"url": "noop", # another\n "model_name": "%s" /* third */}',
    ')]}\'\n{"url": "noop", "model_name": "%s"}',
    '{"url": "noop", "model_name": "other", "model_name": "%s"}',
    '{"url": "n\\u006fop", "model_name": "%s"}',
    '\n\t {"url": "noop",\r\n "model_name": "%s", "handler": null}  \n',
]


@pytest.mark.parametrize("text", LENIENT)
def test_json_is_read_as_leniently_as_before(main_server: Server, text: str) -> None:
    name = unique_name("lenient")
    reply = main_server.management.post("/models", text % name, content_type="application/json")
    assert (reply.status, reply.status_text) == (200, f'Model "{name}" registered')
    main_server.unregister(name)


@pytest.mark.parametrize(
    "extra",
    [
        {"initial_workers": 1, "synchronous": True, "batch_size": 2, "max_batch_delay": 5},
        {"initial_workers": "1", "synchronous": "TRUE", "batch_size": "2", "max_batch_delay": "5"},
        {"initial_workers": 1.0, "preload_model": "false", "batch_size": 2, "max_batch_delay": 5},
    ],
)
def test_values_in_json_may_be_numbers_or_text(
    main_server: Server, extra: dict[str, object]
) -> None:
    name = unique_name("noop")
    order = {"url": "noop", "model_name": name, **extra}
    reply = main_server.management.post_json("/models", order)
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    description = main_server.describe(name)
    assert (description["batchSize"], description["maxBatchDelay"]) == (2, 5)
    main_server.unregister(name)


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "text",
    ["null", '{"url": "noop"} more', '{"url": "noop", "initial_workers": "many"}', "[]", "7"],
)
def test_json_that_makes_no_order_is_400(main_server: Server, text: str) -> None:
    reply = main_server.management.post("/models", text, content_type="application/json")
    assert (reply.status, reply.json()["type"]) == (400, "BadRequestException")


@pytest.mark.better_than_mms
def test_a_runtime_may_be_the_path_of_an_interpreter(main_server: Server) -> None:
    with main_server.registered("inspect", runtime=sys.executable) as name:
        shown = main_server.inference.get(f"/predictions/{name}").json()
        assert Path(shown["executable"]).resolve() == Path(sys.executable).resolve()


_DIGITS = "9" * 400
#: What fits no parameter, or only some; none of it is the server's fault.
_NONSENSE: list[object] = [
    *(_DIGITS, "-" + _DIGITS, "9" * 5000, "1e400", "NaN", "http:///x", "http://[", "s3://", "\x00"),
    *(
        "https://user@:80/x",
        "http://a:99999/",
        "kafka:///x",
        "file:///",
        "%",
        "..",
        "[]",
        "[[[",
        "x" * 5000,
    ),
    *(
        10**400,
        float("inf"),
        [],
        {},
        [1],
        {"a": 1},
        [[[]]],
        {"path": "memory://", "recent": 10**400},
    ),
    *(
        "\ud800",
        {"path": "\ud800"},
        {"graph": {"kind": "router", "routes": {"a": {"class_name": 1}}}},
    ),
]


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "parameter",
    [
        *("url", "sha256", "model_name", "handler", "batch_size", "max_batch_delay", "model_uri"),
        *("request_timeout", "initial_workers", "response_timeout", "load_timeout", "parameters"),
        *("serving_spec", "class_args", "model_path", "tracking", "max_queue_time_ms"),
    ],
)
def test_a_value_that_makes_no_sense_is_never_the_servers_fault(
    main_server: Server, parameter: str
) -> None:
    management = main_server.management
    name = unique_name("nonsense")
    for value in _NONSENSE:
        asked = {"url": "noop", "model_name": name, parameter: value}
        if parameter == "serving_spec":
            del asked["url"]
        replies = [management.post_json("/models", asked)]
        if isinstance(value, str) and value != "\ud800" and parameter != "serving_spec":
            replies.append(management.post("/models?" + urllib.parse.urlencode(asked)))
        for reply in replies:
            assert reply.status < 500, (value, reply)
            assert len(reply.body) < 20_000
        listed = management.get("/models").json()["models"]
        for model in listed:
            if model["modelName"] == name or model["modelUrl"] != "noop":
                continue
            if parameter == "model_name" and model["modelName"] in _NONSENSE:
                assert main_server.unregister(model["modelName"]).status == 200
        main_server.unregister(name)


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\ud800b", "half of a character (a lone surrogate), which UTF-8 cannot hold"),
        ("ä" * 501, "has 1002 bytes; 1000 are the most, so that a path can carry it"),
        ("a\x7f", "has a control character"),
    ],
)
def test_a_name_that_nobody_could_ask_for_is_refused(
    main_server: Server, name: str, reason: str
) -> None:
    reply = main_server.management.post_json("/models", {"url": "noop", "model_name": name})
    assert reply.status == 400
    assert reason in reply.json()["message"]
    assert main_server.management.get("/metrics").status == 200
    longest = "ä" * 500
    with main_server.registered("noop", model_name=longest, initial_workers=0):
        assert main_server.describe(longest)["modelName"] == longest


@pytest.mark.better_than_mms
@pytest.mark.parametrize("path", ["/models", "/metrics", "/prometheus"])
def test_a_name_that_leads_to_loopback_reads_no_models(main_server: Server, path: str) -> None:
    with main_server.management.wire() as wire:
        wire.send(f"GET {path} HTTP/1.1\r\nHost: rebound.example:8081\r\n\r\n".encode())
        reply = wire.read_reply()
    assert reply.status == 403
    assert "management_hosts names those that are" in reply.json()["message"]


def _warnings(reply: Reply) -> list[str]:
    return reply.all_headers("warning")


@pytest.mark.better_than_mms
def test_a_parameter_that_nobody_knows_is_told_with_the_nearest_name(main_server: Server) -> None:
    management = main_server.management
    name = unique_name("noop")
    unknown = "unknown parameter {} has no effect; did you mean {}?"

    def said(given: str, known: str) -> list[str]:
        return [f'299 marserve "{unknown.format(given, known)}"']

    reply = main_server.register("noop", model_name=name, intial_workers=1)
    assert (reply.status, _warnings(reply)) == (200, said("intial_workers", "initial_workers"))
    main_server.wait_for_log("mms_log.log", r"POST /models: unknown parameter intial_workers has")
    path = f"/models/{name}"
    reply = management.put(f"{path}?min_workers=4")
    assert (reply.status, _warnings(reply)) == (202, said("min_workers", "min_worker"))
    assert _warnings(management.get("/models?limits=3")) == said("limits", "limit")
    for reply in (management.get(f"{path}?customized=true"), management.delete(f"{path}?x=1")):
        assert reply.status == 200
        assert "has no effect" in _warnings(reply)[0]
    body = {"url": "noop", "model_name": name, "batchSize": 2}
    reply = management.post_json("/models?initial_workers=1", body)
    assert reply.status == 200
    assert _warnings(reply) == [
        '299 marserve "the query has no effect beside a JSON body"',
        *said("batchSize", "batch_size"),
    ]
    assert _warnings(management.get(path)) == []
    main_server.unregister(name)


@pytest.mark.better_than_mms
def test_a_body_beside_a_call_that_reads_its_query_alone_is_told(main_server: Server) -> None:
    said = ['299 marserve "the body has no effect: the parameters of this call are in its query"']
    management, body = main_server.management, b'{"min_worker": 3}'
    with main_server.registered("noop", initial_workers=1) as name:
        reply = management.put(
            f"/models/{name}?min_worker=1", body=body, content_type="application/json"
        )
        assert (reply.status, _warnings(reply)) == (202, said)
        assert len(main_server.describe(name)["workers"]) == 1
        assert _warnings(management.put(f"/models/{name}?min_worker=1")) == []
        for reply in (
            management.request("GET", f"/models/{name}", body),
            management.request("GET", "/models", body),
        ):
            assert (reply.status, _warnings(reply)) == (200, said)


@pytest.fixture(scope="module")
def strict(servers: ServerPool) -> Iterator[Server]:
    """A server that refuses unknown parameters, and finds no interpreter."""
    settings = {"strict_parameters": "true", "load_models": "noop"}
    server = Server(
        servers.new_directory(),
        {**settings, "default_workers_per_model": "1"},
        environment={"PATH": "/absent"},
    )
    server.start()
    yield server
    server.stop()


@pytest.mark.better_than_mms
def test_an_interpreter_that_is_not_there_fails_at_once_and_leaves_nothing(
    strict: Server,
) -> None:
    for _ in range(2):
        reply = strict.register("noop", model_name="m", runtime="python2", initial_workers=1)
        assert reply.status == 500
        assert strict.management.get("/models/m").status == 404
    assert strict.register("noop", model_name="m", initial_workers=1).status == 200
    assert strict.inference.get("/predictions/m").body == b"OK"
    strict.unregister("m")


@pytest.mark.better_than_mms
def test_strict_parameters_refuse_what_nobody_knows_before_anything_is_done(
    strict: Server,
) -> None:
    refused = [
        strict.register("noop", model_name="m", intial_workers=1),
        strict.management.post_json("/models", {"url": "noop", "model_name": "m", "x": 1}),
        strict.management.put("/models/noop?min_workers=3"),
        strict.management.get("/models?limits=1"),
        strict.management.delete("/models/noop?synchronus=true"),
    ]
    for reply in refused:
        assert reply.status == 400, reply
        assert reply.json()["message"].endswith("(strict_parameters).")
    assert "did you mean min_worker?" in refused[2].json()["message"]
    names = [line["modelName"] for line in strict.management.get("/models").json()["models"]]
    assert names == ["noop"]
    assert strict.register("noop", model_name="m", initial_workers=0).status == 200
    strict.unregister("m")


@pytest.mark.better_than_mms
def test_gpus_are_named_by_number_and_have_to_be_there(main_server: Server) -> None:
    for parameter, value in (("gpu_ids", "0,7"), ("deviceIds", "7"), ("gpu_ids", "one")):
        reply = main_server.register("noop", model_name="on-gpus", **{parameter: value})
        assert reply.status == 400
        told = reply.json()["message"]
        assert "There is no GPU" in told or "must be numbers of GPUs such as 0,2" in told


def test_an_empty_url_is_a_missing_one(main_server: Server) -> None:
    reply = main_server.management.post("/models?url=&model_name=x")
    assert _error(reply) == _refusal(400, "BadRequestException", "Parameter url is required.")


@pytest.mark.better_than_mms
def test_a_signed_url_that_ended_at_its_ampersand_is_told_so(main_server: Server) -> None:
    signed = "http://127.0.0.1:9/m.mar?X-Amz-Algorithm=A&X-Amz-Credential=B&X-Amz-Signature=C"
    reply = main_server.management.post(f"/models?url={signed}&initial_workers=1")
    assert reply.status == 400
    told = reply.json()["message"]
    assert told.startswith("The url ended at the & before X-Amz-Credential")
    assert "percent-encode the url (& as %26), or send it as JSON" in told
    for whole in (
        main_server.register(signed),
        main_server.management.post_json("/models", {"url": signed}),
    ):
        assert whole.json()["message"].startswith(f"Failed to download model from: {signed}, ")


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:9/m.mar", "refused"), ("http://nowhere.invalid/m.mar", "")],
)
def test_a_download_that_cannot_begin_says_why(main_server: Server, url: str, reason: str) -> None:
    told = main_server.register(url).json()["message"]
    begin = f"Failed to download model from: {url}, "
    assert told.startswith(begin)
    assert len(told) > len(begin)
    assert reason in told.lower()
