"""Listening addresses as MMS writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_HOST = r"(\[[0-9a-f:.]+(?:%[\w.~-]+)?\]|[^\s:/\[\]]+)"
_URL = re.compile(rf"(https?)://{_HOST}(?::(\d+))?/?", re.IGNORECASE)
_GRPC_URL = re.compile(rf"(?:(grpcs?)://)?{_HOST}:(\d+)/?", re.IGNORECASE)
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """`scheme` is http, https, grpc, grpcs or unix; `path` is for unix alone, `host` and `port` for the others."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str, *, is_management: bool) -> Address:
        """Read an address. Raises ValueError with MMS's text for a text that is none."""
        if text.lower().startswith("unix:/"):
            return cls("unix", path=text[5:])
        match = _URL.fullmatch(text)
        if match is None or (match[2][0] == "[" and not _is_ipv6(match[2][1:-1])):
            raise ValueError(f"Invalid binding address: {text}")
        scheme = match[1].lower()
        if match[3] is not None:
            port = int(match[3])
            if port > _MAX_PORT:
                raise ValueError(f"Invalid port number: {text}")
        elif is_management:
            port = 8444 if scheme == "https" else 8081
        else:
            port = 443 if scheme == "https" else 80
        return cls(scheme, match[2].strip("[]"), port)

    @classmethod
    def parse_grpc(cls, text: str) -> Address:
        """Return the address of a gRPC listener; `host:port` alone is one without TLS. Raises ValueError."""
        if text.lower().startswith("unix:/"):
            return cls("unix", path=text[5:])
        match = _GRPC_URL.fullmatch(text)
        if match is None or (match[2][0] == "[" and not _is_ipv6(match[2][1:-1])):
            raise ValueError(f"Invalid binding address: {text}")
        port = int(match[3])
        if port > _MAX_PORT:
            raise ValueError(f"Invalid port number: {text}")
        return cls((match[1] or "grpc").lower(), match[2].strip("[]"), port)

    @property
    def endpoint(self) -> tuple[str, int, str]:
        """What two addresses have in common that are one listener; the scheme does not count."""
        return (self.host, self.port, self.path)

    @property
    def reachable(self) -> Address:
        """The address as this machine reaches it: what listens on all interfaces is reached on loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return replace(self, host=host)

    @property
    def is_tls(self) -> bool:
        return self.scheme in ("https", "grpcs")

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def _is_ipv6(text: str) -> bool:
    # Imported here, since few addresses need it and the launcher is to start at once.
    from ipaddress import AddressValueError, IPv6Address

    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
