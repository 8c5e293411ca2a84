"""A private key and self-signed certificate for the TLS listeners, in the forms a server takes."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12


@dataclass(frozen=True)
class KeyFiles:
    private_key: Path
    private_key_pkcs1: Path
    certificate: Path
    keystore: Path


def write_keys(
    directory: Path, keystore_password: str = "changeit", *, bits: int = 2048
) -> KeyFiles:
    directory.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
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


@dataclass(frozen=True)
class Authority:
    """Signs certificates of servers and clients. `certificate`: its own, PEM."""

    certificate: Path
    _key: ec.EllipticCurvePrivateKey
    _name: x509.Name

    def issue(self, directory: Path, name: str) -> Path:
        """A certificate with its key behind it, PEM; good for a server on localhost and for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(_name_of(name), self._name, key.public_key(), self._key, is_ca=False)
        pem = serialization.Encoding.PEM
        file = directory / f"{name}.pem"
        file.write_bytes(
            certificate.public_bytes(pem)
            + key.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file


def make_authority(directory: Path, name: str = "authority") -> Authority:
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    own_name = _name_of(name)
    certificate = _signed(own_name, own_name, key.public_key(), key, is_ca=True)
    file = directory / f"{name}-ca.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(file, key, own_name)


def _name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    signing_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(signing_key, hashes.SHA256())
    )
