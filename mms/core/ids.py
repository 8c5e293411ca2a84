"""Request ids: UUIDv4 text, without a system call for each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

#: Ids that share one random prefix. Then fresh random bytes are drawn, so ids of two servers do not meet.
_IDS_PER_PREFIX = 4096


def _make_source() -> Callable[[], bytes]:
    prefix = b""
    node = 0
    left = 0

    def new_request_id() -> bytes:
        """36 ASCII characters in the form of a version 4 UUID, unique among all servers.

        Ids of one server may be consecutive: they name requests and are no secrets.
        """
        nonlocal prefix, node, left
        if not left:
            text = os.urandom(16).hex()
            variant = "89ab"[int(text[16], 16) & 3]
            prefix = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-".encode()
            node = int(text[20:], 16) & 0x7FFFFFFFFFFF
            left = _IDS_PER_PREFIX
        left -= 1
        node += 1
        return b"%b%012x" % (prefix, node)

    return new_request_id


new_request_id = _make_source()

#: Frames to workers have room for as many bytes.
_CLIENTS_ID = re.compile(rb"[A-Za-z0-9\-._~:@/+=]{1,36}")


def clients_request_id(value: bytes) -> bytes:
    """The id that a client gives its request, nothing where it is none that can be taken."""
    return value if _CLIENTS_ID.fullmatch(value) else b""
