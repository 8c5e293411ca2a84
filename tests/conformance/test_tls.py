"""TLS on either listener, and management over a Unix socket."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from support.client import Address
from support.processes import free_port
from support.server import Server, ServerPool, unique_name

pytestmark = pytest.mark.edge


def test_the_description_is_given_over_tls(secure: Server) -> None:
    reply = secure.inference.options("/")
    assert reply.status == 200
    assert "/ping" in reply.json()["paths"]


def test_predictions_are_given_over_tls(secure: Server) -> None:
    assert secure.inference.get("/ping").json() == {"status": "Healthy"}
    reply = secure.inference.post_json("/predictions/noop", {"data": "test"})
    assert (reply.status, reply.body) == (200, b"OK")
    reply = secure.inference.get("/predictions/absent")
    assert (reply.status, reply.header("connection")) == (404, "keep-alive")


def test_a_tls_connection_is_kept(secure: Server) -> None:
    with secure.inference.wire() as wire:
        for _ in range(5):
            assert wire.call("POST", "/predictions/noop", bytes(100000)).body == b"OK"


def test_a_large_body_passes_over_tls(secure: Server) -> None:
    text = "0123456789abcdef" * 200000
    with secure.registered("echo") as name:
        reply = secure.inference.post(f"/predictions/{name}", text, content_type="text/plain")
    assert reply.text == str({"body": text})


def test_the_client_may_speak_tls_1_2(secure: Server) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = secure.inference.address.port
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.version() == "TLSv1.2"


def test_the_configured_certificate_is_shown(secure: Server, servers: ServerPool) -> None:
    context = ssl.create_default_context(cafile=str(servers.keys.certificate))
    port = secure.inference.address.port
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        secured.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert secured.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.better_than_mms
@pytest.mark.parametrize("path", ["/ping", "/predictions/noop", "/models"])
def test_the_end_of_a_tls_connection_is_no_matter_for_the_log(secure: Server, path: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = secure.inference.address.port
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        secured.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while b"\r\n\r\n" not in secured.recv(65536):
            pass
        secured.unwrap().close()
    secure.inference.get("/ping")
    assert "eof_received" not in secure.output()


def test_plain_http_to_a_tls_listener_does_not_harm(secure: Server) -> None:
    port = secure.inference.address.port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            assert not plain.recv(4096).startswith(b"HTTP/1.1 200")
        except ConnectionResetError:
            pass
    assert secure.inference.get("/ping").status == 200


def test_management_works_over_a_unix_socket(secure_server: Server) -> None:
    name = unique_name("noop")
    reply = secure_server.register("noop", model_name=name, initial_workers=1)
    assert (reply.status, reply.status_text) == (200, "Workers scaled")
    assert secure_server.describe(name)["minWorkers"] == 1
    reply = secure_server.management.put(f"/models/{name}?min_worker=2&synchronous=true")
    assert reply.status_text == "Workers scaled"
    assert secure_server.unregister(name).status_text == f'Model "{name}" unregistered'
    reply = secure_server.management.get(f"/models/{name}")
    assert (reply.status, reply.header("connection")) == (404, "keep-alive")


@pytest.mark.parametrize("kind", ["keystore", "pkcs1"])
def test_key_material_may_come_in_other_forms(
    start_server: Callable[..., Server], servers: ServerPool, kind: str
) -> None:
    if kind == "keystore":
        settings = {"keystore": str(servers.keys.keystore)}
    else:
        settings = {
            "private_key_file": str(servers.keys.private_key_pkcs1),
            "certificate_file": str(servers.keys.certificate),
        }
    server = start_server(
        {**settings, "load_models": "noop", "default_workers_per_model": "1"},
        inference=Address(port=free_port(), is_tls=True),
        management=Address(port=free_port(), is_tls=True),
    )
    assert server.inference.get("/predictions/noop").body == b"OK"
    reply = server.management.put("/models/noop?min_worker=2&synchronous=true")
    assert reply.status_text == "Workers scaled"


def test_predictions_work_over_a_unix_socket(
    start_server: Callable[..., Server], scratch: Path, lane: str
) -> None:
    server = start_server(
        {
            "load_models": "noop",
            "default_workers_per_model": "1",
            "lane": lane.removeprefix("lane="),
        },
        inference=Address(unix_path=str(scratch / "inference.sock")),
    )
    with server.inference.wire() as wire:
        for _ in range(3):
            assert wire.call("POST", "/predictions/noop", b"x").body == b"OK"
