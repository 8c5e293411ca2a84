"""The `charset` of a content type, and texts in it."""

from __future__ import annotations

import codecs
import re

from mms.bodies.invalid_input import InvalidInput
from mms.brief import brief

UTF_8 = "utf-8"

_CHARSET = re.compile(r';\s*charset\s*=\s*(?:"([^"]*)"|([^;\s"]*))', re.IGNORECASE)
#: Python's encodings of texts that are none of HTTP's, or take more than a moment.
_NO_CHARSETS = frozenset(
    {
        *("idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined"),
        *("unicode-escape", "utf-7"),
    }
)


def charset_of(content_type: str) -> str:
    """Return the name of the charset that a Content-Type header names, UTF-8 if it names none.

    It is not looked up here: `decode` says what is wrong with it.
    """
    found = _CHARSET.search(content_type)
    named = "" if found is None else (found[1] if found[1] is not None else found[2]).strip()
    return named.lower() if named else UTF_8


def decode(
    content: bytes | bytearray | memoryview, charset: str, where: str, media_type: str
) -> str:
    """Return the text. `where` begins the error's message. Raises InvalidInput."""
    if charset != UTF_8:
        charset = _known(charset, where)
    try:
        return str(content, charset)
    except UnicodeDecodeError as error:
        if charset == UTF_8:
            named = f"UTF-8, as its content type {media_type} requires"
        else:
            named = f"{charset}, as its content type says"
        raise InvalidInput(
            f"{where} is not valid {named}: byte 0x{error.object[error.start]:02x} at position {error.start}"
        ) from None


def _known(charset: str, where: str) -> str:
    try:
        codec = codecs.lookup(charset)
    except (LookupError, ValueError):
        codec = None
    if codec is None or codec.name in _NO_CHARSETS or not codec._is_text_encoding:
        raise InvalidInput(f"{where} has a charset that is not known: {brief(charset)}")
    return codec.name
