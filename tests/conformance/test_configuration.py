"""The config file, its precedence, addresses, and the models that are loaded at start."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from support.client import Address
from support.processes import free_port, is_original
from support.server import MODELS, Server, ServerDidNotStart, ServerPool, manifest
from support.waiting import eventually

from .archives import model_files, write_archive, zip_folder

StartServer = Callable[..., Server]


def _cors(server: Server, name: str = "origin") -> str | None:
    return server.inference.get("/ping").header(f"access-control-allow-{name}")


def _listed(server: Server) -> list[str]:
    reply = server.management.get("/models")
    return [model["modelName"] for model in reply.json()["models"]]


# Syntax


def test_the_config_file_has_the_syntax_of_java_properties(start_server: StartServer) -> None:
    """A key that is unknown is warned about, with the nearest one."""
    server = start_server(
        {},
        more_config=(
            "# a comment\n"
            "! another comment\n"
            "\n"
            "cors_allowed_origin = first\n"
            "cors_allowed_origin:last\\u0041\\\n"
            "     -continued\n"
            "   cors_allowed_methods   GET\\, POST\\=\\:\n"
            "cors_allowed_headers=tab\\there # no comment\n"
            "max_request_size=1000\n"
            "job_queue_sise=7\n"
        ),
    )
    assert _cors(server) == "lastA-continued"
    assert _cors(server, "methods") == "GET, POST=:"
    assert _cors(server, "headers") == "tab\there # no comment"
    assert server.inference.post("/predictions/x", bytes(1001)).status == 413
    if not is_original():
        lines = [line for line in server.output().splitlines() if "job_queue_sise" in line]
        assert lines
        assert "job_queue_size" in lines[0]


def test_environment_variables_are_put_in(start_server: StartServer) -> None:
    settings = {
        "cors_allowed_origin": "$$FIRST_PART$$-and-$$SECOND_PART$$",
        "cors_allowed_methods": "$FIRST_PART$ $$ $",
    }
    environment = {"FIRST_PART": "one", "SECOND_PART": "two"}
    if not is_original():
        # A dollar in a variable is kept.
        settings["cors_allowed_headers"] = "$$PRICE$$"
        environment["PRICE"] = "5$ \\1 $0"
    server = start_server(settings, environment=environment)
    assert _cors(server) == "one-and-two"
    assert _cors(server, "methods") == "$FIRST_PART$ $$ $"
    assert _cors(server, "headers") == environment.get("PRICE")


def _fails(
    start_server: StartServer, settings: dict[str, str], **options: Any
) -> ServerDidNotStart:
    with pytest.raises(ServerDidNotStart) as caught:
        start_server(settings, **options)
    return caught.value


def test_an_undefined_variable_ends_the_start(start_server: StartServer) -> None:
    failure = _fails(start_server, {"cors_allowed_origin": "$$NOT_DEFINED$$"})
    assert "Invalid configuration: Invalid Environment Variable NOT_DEFINED" in failure.output


def test_a_model_that_is_named_twice_ends_the_start(start_server: StartServer) -> None:
    failure = _fails(start_server, {"load_models": "noop,noop"})
    assert "Invalid configuration: Model noop is already registered." in failure.output
    assert is_original() or "load_models names noop twice." in failure.output
    assert failure.exit_code is not None


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("job_queue_size", "many"),
        ("default_response_timeout_seconds", "0"),
        ("model_cache", "/dev/null"),
        ("tracking", '{"pth": "x"}'),
    ],
)
def test_a_bad_setting_is_one_line_that_says_where_it_is(
    start_server: StartServer, key: str, value: str
) -> None:
    failure = _fails(start_server, {key: value})
    assert failure.exit_code == 1
    line = next(
        line for line in failure.output.splitlines() if line.startswith("Invalid configuration: ")
    )
    assert f"{key}={value}" in line
    assert "config.properties" in line
    assert "Traceback" not in failure.output


def test_a_taken_address_ends_the_start(start_server: StartServer) -> None:
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        failure = _fails(start_server, {}, inference=Address(port=port))
    assert f"Failed to bind to address: http://127.0.0.1:{port}" in failure.output
    assert failure.exit_code is not None
    assert is_original() or failure.exit_code == 1


# Precedence


def test_the_command_line_beats_the_file(start_server: StartServer, scratch: Path) -> None:
    server_store = scratch / "other-store"
    server_store.mkdir()
    archive_files = model_files(manifest("inside"))
    write_archive(server_store / "inside.mar", archive_files)
    server = start_server(
        {"load_models": "noop", "default_workers_per_model": "1"},
        arguments=["--model-store", str(server_store), "--models", "a=inside.mar", "inside.mar"],
    )
    assert _listed(server) == ["a", "inside"]


def test_variables_beat_the_file_where_it_allows_them(start_server: StartServer) -> None:
    environment = {
        "MMS_MAX_REQUEST_SIZE": "1000",
        "MMS_CORS_ALLOWED_ORIGIN": "from-environment",
        "MMS_LOAD_MODELS": "noop",
        "MMS_DEFAULT_WORKERS_PER_MODEL": "1",
        "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS": "1",
    }
    settings = {
        "enable_envvars_config": "true",
        "max_request_size": "500",
        "cors_allowed_origin": "from-file",
        "default_response_timeout": "120",
    }
    server = start_server(settings, environment=environment)
    assert _cors(server) == "from-environment"
    assert _listed(server) == ["noop"]
    assert len(server.describe("noop")["workers"]) == 1
    assert server.inference.post("/predictions/noop", bytes(700)).status == 200
    assert server.inference.post("/predictions/noop", bytes(1001)).status == 413
    with server.registered("obey", load_timeout=60) as name:
        reply = server.inference.post_json(f"/predictions/{name}", {"sleep": 30})
        assert (reply.status, reply.json()["message"]) == (500, "Worker died.")


def test_without_leave_of_the_file_in_the_current_directory_variables_do_not_count(
    start_server: StartServer,
) -> None:
    server = start_server(
        {"cors_allowed_origin": "from-file"},
        environment={
            "MMS_CORS_ALLOWED_ORIGIN": "from-environment",
            "MMS_ENABLE_ENVVARS_CONFIG": "true",
            "MMS_LOAD_MODELS": "noop",
        },
        has_config_flag=False,
    )
    assert _cors(server) == "from-file"
    assert _listed(server) == []


@pytest.fixture
def by_variables(start_server: StartServer, scratch: Path) -> Server:
    """A server whose config file and response timeout are named by variables."""
    other = scratch / "other.properties"
    inference, management = Address(port=free_port()), Address(port=free_port())
    other.write_text(
        f"inference_address={inference.setting()}\n"
        f"management_address={management.setting()}\n"
        "cors_allowed_origin=from-the-other-file\n"
        f"model_store={MODELS}\n"
        "enable_envvars_config=true\ndefault_response_timeout=120\n"
    )
    return start_server(
        {"cors_allowed_origin": "from-the-flag"},
        inference=inference,
        management=management,
        environment={"MMS_CONFIG_FILE": str(other), "MMS_DEFAULT_RESPONSE_TIMEOUT": "130"},
    )


def test_the_variable_for_the_config_file_beats_the_flag(by_variables: Server) -> None:
    assert _cors(by_variables) == "from-the-other-file"
    if not is_original():
        # In minutes, shown in seconds.
        with by_variables.registered("noop", initial_workers=0) as name:
            assert by_variables.describe(name)["responseTimeout"] == 7800


# Addresses


def test_what_is_at_the_path_of_a_unix_socket_is_replaced(
    start_server: StartServer, scratch: Path
) -> None:
    file, left = scratch / "i.sock", scratch / "m.sock"
    file.write_text("in the way")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(left))
    server = start_server(
        {}, inference=Address(unix_path=str(file)), management=Address(unix_path=str(left))
    )
    assert server.inference.get("/ping").status == 200
    assert server.management.get("/models").status == 200


def test_equal_unix_addresses_are_one_listener(start_server: StartServer, scratch: Path) -> None:
    address = Address(unix_path=str(scratch / "one.sock"))
    server = start_server({}, inference=address, is_combined=True)
    assert server.inference.get("/ping").status == 200
    assert server.inference.get("/models").status == 200


# Models at start


def test_all_models_of_the_store_can_be_loaded(start_server: StartServer, scratch: Path) -> None:
    store = scratch / "store"
    store.mkdir()
    for name in ("one.mar", "two.model", ".hidden.mar", "three.txt"):
        write_archive(store / name, model_files(manifest(name.strip(".").split(".")[0])))
    folder = store / "four"
    (folder / "MAR-INF").mkdir(parents=True)
    for name, content in model_files(manifest("four")).items():
        (folder / name).write_text(str(content))
    server = start_server(
        {"load_models": "all", "default_workers_per_model": "1"}, directory=scratch
    )
    assert _listed(server) == ["four", "one", "two"]
    for name in _listed(server):
        assert server.inference.get(f"/predictions/{name}").body == b"OK"
        assert server.describe(name)["loadedAtStartup"] is True


@pytest.fixture(scope="module")
def started(servers: ServerPool) -> Iterator[Server]:
    """A server that was told to load models of every kind, and some that cannot be."""
    settings = {
        "load_models": "absent,noop,empty=,named=echo,init-error,packed.model,squeezenet_v1.1.mar",
        "default_service_handler": "service:handle",
        "default_workers_per_model": "1",
    }
    server = Server(servers.new_directory(), settings)
    zip_folder(server.store / "noop-v0.1", server.store / "packed.model")
    write_archive(server.store / "squeezenet_v1.1.mar", model_files(None))
    (server.store / "nested").mkdir()
    server.start()
    yield server
    server.stop()


def test_a_model_at_start_is_named_by_its_manifest_else_by_its_file(started: Server) -> None:
    models = ["init-error", "named", "noop", "noop_v0.1", "squeezenet_v1_1"]
    assert sorted(_listed(started)) == models
    assert started.inference.post("/predictions/noop_v0.1", b"x").body == b"OK"


def test_a_model_at_start_that_cannot_be_registered_or_loaded_does_not_stop_the_start(
    started: Server,
) -> None:
    assert "Failed to load model: absent" in started.output()
    assert started.inference.get("/predictions/noop").body == b"OK"
    assert started.inference.get("/predictions/init-error").status != 200


def test_models_at_start_have_a_worker_for_each_processor(main_server: Server) -> None:
    found = re.search(r"^Number of CPUs: (\d+)$", main_server.output(), re.M)
    assert found is not None
    assert len(main_server.describe("noop")["workers"]) == int(found[1])
    assert re.search(rf"^Default workers per model: {found[1]}$", main_server.output(), re.M)


def test_models_at_start_have_as_many_workers_as_set(started: Server) -> None:
    assert len(started.describe("noop")["workers"]) == 1


def test_a_legacy_archive_may_have_a_folder_at_its_top(main_server: Server) -> None:
    source = main_server.store / "noop-v0.1"
    files: dict[str, bytes | str] = {
        f"top/{file.name}": file.read_bytes() for file in source.iterdir() if file.is_file()
    }
    write_archive(main_server.store / "topped.model", files)
    with main_server.registered("topped.model") as name:
        assert main_server.inference.post(f"/predictions/{name}", b"x").body == b"OK"
        assert main_server.describe(name)["modelVersion"] == "snapshot"


def test_preloading_can_be_the_default(start_server: StartServer) -> None:
    server = start_server(
        {"preload_model": "true", "load_models": "noop", "default_workers_per_model": "2"}
    )
    eventually("it answers", lambda: server.inference.get("/predictions/noop").body == b"OK")
    assert "Preload model: true" in server.output()


@pytest.mark.better_than_mms
def test_an_encrypted_key_is_called_so(
    start_server: StartServer, servers: ServerPool, scratch: Path
) -> None:
    key = load_pem_private_key(servers.keys.private_key.read_bytes(), None)
    encryption = BestAvailableEncryption(b"secret")
    file = scratch / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    settings = {
        "private_key_file": str(file),
        "certificate_file": str(servers.keys.certificate),
    }
    address = Address(port=free_port(), is_tls=True)
    failure = _fails(start_server, settings, inference=address)
    assert f"private_key_file={file} is encrypted" in failure.output
