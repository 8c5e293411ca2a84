"""Tensors, and the names of their types."""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

TRITONSERVER_MEMORY_CPU: Final = 0
TRITONSERVER_MEMORY_GPU: Final = 1

#: In the order of Triton's numbers, which begin with 1.
_TYPES: Final = (
    *(np.bool_, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.int8, np.int16, np.int32, np.int64),
    *(np.float16, np.float32, np.float64, np.object_),
)
TRITON_STRING_TO_NUMPY: Final[dict[str, Any]] = {
    "TYPE_BOOL": bool,
    **{f"TYPE_UINT{size}": getattr(np, f"uint{size}") for size in (8, 16, 32, 64)},
    **{f"TYPE_INT{size}": getattr(np, f"int{size}") for size in (8, 16, 32, 64)},
    **{f"TYPE_FP{size}": getattr(np, f"float{size}") for size in (16, 32, 64)},
    "TYPE_STRING": np.object_,
}


class Tensor:
    """A name and an array."""

    def __init__(self, name: str, tensor: Any) -> None:
        """`tensor`: an array of numpy; objects and texts are BYTES. Raises TypeError for anything else."""
        if not isinstance(name, str) or not isinstance(tensor, np.ndarray):
            raise TypeError(
                f"Tensor takes a name and an array of numpy, not {type(name).__name__} and {type(tensor).__name__}"
            )
        self._name = name
        self._array = tensor

    def __repr__(self) -> str:
        return f"<Tensor {self._name}, {self._array.dtype} {list(self._array.shape)}>"

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        """Return the array; BYTES are objects that are `bytes`."""
        return self._array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def triton_dtype(self) -> int | None:
        """Return Triton's number of its type."""
        return numpy_to_triton_type(self._array.dtype)

    def is_cpu(self) -> bool:
        return True

    def memory_type(self) -> int:
        return TRITONSERVER_MEMORY_CPU

    def to_dlpack(self) -> Any:
        """Return a capsule that others read the memory by. Raises what numpy does for objects, which have none."""
        return self._array.__dlpack__()

    @staticmethod
    def from_dlpack(name: str, tensor: Any) -> Tensor:
        """Return a tensor with the memory of another library's, or of a capsule."""
        if not hasattr(tensor, "__dlpack__"):
            tensor = _Capsule(tensor)
        return Tensor(name, np.from_dlpack(tensor))

    def __dlpack__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._array.__dlpack__(*arguments, **keywords)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class _Capsule:
    """Gives a capsule that was made already."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **keywords: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        # The memory of this machine.
        return 1, 0


def triton_to_numpy_type(data_type: int) -> Any:
    """Return numpy's type of Triton's number; None for another number."""
    return _TYPES[data_type - 1] if 1 <= data_type <= len(_TYPES) else None


def numpy_to_triton_type(data_type: Any) -> int | None:
    """Return Triton's number of a type of numpy; None for one that it does not have."""
    dtype = np.dtype(data_type)
    if dtype.kind in "OSU":
        return len(_TYPES)
    for number, each in enumerate(_TYPES, 1):
        if dtype == each:
            return number
    return None


def triton_string_to_numpy(triton_type_string: str) -> Any:
    """Return numpy's type of a `data_type`, such as TYPE_FP32. Raises KeyError for another."""
    return TRITON_STRING_TO_NUMPY[triton_type_string]


def serialize_byte_tensor(input_tensor: Any) -> Any:
    """Return an array with the bytes of all elements, each with its length before it; None for none."""
    if input_tensor.size == 0:
        return None
    if input_tensor.dtype.kind not in "OS":
        return None
    parts = []
    for element in input_tensor.ravel().tolist():
        data = element if isinstance(element, bytes) else str(element).encode()
        parts.append(struct.pack("<I", len(data)) + data)
    return np.asarray(b"".join(parts), dtype=object)


def deserialize_bytes_tensor(encoded_tensor: bytes) -> Any:
    """Return the elements of such bytes as an array of `bytes`."""
    found: list[bytes] = []
    at = 0
    while at < len(encoded_tensor):
        (size,) = struct.unpack_from("<I", encoded_tensor, at)
        at += 4
        found.append(bytes(encoded_tensor[at : at + size]))
        at += size
    array = np.empty(len(found), object)
    array[:] = found
    return array
