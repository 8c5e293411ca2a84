"""The datatypes of tensors: their names on the wire, and what numpy holds them in."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mms.tensors.errors import InferError
from mms.text.brief import brief

#: Dimensions of a tensor at most. numpy's own limit was 32 for long.
MAX_RANK: Final = 32

if TYPE_CHECKING:
    import numpy as np

BYTES: Final = "BYTES"
BF16: Final = "BF16"
BOOL: Final = "BOOL"


class Datatype(NamedTuple):
    """A datatype of fixed size, or BYTES.

    `numpy`: of the array that holds it, as `numpy.dtype` reads it. `item_bytes`: of one element in the binary form,
    which is little-endian; 0: each has its own. `kind`: b, u, i, f as numpy has them, S for BYTES.
    """

    name: str
    numpy: str
    item_bytes: int
    kind: str


#: By name. numpy has no BF16: it is held in 32 bits, of which the upper half is what travels.
DATATYPES: Final = {
    name: Datatype(name, dtype, size, kind)
    for name, dtype, size, kind in (
        (BOOL, "?", 1, "b"),
        ("UINT8", "u1", 1, "u"),
        ("UINT16", "<u2", 2, "u"),
        ("UINT32", "<u4", 4, "u"),
        ("UINT64", "<u8", 8, "u"),
        ("INT8", "i1", 1, "i"),
        ("INT16", "<i2", 2, "i"),
        ("INT32", "<i4", 4, "i"),
        ("INT64", "<i8", 8, "i"),
        ("FP16", "<f2", 2, "f"),
        ("FP32", "<f4", 4, "f"),
        ("FP64", "<f8", 8, "f"),
        (BF16, "<f4", 2, "f"),
        (BYTES, "O", 0, "S"),
    )
}
#: By kind and size of numpy's type.
_OF_NUMPY: Final = {
    "b1": BOOL,
    **{f"u{size}": f"UINT{8 * size}" for size in (1, 2, 4, 8)},
    **{f"i{size}": f"INT{8 * size}" for size in (1, 2, 4, 8)},
    **{f"f{size}": f"FP{8 * size}" for size in (2, 4, 8)},
}


def find_datatype(name: Any, what: str) -> Datatype:
    """Return the datatype of a name. Raises InferError for another name; `what` names the tensor."""
    found = DATATYPES.get(name) if isinstance(name, str) else None
    if found is None:
        raise InferError(
            f"{what} has the datatype {brief(name)}, which is none of {', '.join(DATATYPES)}."
        )
    return found


@lru_cache(64)
def datatype_of(dtype: np.dtype[Any]) -> str:
    """Return the name of the datatype of an array; empty where it has none.

    Arrays of objects and of numpy's texts and byte strings are BYTES, as far as their elements can be.
    """
    kind = dtype.kind
    if kind in "OSU":
        return BYTES
    return _OF_NUMPY.get(f"{kind}{dtype.itemsize}", "")
