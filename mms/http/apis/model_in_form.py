"""The model that a form names, for clients that name it nowhere else."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from mms.bodies.invalid_input import InvalidInput
from mms.bodies.multipart import find_boundary, find_parts

_FIELD: Final = "model_name"
_MOST_FIELDS: Final = 65536


def model_in_form(content_type: bytes, body: bytes | bytearray) -> str | None:
    """Return the last field `model_name` of a form; None where there is none, or where it cannot be read.

    Takes milliseconds for a large body: for a thread.
    """
    text = content_type.decode("latin-1")
    kind = text.partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            boundary = find_boundary(text)
            parts = find_parts(body, boundary) if boundary is not None else []
            named = [part for part in parts if part.name == _FIELD]
            return str(body[named[-1].start : named[-1].end], "utf-8") if named else None
        if kind == "application/x-www-form-urlencoded":
            fields = parse_qsl(
                body.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
            return dict(fields).get(_FIELD)
    except (InvalidInput, ValueError):
        # Its model would say what is wrong with it.
        return None
    return None
