"""The `charset` of a content type, and texts in it."""

from __future__ import annotations

import codecs
import re

from mms.bodies.invalid_input import InvalidInput
from mms.text.brief import brief

UTF_8 = "utf-8"

_CHARSET = re.compile(r';\s*charset\s*=\s*(?:"([^"]*)"|([^;\s"]*))', re.IGNORECASE)
#: Python's encodings of texts that are none of HTTP's, or take more than a moment.
_NO_CHARSETS = frozenset(
    {
        *("idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined"),
        *("unicode-escape", "utf-7"),
    }
)


#: Byte order marks that no text in UTF-8 begins with; those of UTF-32 begin with the bytes of UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def charset_of(content_type: str) -> str:
    """Return the name of the charset that a Content-Type header names, UTF-8 if it names none.

    It is not looked up here: `decode` says what is wrong with it.
    """
    found = _CHARSET.search(content_type)
    named = "" if found is None else (found[1] if found[1] is not None else found[2]).strip()
    return named.lower() if named else UTF_8


def decode(
    content: bytes | bytearray | memoryview,
    charset: str,
    where: str,
    media_type: str,
    *,
    reads_marks: bool = True,
) -> str:
    """Return the text. `where` begins the error's message. Raises InvalidInput.

    What is not UTF-8 and has the byte order mark of UTF-16 or UTF-32 is read as such, where it `reads_marks`.
    """
    if charset != UTF_8:
        charset = _known(charset, where)
    try:
        return str(content, charset)
    except UnicodeDecodeError as error:
        if charset == UTF_8:
            text = _text_by_mark(content) if reads_marks else None
            if text is not None:
                return text
            named = f"UTF-8, as its content type {media_type} requires"
        else:
            named = f"{charset}, as its content type says"
        raise InvalidInput(
            f"{where} is not valid {named}: byte 0x{error.object[error.start]:02x} at position {error.start}"
        ) from None


def _text_by_mark(content: bytes | bytearray | memoryview) -> str | None:
    start = bytes(content[:4])
    charset = next((charset for mark, charset in _MARKS if start.startswith(mark)), None)
    try:
        return None if charset is None else str(content, charset)
    except UnicodeDecodeError:
        return None


def _known(charset: str, where: str) -> str:
    try:
        # Python leaves out of a name what is not ASCII.
        codec = codecs.lookup(charset) if charset.isascii() else None
    except (LookupError, ValueError):
        codec = None
    if codec is None or codec.name in _NO_CHARSETS or not codec._is_text_encoding:
        raise InvalidInput(f"{where} has a charset that is not known: {brief(charset)}")
    return codec.name
