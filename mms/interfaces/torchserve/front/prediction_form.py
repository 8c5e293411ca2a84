"""The input of a prediction over gRPC, names with bytes, as a body that workers decode."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from mms.errors import BadRequest

#: Names that may stand in a header of a part as they are.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]+")
_BODY: Final = "body"
#: What is percent-encoded on the event loop.
_MOST_QUOTED_BYTES: Final = 64 * 1024


def form_of(entries: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    """Return (content type, body) of which a handler gets a dict of these entries, bytearrays by name.

    Raises BadRequest for odd names of large values, which the event loop would be held by.
    """
    if list(entries) == [_BODY]:
        return b"", entries[_BODY]
    if not all(map(_PLAIN_NAME.fullmatch, entries)):
        # What a part's header cannot hold, a form can.
        if sum(map(len, entries.values())) > _MOST_QUOTED_BYTES:
            raise BadRequest(
                "Names of inputs may have letters, digits, _, . and - alone, where the inputs have more than "
                f"{_MOST_QUOTED_BYTES} bytes."
            )
        fields = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in entries.items()
        )
        return b"application/x-www-form-urlencoded", fields.encode()
    # Nobody knows it beforehand, so that no value holds it.
    boundary = secrets.token_hex(16).encode()
    parts = []
    for name, value in entries.items():
        head = f'Content-Disposition: form-data; name="{name}"'.encode()
        parts += [b"--", boundary, b"\r\n", head, b"\r\n\r\n", value, b"\r\n"]
    parts += [b"--", boundary, b"--\r\n"]
    return b"multipart/form-data; boundary=" + boundary, b"".join(parts)
