"""What is sent, and where to."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from mms.text.brief import brief


@dataclass(frozen=True, slots=True)
class Target:
    """A server's listener: a host and a port, or a Unix socket; with TLS where there is a context for it."""

    host: str = ""
    port: int = 0
    unix_path: str = ""
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        if self.unix_path:
            return f"unix:{self.unix_path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def authority(self) -> str:
        """What requests have in `Host`."""
        if self.unix_path:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """One request. Of several, each has its turn."""

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"

    def encode(self, target: Target) -> bytes:
        """Return what goes over the connection. Raises ValueError for a text that would break the head."""
        headers = {"Host": target.authority, "User-Agent": "mms-load-test", **self.headers}
        if self.body or self.method not in ("GET", "HEAD", "DELETE"):
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        for line in lines:
            if "\r" in line or "\n" in line:
                raise ValueError(f"A request line or header has a line break: {brief(line)}")
        if not self.path.startswith("/") or " " in self.path:
            raise ValueError(f"A path starts with / and has no spaces: {brief(self.path)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body
