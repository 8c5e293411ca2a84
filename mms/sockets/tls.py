"""Key and certificate of the TLS listeners, and whose certificates their clients show."""

from __future__ import annotations

import functools
import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mms.errors import ConfigurationError
from mms.security import FileWatch
from mms.sockets.contexts import (
    TlsParts,
    demand_certificates,
    load_pem,
    new_context,
    replace_context,
    with_protocols,
)

if TYPE_CHECKING:
    from mms.settings import Settings

logger = logging.getLogger("mms.http")

#: Days that a certificate is good for which the server makes itself.
_SELF_SIGNED_DAYS = 3650


class Certificates:
    """The contexts of the TLS listeners. Follows the files: new connections get what is in them now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watch = FileWatch(_files(settings))
        #: Each context that listeners have, and its protocols.
        self._given: list[tuple[ssl.SSLContext, tuple[str, ...]]] = []
        #: Made once, where there are no files.
        self._own = functools.cache(_self_signed)
        #: Called when contexts have changed.
        self.on_change: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Certificates of {len(self._given)} listeners>"

    def context(self, protocols: Sequence[str] = ()) -> ssl.SSLContext:
        """For a listener. `protocols`: those of ALPN. Raises ConfigurationError for files that cannot be used."""
        context = with_protocols(make_context(self._settings, self._own), protocols)
        self._given.append((context, tuple(protocols)))
        return context

    def check(self) -> None:
        """Called every second: take over changed files. What cannot be used changes nothing, and is logged."""
        if not self._given or not self._watch.has_changed():
            return
        try:
            fresh = [
                with_protocols(make_context(self._settings, self._own), protocols)
                for _, protocols in self._given
            ]
        except ConfigurationError as error:
            logger.error("%s. The certificate that was read before stays in use.", error)
            return
        for (context, _), newer in zip(self._given, fresh, strict=True):
            replace_context(context, newer)
        for tell in self.on_change:
            tell()
        logger.info("Key and certificate have been read again.")

    def parts_of(self, context: ssl.SSLContext) -> TlsParts:
        """Return what a context of `context` is made of by now. Raises ConfigurationError and OSError."""
        settings = self._settings
        chain, key = _pem(settings, self._own)
        client_ca = Path(settings.tls_client_ca).read_bytes() if settings.tls_client_ca else b""
        protocols = next(list(given) for known, given in self._given if known is context)
        chain_text, key_text, ca_text = (pem.decode("latin-1") for pem in (chain, key, client_ca))
        return TlsParts(chain_text, key_text, ca_text, protocols)


def _files(settings: Settings) -> list[str]:
    named = (
        settings.keystore,
        settings.private_key_file,
        settings.certificate_file,
        settings.tls_client_ca,
    )
    return [path for path in named if path]


def make_context(
    settings: Settings, self_signed: Callable[[], tuple[bytes, bytes]] | None = None
) -> ssl.SSLContext:
    """TLS 1.2 and later. Raises ConfigurationError for a key that cannot be used.

    `self_signed`: makes certificate and key where no file has them.
    """
    context = new_context()
    if settings.tls_client_ca:
        demand_certificates(context, settings.tls_client_ca)
    if settings.keystore:
        _load_keystore(context, settings)
    elif settings.private_key_file and settings.certificate_file:
        _load_files(context, settings.certificate_file, settings.private_key_file)
    else:
        logger.warning(
            "No keystore and no private_key_file is set: the server makes a self-signed "
            "certificate at each start."
        )
        load_pem(context, *(self_signed or _self_signed)())
    return context


def _pem(settings: Settings, self_signed: Callable[[], tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """Return certificates and key of files that `make_context` has taken."""
    if settings.keystore:
        return _read_keystore(settings)
    if settings.private_key_file and settings.certificate_file:
        return (
            Path(settings.certificate_file).read_bytes(),
            Path(settings.private_key_file).read_bytes(),
        )
    return self_signed()


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
            f"Invalid configuration: private_key_file={key} and certificate_file={certificate} {_fault(error)}"
        ) from None


def _load_keystore(context: ssl.SSLContext, settings: Settings) -> None:
    pair = _read_keystore(settings)
    try:
        load_pem(context, *pair)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"Invalid configuration: certificate and key of keystore={settings.keystore} {_fault(error)}"
        ) from None


def _fault(error: Exception) -> str:
    """What OpenSSL has against a certificate and its key, as the end of a sentence about both."""
    reason = getattr(error, "reason", None)
    if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL"):
        whose = (
            "the key"
            if reason.startswith("EE")
            else "the key of an authority in the certificate file"
        )
        return (
            f"cannot be used: {whose} is too small for OpenSSL's security level. "
            "RSA with 2048 bits or more, or the curve P-256, would do"
        )
    if reason == "CA_MD_TOO_WEAK":
        return (
            "cannot be used: the hash that a certificate is signed with is too weak for OpenSSL's security "
            "level. SHA-256 would do"
        )
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        return f"do not belong together: {error}"
    return f"cannot be used as PEM files: {error}"


def _is_encrypted(key: str) -> bool:
    try:
        text = Path(key).read_bytes()
    except OSError:
        return False
    return b"BEGIN ENCRYPTED PRIVATE KEY" in text or b"Proc-Type: 4,ENCRYPTED" in text


def _read_keystore(settings: Settings) -> tuple[bytes, bytes]:
    """Return certificates and key, PEM. Raises ConfigurationError."""
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
    return chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


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
