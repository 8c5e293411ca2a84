"""Certificates of clients, suites, and certificates that change while the server runs."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from support.client import Address
from support.keys import Authority, make_authority
from support.processes import command_path, free_port
from support.server import Server, ServerDidNotStart, ServerPool
from support.waiting import eventually

pytestmark = [pytest.mark.better_than_mms, pytest.mark.edge]

PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def folder(servers: ServerPool) -> Path:
    directory = servers.new_directory()
    directory.mkdir(parents=True)
    return directory


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return make_authority(folder)


def split(pem: Path, directory: Path) -> dict[str, str]:
    """The settings for a file of certificate and key."""
    return {"certificate_file": str(pem), "private_key_file": str(pem)}


class SecureServer(Server):
    """Both APIs and gRPC over TLS; clients show certificates of `authority`."""

    def __init__(self, directory: Path, authority: Authority, **settings: str) -> None:
        directory.mkdir(parents=True)
        self.authority = authority
        self.pem = authority.issue(directory, "server")
        self.client_ca = directory / "clients.pem"
        shutil.copy(authority.certificate, self.client_ca)
        self.grpc_port = free_port()
        own = {
            **split(self.pem, directory),
            "tls_client_ca": str(self.client_ca),
            "load_models": "noop",
            "default_workers_per_model": "1",
            "grpc_address": f"grpcs://127.0.0.1:{self.grpc_port}",
        }
        super().__init__(
            directory,
            own | settings,
            inference=Address(port=free_port(), is_tls=True),
            management=Address(port=free_port(), is_tls=True),
        )


@pytest.fixture(scope="module")
def mutual_servers(
    servers: ServerPool, authority: Authority
) -> Iterator[Callable[[str], SecureServer]]:
    running: dict[str, SecureServer] = {}

    def get(lane: str) -> SecureServer:
        if lane not in running:
            word = lane.removeprefix("lane=")
            running[lane] = SecureServer(servers.new_directory(), authority, lane=word)
            running[lane].start()
        return running[lane]

    yield get
    for server in running.values():
        server.stop()


@pytest.fixture
def mutual(mutual_servers: Callable[[str], SecureServer], lane: str) -> SecureServer:
    return mutual_servers(lane)


def context_with(authority: Authority, certificate: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def answer(
    port: int, context: ssl.SSLContext, request: bytes = PING, name: str | None = "localhost"
) -> bytes:
    """All that a server sends; nothing where it ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name) as secured:
                secured.sendall(request)
                parts = []
                while part := secured.recv(65536):
                    parts.append(part)
                return b"".join(parts)
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
            return b""


def ports(server: SecureServer) -> list[int]:
    return [server.inference.address.port, server.management.address.port]


def test_a_client_with_a_certificate_of_the_authority_gets_in(
    mutual: SecureServer, authority: Authority
) -> None:
    context = context_with(authority, authority.issue(mutual.directory, "client"))
    request = (
        b"POST /predictions/noop HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
        b"Connection: close\r\n\r\nx"
    )
    assert answer(ports(mutual)[0], context, request).endswith(b"\r\n\r\nOK")
    listing = PING.replace(b"/ping", b"/models")
    assert answer(ports(mutual)[1], context, listing).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("kind", ["none", "foreign"])
@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_without_one_does_not(
    mutual: SecureServer,
    authority: Authority,
    scratch: Path,
    kind: str,
    maximum: ssl.TLSVersion,
) -> None:
    foreign = make_authority(scratch, "stranger").issue(scratch, "client")
    context = context_with(authority, foreign if kind == "foreign" else None)
    context.maximum_version = maximum
    for port in ports(mutual):
        assert answer(port, context) == b""


def grpc_code(server: SecureServer, pem: Path | None) -> grpc.StatusCode:
    authority = server.authority.certificate.read_bytes()
    own = pem.read_bytes() if pem is not None else None
    credentials = grpc.ssl_channel_credentials(authority, own, own)
    with grpc.secure_channel(f"localhost:{server.grpc_port}", credentials) as channel:
        call = channel.unary_unary("/seldon.protos.Seldon/Predict")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", metadata=[("seldon", "absent")], timeout=20)
    code: grpc.StatusCode = caught.value.code()
    return code


def test_grpc_demands_the_same(mutual: SecureServer, authority: Authority) -> None:
    client = authority.issue(mutual.directory, "client")
    assert grpc_code(mutual, client) is grpc.StatusCode.NOT_FOUND
    assert grpc_code(mutual, None) is grpc.StatusCode.UNAVAILABLE


def test_the_tool_shows_a_certificate(mutual: SecureServer, authority: Authority) -> None:
    client = authority.issue(mutual.directory, "client")

    def listed(*options: str) -> subprocess.CompletedProcess[str]:
        address = mutual.management.address.setting()
        return subprocess.run(
            [command_path("mms"), "models", "list", "--management", address, *options],
            env=mutual.environment | {"SSL_CERT_FILE": str(authority.certificate)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert listed().returncode == 3
    assert "noop" in listed("--client-certificate", str(client)).stdout


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA"),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
    ],
)
def test_old_versions_and_suites_are_refused(
    mutual: SecureServer, authority: Authority, version: ssl.TLSVersion, ciphers: str
) -> None:
    context = context_with(authority, authority.issue(mutual.directory, "client"))
    context.set_ciphers(ciphers)
    if version is ssl.TLSVersion.TLSv1_1:
        with pytest.warns(DeprecationWarning):
            context.minimum_version = context.maximum_version = version
    else:
        context.maximum_version = version
    assert answer(ports(mutual)[0], context) == b""


def test_a_modern_suite_of_tls_1_2_is_served(mutual: SecureServer, authority: Authority) -> None:
    context = context_with(authority, authority.issue(mutual.directory, "client"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    assert answer(ports(mutual)[0], context).startswith(b"HTTP/1.1 200 ")


def serial_shown(port: int, name: str | None) -> int:
    """Of the certificate that the server shows, asked with or without its name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


def serial_in(pem: Path) -> int:
    return x509.load_pem_x509_certificate(pem.read_bytes()).serial_number


def test_changed_certificates_count_without_a_restart(
    start_server: Callable[..., Server], authority: Authority, scratch: Path
) -> None:
    first, second = authority.issue(scratch, "first"), authority.issue(scratch, "second")
    pem = scratch / "server.pem"
    shutil.copy(first, pem)
    server = start_server(
        {**split(pem, scratch), "load_models": "noop", "default_workers_per_model": "1"},
        inference=Address(port=free_port(), is_tls=True),
    )
    port = server.inference.address.port
    with server.inference.wire() as kept:
        assert kept.call("POST", "/predictions/noop", b"x").body == b"OK"
        assert serial_shown(port, None) == serial_in(first)
        # Half a file changes nothing, and is told.
        pem.write_bytes(second.read_bytes()[:700])
        server.wait_for_log("mms_log.log", r"certificate that was read before stays in use")
        assert serial_shown(port, None) == serial_in(first)
        shutil.copy(second, scratch / "new.pem")
        os.replace(scratch / "new.pem", pem)
        for name in (None, "localhost"):
            eventually(
                "the new one is shown",
                lambda name=name: serial_shown(port, name) == serial_in(second),
            )
        # Connections that stand go on.
        assert kept.call("POST", "/predictions/noop", b"x").body == b"OK"
    assert server.inference.post("/predictions/noop", "x").body == b"OK"


def test_who_is_trusted_no_more_is_out_without_a_restart(
    servers: ServerPool, authority: Authority, scratch: Path
) -> None:
    server = SecureServer(servers.new_directory(), authority)
    server.start()
    try:
        port = server.inference.address.port
        old = context_with(authority, authority.issue(scratch, "client"))
        assert answer(port, old)
        other = make_authority(scratch, "other")
        new = context_with(authority, other.issue(scratch, "client"))
        assert not answer(port, new)
        shutil.copy(other.certificate, scratch / "ca")
        os.replace(scratch / "ca", server.client_ca)
        eventually("the other authority counts", lambda: answer(port, new))
        assert not answer(port, old)
        assert grpc_code(server, scratch / "client.pem") is grpc.StatusCode.NOT_FOUND
    finally:
        server.stop()


def started_with(
    start_server: Callable[..., Server], settings: dict[str, str], scheme: str, host: str
) -> str:
    """The last line of a start that fails."""
    address = {"inference_address": f"{scheme}://{host}:{free_port()}"}
    with pytest.raises(ServerDidNotStart) as caught:
        start_server(address | settings)
    assert caught.value.exit_code == 1
    return caught.value.output.splitlines()[-1]


def test_no_certificate_is_made_for_other_machines(start_server: Callable[..., Server]) -> None:
    line = started_with(start_server, {}, "https", "0.0.0.0")
    assert "has no certificate" in line
    assert "private_key_file" in line


def test_a_file_of_authorities_that_is_none_is_named(
    start_server: Callable[..., Server], scratch: Path
) -> None:
    file = scratch / "ca.pem"
    file.write_text("nothing")
    line = started_with(start_server, {"tls_client_ca": str(file)}, "https", "127.0.0.1")
    assert f"tls_client_ca={file} is not a PEM file" in line


def test_client_certificates_without_tls_are_an_error(start_server: Callable[..., Server]) -> None:
    line = started_with(start_server, {"tls_client_ca": "/ca"}, "http", "127.0.0.1")
    assert "no listener has TLS" in line
