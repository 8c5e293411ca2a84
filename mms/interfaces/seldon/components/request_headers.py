"""The headers of the request that a component answers, for hooks that take them."""

from __future__ import annotations


class RequestHeaders:
    """Of one request at a time. `block`: header lines, names and values by turns."""

    def __init__(self) -> None:
        self.block: bytes | bytearray = b""

    def __repr__(self) -> str:
        return f"<RequestHeaders, {len(self.block)} bytes>"

    def read(self) -> dict[str, str]:
        """Return the headers by lower-case names; values of one that came more than once are joined by ", "."""
        headers: dict[str, str] = {}
        lines = bytes(self.block).split(b"\n")
        for name, value in zip(lines[::2], lines[1::2], strict=False):
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return headers
