"""Certificates for the connections between nodes: an authority, the front's certificate, one for each worker."""

from __future__ import annotations

import datetime
import secrets
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mms.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

#: Clocks of nodes may differ by so much.
_SKEW = datetime.timedelta(days=1)
#: A server may run for so long: its authority and its own certificate are made at its start.
_FRONT_DAYS = 3650
#: A worker opens its connections as it starts, and never again.
_WORKER_DAYS = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, PEM."""

    certificate: str
    key: str


class Authority:
    """Signs the certificates of one front and of its workers. Each side takes only those that it has signed."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: CertificateIssuerPrivateKeyTypes,
    ) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding

        self._certificate = certificate
        self._key = key
        self.pem = certificate.public_bytes(Encoding.PEM).decode()
        #: What the front's certificate is for: an authority that is given may have signed others' certificates.
        self.front_name = f"front-{secrets.token_hex(8)}.mms.internal"

    def __repr__(self) -> str:
        return f"<Authority of {self.front_name}>"

    @classmethod
    def make(cls) -> Authority:
        """Return one that exists in this process alone."""
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("authority of workers")
        certificate = _signed(name, name, key, key, _FRONT_DAYS, is_authority=True)
        return cls(certificate, key)

    @classmethod
    def of_files(cls, certificate_file: Path, key_file: Path) -> Authority:
        """Return one that is given as PEM files. Raises ConfigurationError."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = load_pem_private_key(key_file.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"Invalid configuration: worker_ca_certificate={certificate_file} and worker_ca_key={key_file} "
                f"cannot be read as PEM: {error}"
            ) from None
        if key.public_key() != certificate.public_key():
            raise ConfigurationError(
                f"Invalid configuration: worker_ca_key={key_file} is not the key of {certificate_file}"
            )
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        except x509.ExtensionNotFound:
            constraints = None
        if constraints is None or not constraints.value.ca:
            raise ConfigurationError(
                f"Invalid configuration: worker_ca_certificate={certificate_file} is no certificate of an authority "
                "(basicConstraints CA:TRUE)"
            )
        return cls(certificate, key)  # type: ignore[arg-type]  # a key that signs, as its certificate has signed

    def issue(self, name: str) -> Identity:
        """Return a new certificate for a worker; it opens connections for a day."""
        return self._issue(f"{name[:40]}.worker", _WORKER_DAYS)

    def front_context(self) -> ssl.SSLContext:
        """Return what the front listens with: it talks to nobody without a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        _harden(context, self.pem)
        # Each connection is opened once, and never resumed.
        context.num_tickets = 0
        _load(context, self._issue(self.front_name, _FRONT_DAYS))
        return context

    def _issue(self, name: str, days: int) -> Identity:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._certificate.subject
        certificate = _signed(_name(name), issuer, key, self._key, days, dns_name=name)
        return Identity(
            certificate.public_bytes(Encoding.PEM).decode(),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        )


def worker_context(authority: str, identity: Identity) -> ssl.SSLContext:
    """Return what a worker dials with. `authority`: PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, authority)
    _load(context, identity)
    return context


def _harden(context: ssl.SSLContext, authority: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    # Python's ssl reads keys from files alone; this one is readable by its owner only, and gone at once.
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write((identity.key + identity.certificate).encode())
        file.flush()
        context.load_cert_chain(file.name)


def _name(text: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: CertificateIssuerPrivateKeyTypes,
    days: int,
    *,
    is_authority: bool = False,
    dns_name: str = "",
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if dns_name:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=False
        )
    has_own_hash = isinstance(issuer_key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(issuer_key, None if has_own_hash else hashes.SHA256())
