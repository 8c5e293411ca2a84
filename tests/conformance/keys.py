"""A private key and self-signed certificate for the TLS listeners, in the forms a server takes."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12


@dataclass(frozen=True)
class KeyFiles:
    private_key: Path
    private_key_pkcs1: Path
    certificate: Path
    keystore: Path


def write_keys(directory: Path, keystore_password: str = "changeit") -> KeyFiles:
    directory.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    files = KeyFiles(
        directory / "key.pem",
        directory / "key-pkcs1.pem",
        directory / "certificate.pem",
        directory / "keystore.p12",
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    files.private_key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    files.private_key_pkcs1.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    files.certificate.write_bytes(certificate.public_bytes(pem))
    files.keystore.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"conformance",
            key,
            certificate,
            None,
            serialization.BestAvailableEncryption(keystore_password.encode()),
        )
    )
    return files
