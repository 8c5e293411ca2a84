"""The commonest answer, an array of numbers, written without an object for the message around it.

The bytes are those of `encode_json` and `dump_json`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import orjson

from mms.interfaces.seldon.codec.forms import Array, ClassNames, Form, default_names
from mms.interfaces.seldon.codec.json_text import dump_json

#: Elements that orjson writes as Python writes them, straight from an array's memory. Booleans go another way.
_DTYPES = frozenset(
    np.dtype(name) for name in ("f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
)
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
#: What orjson writes for NaN and infinities.
_NULL = b"null"


def array_answer(
    array: Array, form: Form, class_names: ClassNames, meta: dict[str, Any], strict: bool
) -> bytes | None:
    """None for an array that is not for this way."""
    shape = array.shape
    if not shape or array.dtype not in _DTYPES or not array.flags.c_contiguous:
        return None
    if form is Form.NDARRAY:
        content = orjson.dumps(array, option=_NUMPY)
        head, tail = b',"ndarray":', b'},"meta":'
    elif form is Form.TFTENSOR:
        return None
    else:
        content = orjson.dumps(array.ravel(), option=_NUMPY)
        head = b',"tensor":{"shape":%b,"values":' % orjson.dumps(shape)
        tail = b'}},"meta":'
    if strict and _NULL in content:
        return None
    names = b"[]"
    if len(shape) > 1:
        own = class_names()
        names = _default_names(shape[1]) if own is None else dump_json(own, strict)[:-1]
    meta_text = dump_json(meta, strict)[:-1] if meta else b"{}"
    return b"".join((b'{"data":{"names":', names, head, content, tail, meta_text, b"}\n"))


@functools.lru_cache(maxsize=64)
def _default_names(count: int) -> bytes:
    return orjson.dumps(default_names(count))
