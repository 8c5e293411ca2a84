"""Key and certificate of the TLS listeners, and whose certificates their clients show."""

from __future__ import annotations

import logging
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mms.errors import ConfigurationError
from mms.security import FileWatch

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.http")

#: Days that a certificate is good for which the server makes itself.
_SELF_SIGNED_DAYS = 3650


#: Of TLS 1.2: a fresh key for each connection, and encryption that authenticates. TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Certificates:
    """The contexts of the TLS listeners. Follows the files: new connections get what is in them now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watch = FileWatch(_files(settings))
        #: Each context that listeners have, and its protocols.
        self._given: list[tuple[ssl.SSLContext, tuple[str, ...]]] = []

    def __repr__(self) -> str:
        return f"<Certificates of {len(self._given)} listeners>"

    def context(self, protocols: Sequence[str] = ()) -> ssl.SSLContext:
        """For a listener. `protocols`: those of ALPN. Raises ConfigurationError for files that cannot be used."""
        context = _with_protocols(make_context(self._settings), protocols)
        self._given.append((context, tuple(protocols)))
        return context

    def check(self) -> None:
        """Called every second: take over changed files. What cannot be used changes nothing, and is logged."""
        if not self._given or not self._watch.has_changed():
            return
        try:
            fresh = [
                _with_protocols(make_context(self._settings), protocols)
                for _, protocols in self._given
            ]
        except ConfigurationError as error:
            logger.error("%s. The certificate that was read before stays in use.", error)
            return
        for (context, _), newer in zip(self._given, fresh, strict=True):
            context.sni_callback = _Replacement(newer)
        logger.info("Key and certificate have been read again.")


class _Replacement:
    """Has the connections of a listener's context use another one; called at each handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def __call__(
        self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        connection.context = self._context


def _files(settings: Settings) -> list[str]:
    named = (
        settings.keystore,
        settings.private_key_file,
        settings.certificate_file,
        settings.tls_client_ca,
    )
    return [path for path in named if path]


def _with_protocols(context: ssl.SSLContext, protocols: Sequence[str]) -> ssl.SSLContext:
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def make_context(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 and later. Raises ConfigurationError for a key that cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    if settings.tls_client_ca:
        _demand_certificates(context, settings.tls_client_ca)
    if settings.keystore:
        _load_keystore(context, settings)
    elif settings.private_key_file and settings.certificate_file:
        _load_files(context, settings.certificate_file, settings.private_key_file)
    else:
        logger.warning(
            "No keystore and no private_key_file is set: the server makes a self-signed "
            "certificate at each start."
        )
        _load_pem(context, *_self_signed())
    return context


def _demand_certificates(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"Invalid configuration: tls_client_ca={path} is not a PEM file of certificates: {reason}"
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED
    # A resumed session shows no certificate: who is trusted no more would stay in for as long as his ticket holds.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET


def _load_files(context: ssl.SSLContext, certificate: str, key: str) -> None:
    for name, path in (("certificate_file", certificate), ("private_key_file", key)):
        if not Path(path).is_file():
            raise ConfigurationError(f"Invalid configuration: {name}={path} is not a file")
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError, OSError) as error:
        if _is_encrypted(key):
            raise ConfigurationError(
                f"Invalid configuration: private_key_file={key} is encrypted, and there is no setting for its "
                f"passphrase. `openssl pkey -in {key} -out KEY_FILE` writes it without; a keystore may have one, "
                "keystore_pass."
            ) from None
        raise ConfigurationError(
            f"Invalid configuration: private_key_file={key} and certificate_file={certificate} do not "
            f"belong together as PEM files: {error}"
        ) from None


def _is_encrypted(key: str) -> bool:
    try:
        text = Path(key).read_bytes()
    except OSError:
        return False
    return b"BEGIN ENCRYPTED PRIVATE KEY" in text or b"Proc-Type: 4,ENCRYPTED" in text


def _load_keystore(context: ssl.SSLContext, settings: Settings) -> None:
    path = settings.keystore or ""
    if settings.keystore_type.upper() != "PKCS12":
        raise ConfigurationError(
            f"Invalid configuration: keystore_type={settings.keystore_type} is not supported; only PKCS12 is. "
            "keytool -importkeystore -deststoretype PKCS12 converts"
        )
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"Invalid configuration: keystore={path} cannot be read: {error.strerror}"
        ) from None
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        pkcs12,
    )

    try:
        key, certificate, others = pkcs12.load_key_and_certificates(
            data, settings.keystore_pass.encode()
        )
    except ValueError as error:
        raise ConfigurationError(
            f"Invalid configuration: keystore={path} is not a PKCS12 file that keystore_pass opens: {error}"
        ) from None
    if key is None or certificate is None:
        raise ConfigurationError(
            f"Invalid configuration: keystore={path} has no private key with a certificate"
        )
    chain = b"".join(c.public_bytes(Encoding.PEM) for c in (certificate, *others))
    _load_pem(
        context,
        chain,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _load_pem(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    # Python's ssl reads keys from files alone; this one is readable by its owner only, and gone at once.
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(key + chain)
        file.flush()
        context.load_cert_chain(file.name)


def _self_signed() -> tuple[bytes, bytes]:
    """(certificate, key), PEM."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
