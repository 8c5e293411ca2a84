"""Where the front listens: TLS, Unix sockets; and messages' text and codes."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from front_serving import Client, serve

from mms.grpc.status import code_of_http, encode_message

PREDICT = "/seldon.protos.Model/Predict"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A Unix socket's path has room for about a hundred characters."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with key and certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "both.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + made.public_bytes(Encoding.PEM)
    )
    return file


def certificate_of(file: Path) -> bytes:
    data = file.read_bytes()
    return data[data.index(b"-----BEGIN CERTIFICATE") :]


async def test_grpcs_is_grpc_over_tls(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with serve(scheme="grpcs", context=context) as served:
        credentials = grpc.ssl_channel_credentials(certificate_of(certificate))
        async with grpc.aio.secure_channel(f"127.0.0.1:{served.port}", credentials) as channel:
            body = b"x" * 1_000_000
            assert await Client(channel).call(PREDICT, body) == body


async def test_a_unix_socket_is_served(short_folder: Path) -> None:
    path = short_folder / "grpc.sock"
    async with serve(scheme="unix", path=str(path)) as served:
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            assert await Client(channel).call(PREDICT, b"x") == b"x"
        assert served.records[0][1].startswith('0.0.0.0 "')
    assert os.listdir(short_folder) == []


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("plain text", b"plain text"),
        ("100 %", b"100 %25"),
        ("two\nlines", b"two%0Alines"),
        ("für", b"f%C3%BCr"),
        ("", b""),
    ],
)
def test_the_text_of_a_status_is_printable_ascii(text: str, encoded: bytes) -> None:
    assert encode_message(text) == encoded


def test_statuses_of_http_without_a_code_of_their_own_have_their_familys() -> None:
    assert [code_of_http(status) for status in (402, 418, 505, 999, 302)] == [3, 3, 13, 2, 2]
