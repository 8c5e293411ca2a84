"""A request of tensors that a model is likely to answer, by what it declares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from mms.interfaces import AUTO, find_interface
from mms.tensors.datatypes import BOOL, BYTES
from mms.tensors.declaration import INPUT, TensorDeclaration

if TYPE_CHECKING:
    from mms.serving.served import ServedModel

#: More are too many for a command line that a person reads.
_MOST_ELEMENTS: Final = 64
_UNKNOWN: Final = TensorDeclaration(INPUT, "FP32", (1, 2))


def sample_of(served: ServedModel) -> tuple[str, dict[str, Any]] | None:
    """Return the path and the body of an inference; None for a model that is not known to take tensors."""
    interface = None if served.interface == AUTO else find_interface(served.interface)
    if interface is not None and interface.has_v2_dialect:
        return None
    declaration = getattr(served, "declaration", None)
    declared = () if declaration is None else declaration.inputs
    inputs = [each for each in declared if not each.is_optional]
    if not inputs:
        if interface is None or not interface.codecs:
            return None
        inputs = [_UNKNOWN]
    if sum(math.prod(_shape(each)) for each in inputs) > _MOST_ELEMENTS:
        return None
    return f"/v2/models/{quote(served.name, safe='')}/infer", {
        "inputs": [
            {
                "name": each.name,
                "shape": _shape(each),
                "datatype": each.datatype,
                "data": [_element(each.datatype)] * math.prod(_shape(each)),
            }
            for each in inputs
        ]
    }


def _shape(declared: TensorDeclaration) -> list[int]:
    return [size if size >= 0 else 1 for size in declared.shape]


def _element(datatype: str) -> Any:
    if datatype == BYTES:
        return "hello"
    if datatype == BOOL:
        return True
    return 1 if "INT" in datatype else 1.0
