"""Query strings and urlencoded forms. The rules are those that MMS's HTTP library had."""

from __future__ import annotations

from mms.bodies.invalid_input import InvalidInput
from mms.text.brief import brief

#: Of a query string; further ones are left out, as MMS does.
MAX_QUERY_PARAMETERS = 1024
#: Of a form. MMS's published version has no limit; this one keeps a small body from costing seconds.
MAX_FORM_FIELDS = 65536

#: MMS drops what follows a line break in a form up to this size, and refuses more.
_MAX_DROPPED_BYTES = 1024


def parse_query(query: bytes | bytearray) -> dict[str, bytearray]:
    """Return the parameters of a raw query string; of equal names the last one. Raises InvalidInput.

    `&` and `;` separate, `+` is a blank, `#` ends.
    """
    parameters: dict[str, bytearray] = {}
    count = 0
    fields = bytes(query).partition(b"#")[0].replace(b";", b"&").split(b"&")
    for field in fields:
        name, _, value = field.lstrip(b"=").partition(b"=")
        if not name and not value:
            continue
        parameters[_text(name, "query string")] = bytearray(_unescape(value, "query string"))
        count += 1
        if count == MAX_QUERY_PARAMETERS:
            break
    return parameters


def parse_form(body: bytes | bytearray) -> dict[str, bytearray]:
    """Return the fields of an urlencoded form; of equal names the last one. Raises InvalidInput.

    A last field without `=` is dropped, and so is what follows a line break in a value.
    """
    parameters: dict[str, bytearray] = {}
    last = body.count(b"&")
    if last >= MAX_FORM_FIELDS:
        raise InvalidInput(f"the form has {last + 1} fields, the limit is {MAX_FORM_FIELDS}")
    has_breaks = b"\n" in body or b"\r" in body
    end = 0
    for index, field in enumerate(bytes(body).split(b"&")):
        end += len(field) + 1
        name, equals, value = field.partition(b"=")
        if not equals and (index == last or not name):
            continue
        if not name:
            raise InvalidInput(f"field {index + 1} of the form has no name")
        is_cut = has_breaks and (b"\n" in value or b"\r" in value)
        if is_cut:
            kept = value.replace(b"\r", b"\n").partition(b"\n")[0]
            dropped = len(body) - end + len(value) - len(kept)
            if dropped > _MAX_DROPPED_BYTES:
                shown = str(bytes(name[:64]), "utf-8", "replace")
                raise InvalidInput(
                    f"the value of form field {brief(shown)} holds a line break; it has to be %0A or %0D%0A"
                )
            value = kept
        parameters[_text(name, "form")] = bytearray(_unescape(value, "form"))
        if is_cut:
            break
    return parameters


def _text(escaped: bytes | bytearray, where: str) -> str:
    try:
        return str(_unescape(escaped, where), "utf-8")
    except UnicodeDecodeError:
        shown = str(escaped, "ascii", "backslashreplace")
        raise InvalidInput(f"the {where} holds {brief(shown)}, which is not UTF-8") from None


def _unescape(escaped: bytes | bytearray, where: str) -> bytes | bytearray:
    if b"+" in escaped:
        escaped = escaped.replace(b"+", b" ")
    if b"%" not in escaped:
        return escaped
    pieces = escaped.split(b"%")
    result = bytearray(pieces[0])
    for piece in pieces[1:]:
        digits = piece[:2]
        # int() alone would take blanks, signs and underscores.
        if len(digits) < 2 or not digits.isalnum():
            raise _bad_escape(digits, where)
        try:
            result.append(int(digits, 16))
        except ValueError:
            raise _bad_escape(digits, where) from None
        result += piece[2:]
    return result


def _bad_escape(digits: bytes | bytearray, where: str) -> InvalidInput:
    shown = "%" + str(digits, "latin-1")
    return InvalidInput(
        f"the {where} holds {brief(shown)}, which is not a percent escape (% and two hex digits)"
    )
