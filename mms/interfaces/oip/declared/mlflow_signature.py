"""The signature that MLflow has saved with a model, in its file `MLmodel`.

Source: MLflow's documentation, "Model Signatures And Input Examples".
A column is an input of its own, as with MLServer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mms.tensors.declaration import (
    ANY,
    OUTPUT,
    InvalidDeclaration,
    ModelDeclaration,
    TensorDeclaration,
    all_or_none,
    read_tensor,
)
from mms.text.brief import brief
from mms.text.documents import InvalidDocument, read_yaml

MLMODEL_FILE: Final = "MLmodel"
#: The name of an input that has none.
INPUT: Final = "input-0"
_OF_COLUMNS: Final = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "binary": "BYTES",
}
_OF_TENSORS: Final = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    **{f"int{size}": f"INT{size}" for size in (8, 16, 32, 64)},
    **{f"uint{size}": f"UINT{size}" for size in (8, 16, 32, 64)},
    "str": "BYTES",
    "object": "BYTES",
    "bytes": "BYTES",
}


def read_mlmodel(data: bytes) -> ModelDeclaration | None:
    """Return what a description declares; None where it has no signature. Raises InvalidDeclaration.

    Nothing is said of inputs or outputs with a type that no datatype stands for, nor of columns of results, which
    models return as tables or arrays.
    """
    try:
        content = read_yaml(data)
    except InvalidDocument as error:
        raise InvalidDeclaration(str(error)) from None
    signature = content.get("signature") if isinstance(content, Mapping) else None
    if signature is None:
        return None
    if not isinstance(signature, Mapping):
        raise InvalidDeclaration(f"signature must be a mapping, not {brief(signature)}")
    inputs = list(_tensors(signature.get("inputs"), "inputs", INPUT))
    outputs = list(_tensors(signature.get("outputs"), "outputs", OUTPUT, has_columns=False))
    return ModelDeclaration(all_or_none(inputs), all_or_none(outputs))


def _tensors(
    said: Any, side: str, unnamed: str, *, has_columns: bool = True
) -> Iterator[TensorDeclaration | None]:
    if said is None:
        return
    try:
        listed = json.loads(said) if isinstance(said, str) else said
    except (ValueError, RecursionError) as error:
        raise InvalidDeclaration(f"signature.{side} is not JSON: {error}") from None
    if not isinstance(listed, list):
        raise InvalidDeclaration(f"signature.{side} must be a list, not {brief(listed)}")
    for number, each in enumerate(listed):
        if not isinstance(each, Mapping):
            raise InvalidDeclaration(
                f"signature.{side}[{number}] must be an object, not {brief(each)}"
            )
        name = each.get("name") or (unnamed if len(listed) == 1 else f"{unnamed[:-1]}{number}")
        if each.get("type") == "tensor":
            yield _tensor(str(name), each.get("tensor-spec"))
        elif has_columns:
            yield _column(str(name), each)
        else:
            yield None


def _column(name: str, said: Mapping[str, Any]) -> TensorDeclaration | None:
    datatype = _OF_COLUMNS.get(str(said.get("type")))
    if datatype is None:
        return None
    return TensorDeclaration(name, datatype, (ANY, 1), said.get("required") is False)


def _tensor(name: str, spec: Any) -> TensorDeclaration | None:
    if not isinstance(spec, Mapping):
        return None
    datatype = _OF_TENSORS.get(str(spec.get("dtype")).lstrip("<>=|"))
    if datatype is None:
        return None
    members = {"name": name, "datatype": datatype, "shape": spec.get("shape")}
    return read_tensor(members, f"signature ({name})")
