"""Requests of KServe's first protocol, which is TensorFlow Serving's: rows of JSON, `instances`, and `predictions`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

from mms.interfaces.oip.worker.compression import MIN_COMPRESSED_BYTES, accepted_coding, compress
from mms.tensors.binary import in_shape
from mms.tensors.datatypes import BOOL, BYTES, DATATYPES, MAX_RANK
from mms.tensors.declaration import ANY, INPUT, ModelDeclaration, TensorDeclaration
from mms.tensors.errors import InferError
from mms.tensors.json_numbers import array_of_json, leaf_types
from mms.tensors.tensor import (
    NO_PARAMETERS,
    InferRequest,
    InferResponse,
    JsonDocument,
    Parameter,
    Tensor,
)
from mms.text.brief import brief
from mms.wire import Item, Load, ResultItem
from mms.worker.tensors.items import declaration_of

if TYPE_CHECKING:
    from mms.tensors.tensor import Array

_INSTANCES: Final = "instances"
#: What KServe's own servers take in its place.
_INPUTS: Final = "inputs"
_PREDICTIONS: Final = "predictions"
_EXPLANATIONS: Final = "explanations"
_EXPLAIN: Final = "explain"
#: Each is a tensor of its own.
_MOST_NAMES: Final = 1000
#: The only member of an object that stands for bytes.
_BASE64: Final = "b64"
_JSON_LINES: Final = b"content-type: application/json\r\n"
OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class AnswerForm(NamedTuple):
    """`headers`: of the request, which name the codings that its client reads. `explains`: it asked for that."""

    headers: bytes
    explains: bool


class InstancesCodec:
    """Reads and writes the requests to one model."""

    def __init__(self, load: Load) -> None:
        self._version = load.model_version or ""
        self._declaration = declaration_of(load)

    def __repr__(self) -> str:
        return f"<InstancesCodec, {self._declaration!r}>"

    def decode(self, item: Item) -> tuple[InferRequest, AnswerForm]:
        """Raises InferError."""
        operation, headers, body = item[7], bytes(item[4]), item[6]
        explains = operation is not None and operation.name == _EXPLAIN
        try:
            document = orjson.loads(body)
        except ValueError as error:
            raise InferError(f"The body is not JSON: {error}.") from None
        if type(document) is not dict:
            raise InferError(
                f"The body is {brief(document)}; an object with the list {_INSTANCES} is right."
            )
        problem = ""
        inputs: dict[str, Tensor] = {}
        try:
            inputs = _inputs_of(document, self._declaration)
        except InferError as error:
            # A model that declares nothing may read the JSON itself.
            if self._declaration is not None and self._declaration.inputs:
                raise
            problem = error.message
        request = InferRequest(
            *("", self._version, parameters_of(document), inputs, None),
            document=JsonDocument(document, problem, explains),
        )
        return request, AnswerForm(headers, explains)

    def encode(
        self, request: InferRequest, form: AnswerForm, response: InferResponse, index: int
    ) -> ResultItem:
        """Raises InferError."""
        member = _EXPLANATIONS if form.explains else _PREDICTIONS
        if response.document is None:
            answer = {member: _rows_of(response.outputs)}
        else:
            answer = _whole(response.document, member)
        try:
            text = orjson.dumps(answer, plain, OPTIONS)
        except (TypeError, ValueError, RecursionError) as error:
            raise InferError(f"The {member} of the model are no JSON: {error}.", 500) from None
        lines = _JSON_LINES
        if len(text) >= MIN_COMPRESSED_BYTES:
            coding = accepted_coding(form.headers)
            if coding:
                text = compress(text, coding)
                lines += b"content-encoding: %b\r\nvary: accept-encoding\r\n" % coding
        return index, 0, 200, b"OK", lines, text


# Requests


def _inputs_of(document: dict[str, Any], declaration: ModelDeclaration | None) -> dict[str, Tensor]:
    """Return the tensors that the rows are. Raises InferError where they are none."""
    declared = () if declaration is None else declaration.inputs
    rows = _list_of(document)
    columns: dict[str, list[Any]]
    if rows and all(type(row) is dict and row.keys() != {_BASE64} for row in rows):
        columns = _named_columns(rows)
    elif len(declared) > 1:
        columns = _columns_in_order(rows, declared)
    else:
        columns = {declared[0].name if declared else INPUT: rows}
    found = {each.name: each for each in declared}
    return {name: _tensor(name, values, found.get(name)) for name, values in columns.items()}


def _list_of(document: dict[str, Any]) -> list[Any]:
    name = _INSTANCES if _INSTANCES in document or _INPUTS not in document else _INPUTS
    if name not in document:
        raise InferError(f"The request has no {_INSTANCES}; a list is right, one element a row.")
    rows = document[name]
    if type(rows) is not list:
        raise InferError(f"{name} are {brief(rows)}; a list is right, one element a row.")
    return rows


def _named_columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each name. Raises InferError where one row has other names than the first."""
    names = rows[0].keys()
    if len(names) > _MOST_NAMES:
        raise InferError(
            f"Rows of {_INSTANCES} have {len(names)} names; {_MOST_NAMES} are the most."
        )
    for place, row in enumerate(rows):
        if row.keys() != names:
            raise InferError(
                f"{_INSTANCES}[{place}] has the names {brief(list(row))}; the first one has {brief(list(names))}."
            )
    return {name: [row[name] for row in rows] for name in names}


def _columns_in_order(
    rows: list[Any], declared: Sequence[TensorDeclaration]
) -> dict[str, list[Any]]:
    """Return the columns of rows that are lists, for inputs that are columns. Raises InferError for other inputs."""
    names = ", ".join(each.name for each in declared)
    if any(len(each.shape) > 2 or each.shape[1:] not in ((), (1,)) for each in declared):
        raise InferError(
            f"The model takes {names}; each of {_INSTANCES} is an object with these names."
        )
    for place, row in enumerate(rows):
        if type(row) is not list or len(row) != len(declared):
            raise InferError(
                f"{_INSTANCES}[{place}] is {brief(row)}; an object with {names} is right, or a list of their values."
            )
    return {each.name: [row[place] for row in rows] for place, each in enumerate(declared)}


def _tensor(name: str, values: list[Any], declared: TensorDeclaration | None) -> Tensor:
    what = f"Input {brief(name)}"
    values = [_of_base64(value, what) for value in values]
    shape = shape_of(values, what)
    if declared is not None and len(shape) == 1 and declared.shape[1:] in ((1,), (ANY,)):
        # A column, whose rows of one number are written as that number.
        values = [[value] for value in values]
        shape = [*shape, 1]
    datatype = datatype_of(values, what) if declared is None else declared.datatype
    if datatype == BYTES and any(type(value) is bytes for value in values):
        array = _array_of_bytes(values, shape, what)
    else:
        array = array_of_json(values, DATATYPES[datatype], shape, what)
    return Tensor(name, datatype, shape, array)


def _of_base64(value: Any, what: str) -> Any:
    if type(value) is not dict or value.keys() != {_BASE64}:
        return value
    try:
        return base64.b64decode(value[_BASE64], validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise InferError(f"{what} has {_BASE64} that is no base64: {error}.") from None


def _array_of_bytes(values: list[Any], shape: list[int], what: str) -> Array:
    array: Array = np.empty(len(values), object)
    for place, value in enumerate(values):
        if type(value) not in (bytes, str):
            raise InferError(
                f"{what} is {_BASE64} in one row and {brief(value)} in another; one form is right."
            )
        array[place] = value.encode() if type(value) is str else value
    return in_shape(array, shape, what)


def shape_of(values: list[Any], what: str) -> list[int]:
    """Return the shape that the first elements have; whether the others have it shows with their values."""
    shape = []
    value: Any = values
    while type(value) is list:
        shape.append(len(value))
        if len(shape) > MAX_RANK:
            raise InferError(f"{what} has lists in more than {MAX_RANK} levels.")
        if not value:
            break
        value = value[0]
    return shape


def datatype_of(values: list[Any], what: str) -> str:
    """Return the datatype that values in JSON have by themselves. Raises InferError where they have none, or two."""
    try:
        types = leaf_types(values)
    except RecursionError:
        raise InferError(f"{what} has data that are nested too deep.") from None
    if types <= {str, bytes} and types:
        return BYTES
    if types == {bool}:
        return BOOL
    if types <= {int, float}:
        return "INT64" if types == {int} else "FP64"
    kinds = sorted(_KINDS.get(each, "null") for each in types)
    raise InferError(
        f"{what} has {' and '.join(kinds)}; numbers alone are right, or texts, or true and false."
    )


_KINDS: Final = {
    bool: "true and false",
    int: "numbers",
    float: "numbers",
    str: "texts",
    bytes: _BASE64,
    dict: "objects",
    list: "lists",
}


def parameters_of(document: dict[str, Any]) -> Mapping[str, Parameter]:
    said = document.get("parameters")
    if type(said) is not dict:
        return NO_PARAMETERS
    return {name: value for name, value in said.items() if type(value) in (str, bool, int, float)}


# Answers


def _whole(document: JsonDocument, member: str) -> Any:
    """Return the answer that a model's document is: the member alone where it is no whole answer already.

    Raises InferError where an explanation was asked for, and the model's code does not know of any.
    """
    value = document.value
    if isinstance(value, Mapping) and member in value:
        return value
    if member == _EXPLANATIONS and not document.explains:
        raise InferError(
            f"The model gives no explanations: its result is no dict with {_EXPLANATIONS}.", 501
        )
    return {member: value}


def _rows_of(outputs: Sequence[Tensor]) -> Any:
    """Return the only output, or of several an object for each row; their lists where they differ in rows."""
    if len(outputs) == 1:
        return _values_of(outputs[0])
    lists = {output.name: _values_of(output) for output in outputs}
    rows = {len(output.array) if output.array.ndim else -1 for output in outputs}
    if len(rows) != 1 or -1 in rows:
        return lists
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _values_of(output: Tensor) -> Any:
    """Return nested lists of texts, or an array of numbers."""
    return _text_lists(output.array.tolist()) if output.datatype == BYTES else output.array


def _text_lists(value: Any) -> Any:
    if isinstance(value, list):
        return [_text_lists(each) for each in value]
    return _text_or_base64(value) if isinstance(value, bytes) else value


def _text_or_base64(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {_BASE64: base64.b64encode(value).decode()}


def plain(value: Any) -> Any:
    """Return what orjson takes in place of what it does not. Raises TypeError."""
    if isinstance(value, bytes | bytearray):
        return _text_or_base64(bytes(value))
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "iterrows"):
        # A table's rows.
        return value.to_dict(orient="records")
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
