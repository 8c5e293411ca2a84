"""Paths and queries. Paths are cut at `/` and then percent-decoded; trailing slashes do not count."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from mms.errors import BadRequest
from mms.text.brief import brief

_HEX = frozenset(b"0123456789abcdefABCDEF")

#: MMS's HTTP library reads this many parameters of a query at most.
_MAX_PARAMETERS = 1024


def _unquoted(data: bytes, what: str) -> str:
    at = data.find(b"%")
    while at >= 0:
        digits = data[at + 1 : at + 3]
        if len(digits) != 2 or digits[0] not in _HEX or digits[1] not in _HEX:
            raise BadRequest(
                f"Invalid percent-escape in {what}: {data[at : at + 3].decode('latin-1')}"
            )
        at = data.find(b"%", at + 3)
    try:
        return unquote_to_bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        shown = data.decode("ascii", "backslashreplace")
        raise BadRequest(f"Invalid UTF-8 in {what}: {brief(shown)}") from None


def check_query(query: bytes) -> None:
    """Raise BadRequest for a query that is not UTF-8, escaped or not. Of its escapes others judge."""
    if b"%" in query or not query.isascii():
        try:
            unquote_to_bytes(query).decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadRequest(
                f"Invalid UTF-8 in query: {error.reason} at {brief(error.object[error.start : error.end])}"
            ) from None


def split_path(path: bytes) -> list[str]:
    """The segments of a raw path; the root has none. Raises BadRequest for a bad percent-escape and bad UTF-8."""
    # Cut before it is decoded: `%2F` is part of a name.
    segments = [_unquoted(part, "path") for part in path.split(b"/")]
    if segments and not segments[0]:
        del segments[0]
    while segments and not segments[-1]:
        del segments[-1]
    return segments


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """(name, value) in order. `&` and `;` separate, `+` is a blank, no `=` means an empty value.

    Parameters beyond the number that MMS reads are left out. Raises BadRequest for a bad percent-escape and bad UTF-8.
    """
    if not query:
        return []
    parts = [part for part in query.replace(b";", b"&").split(b"&") if part]
    pairs = []
    for part in parts[:_MAX_PARAMETERS]:
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        pairs.append((_unquoted(name, "query"), _unquoted(value, "query")))
    return pairs


def first_values(query: bytes) -> dict[str, str]:
    """Parameters by name; the first of repeated ones counts."""
    values: dict[str, str] = {}
    for name, value in parse_query(query):
        values.setdefault(name, value)
    return values
