"""The media type of a body, by the name of its file and by what is in it."""

from __future__ import annotations

import mimetypes
from typing import Any, Final

BINARY: Final = "application/octet-stream"
JSON: Final = "application/json"


def media_type_of(name: str) -> str | None:
    """Return what a file's name says of its content; None where it says nothing.

    `x.json.gz` is no JSON before it is unpacked, so that packed files are bytes.
    """
    guessed, encoding = mimetypes.guess_type(name)
    return BINARY if encoding else guessed


def media_type_of_body(body: bytes, name: str = "") -> str:
    """Return what the name of a body's file says of it, or else what it looks like: JSON, text or bytes."""
    guessed = media_type_of(name)
    if guessed:
        return guessed
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return BINARY
    if json_in(text.strip()) is not None:
        return JSON
    is_text = text and all(c.isprintable() or c.isspace() for c in text)
    return "text/plain; charset=utf-8" if is_text else BINARY


def json_in(text: str) -> Any:
    """Return the object, list or string that a text is in JSON; None for anything else."""
    # Imported here, as the launcher is to start at once.
    import json

    try:
        return json.loads(text) if text[:1] in ("{", "[", '"') else None
    except (ValueError, RecursionError):
        return None
