"""The context that a handler is given."""

from __future__ import annotations

import os
from typing import Any

import pytest
from support.server import Server


def _inspect(server: Server, *headers: tuple[str, str], body: bytes = b"x") -> Any:
    path = f"/predictions/{server.shared('inspect')}"
    reply = server.inference.post(path, body, headers=headers)
    assert reply.status == 200, reply
    return reply.json()


def test_the_model_name_is_the_registered_one(server: Server) -> None:
    assert _inspect(server)["model_name"] == server.shared("inspect")


def test_the_manifest_is_what_the_file_says(server: Server) -> None:
    manifest = _inspect(server)["manifest"]
    assert manifest["model"] == {
        "modelName": "inspect",
        "handler": "service:handle",
        "modelVersion": "3.1",
    }
    assert manifest["engine"] == {"engineName": "MXNet", "engineVersion": "1.2"}
    assert manifest["userData"] == {"note": "kept"}


def test_without_a_manifest_the_context_has_none(server: Server) -> None:
    source = (server.store / "inspect" / "service.py").read_text()
    if not (server.store / "inspect-bare").exists():
        server.write_model("inspect-bare", source)
    name = server.shared("inspect-bare", handler="service:handle")
    assert server.inference.post(f"/predictions/{name}", b"x").json()["manifest"] is None


def test_the_system_properties_are_there(server: Server) -> None:
    properties = _inspect(server)["system_properties"]
    assert properties["model_dir"] == str(server.store / "inspect")
    assert properties["gpu_id"] is None
    assert properties["batch_size"] == 1
    assert properties["server_name"] == "MMS"
    assert properties["server_version"]
    assert os.path.isabs(properties["model_dir"])


def test_at_load_there_is_no_request_yet(server: Server) -> None:
    at_load = _inspect(server)["at_load"]
    assert at_load["request_ids"] is None
    assert at_load["request_processor"] is None
    assert at_load["has_metrics"] is True


def test_the_context_of_load_time_is_the_same_object_later(server: Server) -> None:
    assert _inspect(server)["at_load"]["is_same_context"] is True


@pytest.mark.edge
def test_the_request_id_is_the_one_of_the_answer(server: Server) -> None:
    reply = server.inference.post(f"/predictions/{server.shared('inspect')}", b"x")
    shown = reply.json()
    assert shown["request_id"] == shown["first_request_id"] == reply.header("x-request-id")
    assert shown["request_ids"] == {"0": reply.header("x-request-id")}


@pytest.mark.edge
def test_a_clients_own_request_id_is_a_header_and_nothing_more(server: Server) -> None:
    path = f"/predictions/{server.shared('inspect')}"
    reply = server.inference.post(path, b"x", headers={"X-Request-Id": "mine"})
    assert reply.header("x-request-id") != "mine"
    assert reply.json()["headers"]["X-Request-Id"] == "mine"
    assert reply.json()["request_id"] == reply.header("x-request-id")


@pytest.mark.edge
def test_headers_are_seen_in_the_clients_spelling(server: Server) -> None:
    shown = _inspect(
        server, ("X-MiXed-Case", "One"), ("lower-case", "two"), ("Content-Type", "a/b; c=d")
    )
    assert shown["headers"]["X-MiXed-Case"] == "One"
    assert shown["headers"]["lower-case"] == "two"
    assert shown["headers"]["Content-Type"] == "a/b; c=d"
    assert shown["headers"]["Content-Length"] == "1"
    assert shown["headers"]["Host"]


@pytest.mark.edge
def test_the_last_of_repeated_headers_wins(server: Server) -> None:
    assert _inspect(server, ("X-Twice", "1"), ("X-Twice", "2"))["headers"]["X-Twice"] == "2"


@pytest.mark.edge
def test_the_processors_are_a_list_with_parameters_and_headers(server: Server) -> None:
    shown = _inspect(server, ("Content-Type", "application/octet-stream; x=y"), ("Accept", "a/b"))
    assert shown["is_processor_list"] is True
    assert shown["properties"]["body"] == {"content-type": "application/octet-stream"}
    assert shown["properties"]["Accept"] == "a/b"
    assert shown["properties"]["Content-Type"] == "application/octet-stream; x=y"


@pytest.mark.edge
def test_a_query_parameter_has_an_empty_content_type(server: Server) -> None:
    name = server.shared("inspect")
    shown = server.inference.post(f"/{name}/predict?q=1", b"").json()
    assert shown["properties"]["q"] == {"content-type": ""}
    assert shown["properties"]["body"] == {"content-type": ""}


def test_the_response_status_is_200_at_first(server: Server) -> None:
    assert _inspect(server)["status"] == [200, None]


@pytest.mark.edge
def test_a_header_is_found_in_the_clients_spelling(server: Server) -> None:
    shown = _inspect(server, ("X-Look-Up", "X-MiXed"), ("X-MiXed", "found"))
    assert shown["looked_up"] == "found"


@pytest.mark.better_than_mms
@pytest.mark.parametrize("sent", ["Content-Type", "content-type", "CONTENT-TYPE"])
@pytest.mark.parametrize("asked", ["Content-Type", "content-type"])
def test_a_header_is_found_in_any_case(server: Server, sent: str, asked: str) -> None:
    shown = _inspect(server, ("X-Look-Up", asked), (sent, "a/b"))
    assert shown["looked_up"] == "a/b"
    assert shown["headers"][sent] == "a/b"


def test_an_absent_header_is_none(server: Server) -> None:
    assert _inspect(server, ("X-Look-Up", "X-Absent"))["looked_up"] is None
