"""The texts of failures, as short as the front takes them."""

from __future__ import annotations

#: Of the text of a failure that a handler has made: an exception's message may be of any length.
_MAX_MESSAGE_BYTES = 64 * 1024


def failure_text(message: str) -> bytes:
    """Return the text, or its beginning where it is too long for the front, which believes no frame of any length."""
    text = message.encode("utf-8", "replace")
    if len(text) <= _MAX_MESSAGE_BYTES:
        return text
    kept = text[:_MAX_MESSAGE_BYTES].decode("utf-8", "ignore").encode()
    return kept + f"... ({len(text)} bytes)".encode()
