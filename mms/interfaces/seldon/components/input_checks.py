"""Requests against the inputs that a model's metadata declare, where `validate_inputs` asks for it."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from mms.interfaces.seldon.codec.forms import Array, Incoming
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.text.brief import brief
from mms.text.column_names import column_names

_log = logging.getLogger("mms.seldon")

_ARRAYS: Final = ("tensor", "ndarray", "tftensor")
#: Kinds of numpy's types that hold the values of a data type of the later protocol.
_KINDS: Final = {"BOOL": "b", "BYTES": "USO", "FP": "iuf", "INT": "iu", "UINT": "iu"}


class InputChecks:
    """The inputs of one model. A request fits if it fits one of them."""

    def __init__(self, inputs: Sequence[Mapping[str, Any]]) -> None:
        """`inputs`: valid ones, one at least; see `metadata.validate_model_metadata`.

        Raises what `jsonschema` raises for a schema that is none.
        """
        self._checks: list[Callable[[Incoming], str | None]] = [
            _check_of(found) for found in inputs
        ]

    def __repr__(self) -> str:
        return f"<InputChecks of {len(self._checks)} inputs>"

    def check(self, incoming: Incoming) -> None:
        """Refuse a request that no declared input fits. Raises SeldonMicroserviceException (400), which says why."""
        faults = []
        for check in self._checks:
            fault = check(incoming)
            if fault is None:
                return
            faults.append(fault)
        raise SeldonMicroserviceException(
            f"The request does not fit the inputs that the model declares: {'; or '.join(faults)}"
        )


def _check_of(declared: Mapping[str, Any]) -> Callable[[Incoming], str | None]:
    kind = declared.get("messagetype")
    schema = declared.get("schema") or {}
    if kind is None:
        shape, data_type = declared.get("shape"), declared.get("datatype")
        return lambda incoming: _array_fault(incoming, None, shape, data_type)
    if kind in _ARRAYS:
        names, shape = schema.get("names"), schema.get("shape")
        return lambda incoming: _array_fault(incoming, names, shape, None)
    if kind == "jsonData":
        return _json_check(schema)
    if kind == "strData":
        return lambda incoming: None if isinstance(incoming.value, str) else _other(incoming, kind)
    if kind == "binData":
        return lambda incoming: (
            None if isinstance(incoming.value, bytes | bytearray) else _other(incoming, kind)
        )
    # A type of the user's own says nothing that could be checked.
    return lambda incoming: None


def _array_fault(incoming: Incoming, names: Any, shape: Any, data_type: str | None) -> str | None:
    array = incoming.value
    if not isinstance(array, np.ndarray):
        return _other(incoming, "data")
    if names is not None and incoming.names:
        sent = column_names(incoming.names)
        if sent != list(names):
            return f"data.names are {brief(sent or incoming.names)}, not {brief(list(names))}"
    if shape is not None and not _fits(array.shape, shape):
        return f"data has the shape {brief(list(array.shape))}, not {brief(list(shape))}"
    if data_type is not None and not _holds(array, data_type):
        return f"data has values of type {array.dtype}, not {data_type}"
    return None


def _fits(found: tuple[int, ...], shape: Sequence[float]) -> bool:
    """Return whether an array has the shape, with or without an axis for the rows before it. -1 is any size."""
    wanted = [int(size) for size in shape]
    if len(found) == len(wanted) + 1:
        found = found[1:]
    return len(found) == len(wanted) and all(
        size in (-1, has) for size, has in zip(wanted, found, strict=True)
    )


def _holds(array: Array, data_type: str) -> bool:
    kinds = _KINDS[data_type.rstrip("0123456789")]
    if array.dtype.kind in kinds:
        return True
    # Over gRPC and in most clients' JSON all numbers are floats.
    return "i" in kinds and array.dtype.kind == "f" and bool(np.all(array == np.floor(array)))


def _json_check(schema: Any) -> Callable[[Incoming], str | None]:
    validator: Any = None
    if schema:
        if importlib.util.find_spec("jsonschema") is None:
            _log.warning(
                "validate_inputs: the schema of jsonData is not checked without the package jsonschema: "
                "pip install jsonschema"
            )
        else:
            found: Any = importlib.import_module("jsonschema.validators").validator_for(schema)
            found.check_schema(schema)
            validator = found(schema)

    def check(incoming: Incoming) -> str | None:
        value = incoming.value
        if isinstance(value, np.ndarray | str | bytes | bytearray):
            return _other(incoming, "jsonData")
        error = None if validator is None else next(validator.iter_errors(value), None)
        if error is None:
            return None
        place = "".join(f"[{brief(part)}]" for part in error.absolute_path)
        return f"jsonData{place}: {error.message}"

    return check


def _other(incoming: Incoming, wanted: str) -> str:
    value = incoming.value
    if isinstance(value, np.ndarray):
        kind = "data"
    elif isinstance(value, bytes | bytearray):
        kind = "binData"
    else:
        kind = "strData" if isinstance(value, str) else "jsonData"
    return f"the payload is {kind}, not {wanted}"
