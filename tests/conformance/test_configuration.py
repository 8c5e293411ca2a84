"""The config file, its precedence, addresses, and the models that are loaded at start."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from support.client import Address
from support.keys import write_keys
from support.processes import free_port, is_original
from support.server import Server, ServerDidNotStart, manifest
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
            "an_unknown_key=whatever\n"
        ),
    )
    assert _cors(server) == "lastA-continued"
    assert _cors(server, "methods") == "GET, POST=:"
    assert _cors(server, "headers") == "tab\there # no comment"
    assert server.inference.post("/predictions/x", bytes(1001)).status == 413


def test_environment_variables_are_put_in(start_server: StartServer) -> None:
    server = start_server(
        {
            "cors_allowed_origin": "$$FIRST_PART$$-and-$$SECOND_PART$$",
            "cors_allowed_methods": "$FIRST_PART$ $$ $",
        },
        environment={"FIRST_PART": "one", "SECOND_PART": "two"},
    )
    assert _cors(server) == "one-and-two"
    assert _cors(server, "methods") == "$FIRST_PART$ $$ $"


@pytest.mark.better_than_mms
def test_a_dollar_in_a_variable_is_kept(start_server: StartServer) -> None:
    server = start_server({"cors_allowed_origin": "$$PRICE$$"}, environment={"PRICE": "5$ \\1 $0"})
    assert _cors(server) == "5$ \\1 $0"


def _fails(
    start_server: StartServer, settings: dict[str, str], **options: Any
) -> ServerDidNotStart:
    with pytest.raises(ServerDidNotStart) as caught:
        start_server(settings, **options)
    return caught.value


def test_an_undefined_variable_ends_the_start(start_server: StartServer) -> None:
    failure = _fails(start_server, {"cors_allowed_origin": "$$NOT_DEFINED$$"})
    assert "Invalid configuration: Invalid Environment Variable NOT_DEFINED" in failure.output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inference_address": "ftp://127.0.0.1"}, "Invalid binding address: ftp://127.0.0.1"),
        ({"load_models": "noop,noop"}, "Model noop is already registered."),
    ],
)
def test_a_bad_setting_ends_the_start(
    start_server: StartServer, settings: dict[str, str], message: str
) -> None:
    failure = _fails(start_server, settings)
    assert f"Invalid configuration: {message}" in failure.output
    assert failure.exit_code is not None


@pytest.mark.better_than_mms
def test_a_bad_setting_is_one_line_that_says_where_it_is(start_server: StartServer) -> None:
    failure = _fails(start_server, {"job_queue_size": "many"})
    assert failure.exit_code == 1
    line = next(
        line for line in failure.output.splitlines() if line.startswith("Invalid configuration: ")
    )
    assert "job_queue_size=many" in line
    assert "config.properties" in line
    assert "Traceback" not in failure.output


@pytest.mark.better_than_mms
def test_an_unknown_key_is_warned_about_with_the_nearest(start_server: StartServer) -> None:
    server = start_server({"job_queue_sise": "7"})
    lines = [line for line in server.output().splitlines() if "job_queue_sise" in line]
    assert lines
    assert "job_queue_size" in lines[0]


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
        {"load_models": "noop"},
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


def test_without_leave_of_the_file_variables_do_not_count(start_server: StartServer) -> None:
    server = start_server(
        {"cors_allowed_origin": "from-file"},
        environment={
            "MMS_CORS_ALLOWED_ORIGIN": "from-environment",
            "MMS_ENABLE_ENVVARS_CONFIG": "true",
            "MMS_LOAD_MODELS": "noop",
        },
    )
    assert _cors(server) == "from-file"
    assert _listed(server) == []


@pytest.mark.better_than_mms
def test_the_response_timeout_is_in_minutes_and_shown_in_seconds(start_server: StartServer) -> None:
    server = start_server(
        {"enable_envvars_config": "true", "default_response_timeout": "120"},
        environment={"MMS_DEFAULT_RESPONSE_TIMEOUT": "130"},
    )
    with server.registered("noop", initial_workers=0) as name:
        assert server.describe(name)["responseTimeout"] == 7800


def test_the_variable_for_the_config_file_beats_the_flag(
    start_server: StartServer, scratch: Path
) -> None:
    other = scratch / "other.properties"
    inference, management = Address(port=free_port()), Address(port=free_port())
    other.write_text(
        f"inference_address={inference.setting()}\n"
        f"management_address={management.setting()}\n"
        "cors_allowed_origin=from-the-other-file\n"
    )
    server = start_server(
        {"cors_allowed_origin": "from-the-flag"},
        inference=inference,
        management=management,
        environment={"MMS_CONFIG_FILE": str(other)},
    )
    assert _cors(server) == "from-the-other-file"


def test_a_config_file_in_the_current_directory_is_found(start_server: StartServer) -> None:
    server = start_server({"cors_allowed_origin": "found"}, has_config_flag=False)
    assert _cors(server) == "found"


# Addresses


@pytest.mark.parametrize("kind", ["file", "socket"])
def test_what_is_at_the_path_of_a_unix_socket_is_replaced(
    start_server: StartServer, scratch: Path, kind: str
) -> None:
    path = scratch / "api.sock"
    if kind == "file":
        path.write_text("in the way")
    else:
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(path))
    server = start_server({}, inference=Address(unix_path=str(path)))
    assert server.inference.get("/ping").status == 200


def test_equal_unix_addresses_are_one_listener(start_server: StartServer, scratch: Path) -> None:
    address = Address(unix_path=str(scratch / "one.sock"))
    server = start_server({"load_models": "noop"}, inference=address, is_combined=True)
    assert server.inference.get("/ping").status == 200
    assert server.inference.get("/models/noop").status == 200


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


def test_a_model_at_start_is_named_by_its_file_if_nothing_else_names_it(
    start_server: StartServer, scratch: Path
) -> None:
    store = scratch / "store"
    store.mkdir()
    write_archive(store / "squeezenet_v1.1.mar", model_files(None))
    server = start_server(
        {
            "load_models": "squeezenet_v1.1.mar",
            "default_service_handler": "service:handle",
            "default_workers_per_model": "1",
        },
        directory=scratch,
    )
    assert _listed(server) == ["squeezenet_v1_1"]


def test_a_model_that_cannot_be_registered_does_not_stop_the_start(
    start_server: StartServer,
) -> None:
    server = start_server({"load_models": "absent,noop,empty=,named=echo"})
    assert _listed(server) == ["named", "noop"]
    assert "Failed to load model: absent" in server.output()


def test_a_model_at_start_that_does_not_load_does_not_stop_the_start(
    start_server: StartServer,
) -> None:
    server = start_server({"load_models": "init-error,noop", "default_workers_per_model": "1"})
    assert _listed(server) == ["init-error", "noop"]
    assert server.inference.get("/predictions/noop").body == b"OK"


def test_models_at_start_have_a_worker_for_each_processor(main_server: Server) -> None:
    found = re.search(r"^Number of CPUs: (\d+)$", main_server.output(), re.M)
    assert found is not None
    assert len(main_server.describe("noop")["workers"]) == int(found[1])
    assert re.search(rf"^Default workers per model: {found[1]}$", main_server.output(), re.M)


def test_models_at_start_have_as_many_workers_as_set(secure_server: Server) -> None:
    assert len(secure_server.describe("noop")["workers"]) == 1


def test_a_legacy_archive_is_loaded_under_the_name_of_its_manifest(
    start_server: StartServer, scratch: Path
) -> None:
    server_directory = scratch / "run"
    server = Server(server_directory, {"default_workers_per_model": "1"})
    zip_folder(server.store / "noop-v0.1", server.store / "packed.model")
    (server.store / "nested").mkdir()
    server = start_server(
        {"load_models": "packed.model,noop", "default_workers_per_model": "1"},
        directory=server_directory,
    )
    assert _listed(server) == ["noop", "noop_v0.1"]
    assert server.inference.post("/predictions/noop_v0.1", b"x").body == b"OK"


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
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_an_encrypted_key_is_called_so(start_server: StartServer, scratch: Path, form: str) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        Encoding.PEM, getattr(PrivateFormat, form), BestAvailableEncryption(b"secret")
    )
    (scratch / "key.pem").write_bytes(pem)
    keys = write_keys(scratch / "keys")
    settings = {
        "private_key_file": str(scratch / "key.pem"),
        "certificate_file": str(keys.certificate),
    }
    address = Address(port=free_port(), is_tls=True)
    failure = _fails(start_server, settings, inference=address)
    assert f"private_key_file={scratch / 'key.pem'} is encrypted" in failure.output
