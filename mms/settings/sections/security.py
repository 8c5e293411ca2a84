"""Who may do what, and by which connections."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import (
    BOOLEAN,
    COUNT,
    HEADER_WORDS,
    NAMES,
    NUMBER,
    ORIGIN,
    READ_FILE,
    TEXT,
    choices,
    option,
)

_TLS = "TLS"
_SECURITY = "Who may do what"
_CORS = "CORS"


@dataclass
class SecurityOptions:
    """Who may do what, and by which connections."""

    keystore: str | None = option(READ_FILE, _TLS, "A PKCS12 file with key and certificate.")
    keystore_pass: str = option(TEXT, _TLS, "Its password.", "changeit")
    keystore_type: str = option(
        TEXT, _TLS, "The type of the keystore; only PKCS12 is supported.", "PKCS12"
    )
    private_key_file: str | None = option(READ_FILE, _TLS, "A private key, PEM.")
    certificate_file: str | None = option(READ_FILE, _TLS, "Its certificate chain, PEM.")
    allow_self_signed: bool = option(
        BOOLEAN,
        _TLS,
        "Without a key and certificate the server makes a self-signed certificate on addresses other than loopback, "
        "too. No client can check it.",
        "false",
        is_own=True,
    )
    tls_client_ca: str | None = option(
        READ_FILE,
        _TLS,
        "Certificates, PEM. Every TLS listener demands a client certificate that one of them has signed.",
        is_own=True,
    )
    keys_file: str | None = option(
        READ_FILE,
        _SECURITY,
        "The file of API keys, made by `mms keys create`, read again when it changes. Requests need a key with the "
        "role for what they ask. Without it no request needs one.",
        is_own=True,
    )
    open_roles: tuple[str, ...] = option(
        choices("inference", "management", "metrics"),
        _SECURITY,
        "What needs no key even with a `keys_file`: some of inference, management and metrics, with commas.",
        "",
        is_own=True,
    )
    allow_open_management: bool = option(
        BOOLEAN,
        _SECURITY,
        "Management may listen where other machines reach it, without keys and client certificates.",
        "false",
        is_own=True,
    )
    rate_limit: float = option(
        NUMBER,
        _SECURITY,
        "Inference requests a second for each client. A client is a key or, without keys, an address. More get 429; "
        "0: no limit.",
        "0",
        unit="requests/s",
        is_own=True,
    )
    rate_limit_burst: int = option(
        COUNT,
        _SECURITY,
        "Requests that a client may send at once after a pause; 0: as many as in a second.",
        "0",
        is_own=True,
    )
    management_hosts: tuple[str, ...] | None = option(
        NAMES,
        _SECURITY,
        "Names in `Host`, besides `localhost` and addresses, that management accepts while it listens on loopback "
        "without keys: those of a proxy in front of it.",
        is_own=True,
    )
    cors_allowed_origin: str | None = option(
        ORIGIN, _CORS, "`access-control-allow-origin` of every response."
    )
    cors_allowed_methods: str | None = option(
        HEADER_WORDS, _CORS, "`access-control-allow-methods` of every response."
    )
    cors_allowed_headers: str | None = option(
        HEADER_WORDS, _CORS, "`access-control-allow-headers` of every response."
    )
