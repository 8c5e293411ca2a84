"""The media type of a file by its name."""

from __future__ import annotations

import mimetypes
from typing import Final

BINARY: Final = "application/octet-stream"


def media_type_of(name: str) -> str | None:
    """Return what a file's name says of its content; None where it says nothing.

    `x.json.gz` is no JSON before it is unpacked, so that packed files are bytes.
    """
    guessed, encoding = mimetypes.guess_type(name)
    return BINARY if encoding else guessed
