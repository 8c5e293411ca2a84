"""Contexts of TLS listeners, as the owner and front processes make them. Nothing that takes long to import."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from mms.errors import ConfigurationError

#: Of TLS 1.2: a fresh key for each connection, and encryption that authenticates. TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TlsParts(NamedTuple):
    """What a listener's context is made of, for another process. PEM; `client_ca` is empty where clients need none."""

    chain: str
    key: str
    client_ca: str
    protocols: list[str]


def context_of(parts: TlsParts) -> ssl.SSLContext:
    """Return the context of a listener in another process. Raises OSError for parts that do not fit."""
    context = new_context()
    if parts.client_ca:
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(parts.client_ca.encode("latin-1"))
            file.flush()
            demand_certificates(context, file.name)
    load_pem(context, parts.chain.encode("latin-1"), parts.key.encode("latin-1"))
    return with_protocols(context, parts.protocols)


def new_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def with_protocols(context: ssl.SSLContext, protocols: Sequence[str]) -> ssl.SSLContext:
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def demand_certificates(context: ssl.SSLContext, path: str) -> None:
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


def load_pem(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    # Python's ssl reads keys from files alone; these are readable by their owner only, and gone at once.
    with (
        tempfile.NamedTemporaryFile(suffix=".pem") as chain_file,
        tempfile.NamedTemporaryFile(suffix=".pem") as key_file,
    ):
        for file, pem in ((chain_file, chain), (key_file, key)):
            file.write(pem)
            file.flush()
        context.load_cert_chain(chain_file.name, key_file.name)


def replace_context(context: ssl.SSLContext, newer: ssl.SSLContext) -> None:
    """Have new connections of a listener that has `context` use `newer`."""
    context.sni_callback = _Replacement(newer)


class _Replacement:
    """Called at each handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def __call__(
        self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        connection.context = self._context
