"""Requests of the Open Inference Protocol over REST: JSON, with tensors in it or in binary form behind it.

The header `Inference-Header-Content-Length` says where the JSON ends; 0: there is none, and the body is the one input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from mms.interfaces.oip.shared_memory import Regions, Slot, write_slot
from mms.interfaces.oip.worker.compression import MIN_COMPRESSED_BYTES, accepted_coding, compress
from mms.interfaces.oip.worker.requested_output import check_output
from mms.tensors.binary import read_binary, write_binary
from mms.tensors.datatypes import BYTES, DATATYPES, find_datatype
from mms.tensors.declaration import ANY
from mms.tensors.errors import InferError
from mms.tensors.json_numbers import JsonTensors, array_of_json, json_of_array, parse_json
from mms.tensors.known_requests import (
    MOST_KNOWN,
    MOST_KNOWN_BYTES,
    KnownRequest,
    cut_text,
    is_only_input,
)
from mms.tensors.tensor import (
    NO_PARAMETERS,
    InferRequest,
    InferResponse,
    Parameter,
    RequestedOutput,
    Tensor,
)
from mms.text.brief import brief
from mms.wire import Item, Load, ModelOperation, ResultItem
from mms.worker.tensors.items import declaration_of

Body: TypeAlias = bytes | bytearray

_LENGTH_HEADER: Final = b"inference-header-content-length"
_JSON_LINES: Final = b"content-type: application/json\r\n"
_BINARY_LINES: Final = (
    b"content-type: application/octet-stream\r\ninference-header-content-length: %d\r\n"
)
_SIZE: Final = "binary_data_size"
_IS_BINARY: Final = "binary_data"
_ARE_BINARY: Final = "binary_data_output"


class AnswerForm(NamedTuple):
    """How a client wants its answer. `are_binary`: outputs of which it does not say otherwise by `is_binary`.

    `headers`: of its request, where it names the codings that it can read. `in_memory`: outputs that are to lie in
    shared memory of the client's.
    """

    headers: bytes
    are_binary: bool = False
    is_binary: Mapping[str, bool] = {}
    in_memory: Mapping[str, Slot] = {}


class KnownForm(NamedTuple):
    """A request that is known, and how its answer is wanted."""

    request: KnownRequest
    are_binary: bool
    is_binary: Mapping[str, bool]

    def form(self, headers: bytes) -> AnswerForm:
        return AnswerForm(headers, self.are_binary, self.is_binary)


class JsonCodec:
    """Reads and writes the requests to one model."""

    def __init__(self, load: Load) -> None:
        begin: dict[str, str] = {"model_name": load.model_name}
        if load.model_version is not None:
            begin["model_version"] = load.model_version
        #: Of every answer, up to where its own members begin.
        self._begin = orjson.dumps(begin)[:-1]
        self._version = load.model_version or ""
        self._declaration = declaration_of(load)
        #: By the JSON before binary tensors, and by the JSON around the list of numbers that is the only input.
        self._known_heads: dict[bytes, KnownForm] = {}
        self._known_texts: dict[bytes, KnownForm] = {}

    def __repr__(self) -> str:
        return f"<JsonCodec {self._begin.decode()}>"

    # Requests

    def decode(self, item: Item) -> tuple[InferRequest, AnswerForm]:
        """Raises InferError."""
        headers, body = bytes(item[4]), item[6]
        length = _header_length(headers, len(body))
        if length is None:
            return self._decode_text(item[7], headers, body)
        if length == 0:
            return self._raw_request(headers, body)
        head = bytes(body[:length]) if length <= MOST_KNOWN_BYTES else b""
        known = self._known_heads.get(head)
        if known is not None and length + known.request.size == len(body):
            inputs = known.request.read_binary(body, length)
            return known.request.with_inputs(inputs), known.form(headers)
        request, form = self._decode_anew(item[7], headers, body, length)
        if head:
            _remember(self._known_heads, head, request, form, len(body) - length)
        return request, form

    def _decode_text(
        self, operation: ModelOperation | None, headers: bytes, body: Body
    ) -> tuple[InferRequest, AnswerForm]:
        """Return the request that a body of JSON alone is. Raises InferError."""
        cut = cut_text(body)
        if cut is None:
            return self._decode_anew(operation, headers, body, None)
        known = self._known_texts.get(cut.rest)
        if known is not None:
            (only,) = known.request.inputs
            try:
                tensor = only.read_json(body[cut.start : cut.end])
            except ValueError:
                # Reading it all says what is wrong with it.
                return self._decode_anew(operation, headers, body, None)
            return known.request.with_inputs({only.name: tensor}), known.form(headers)
        request, form = self._decode_anew(operation, headers, body, None)
        if not request.id and is_only_input(cut):
            _remember(self._known_texts, cut.rest, request, form)
        return request, form

    def _decode_anew(
        self, operation: ModelOperation | None, headers: bytes, body: Body, length: int | None
    ) -> tuple[InferRequest, AnswerForm]:
        """Read all of a request. `length`: of its JSON, as the client says it. Raises InferError."""
        end = len(body) if length is None else length
        try:
            parsed = parse_json(body, end)
        except ValueError as error:
            raise InferError(f"The body is not JSON: {error}.") from None
        document = parsed.value
        if type(document) is not dict:
            raise InferError("The body is JSON, but no object with inputs.")
        request_id = document.get("id")
        if request_id is None:
            request_id = ""
        elif type(request_id) is not str:
            raise InferError(f"id is {brief(request_id)}; a text is right.")
        parameters = _parameters(document, "The request")
        are_binary = _take_bool(parameters, _ARE_BINARY, "The request")
        regions = Regions("" if operation is None else operation.path)
        inputs = self._inputs(document, parsed, body, end, regions, has_length=length is not None)
        outputs, is_binary, in_memory = _outputs(document, regions)
        request = InferRequest(request_id, self._version, parameters, inputs, outputs)
        return request, AnswerForm(headers, are_binary or False, is_binary, in_memory)

    def _inputs(
        self,
        document: dict[str, Any],
        parsed: JsonTensors,
        body: Body,
        at: int,
        regions: Regions,
        *,
        has_length: bool,
    ) -> dict[str, Tensor]:
        """`at`: where the binary tensors begin. `has_length`: whether the client says so."""
        said = document.get("inputs")
        if type(said) is not list:
            raise InferError(
                "The request has no inputs; a list of tensors is right."
                if said is None
                else f"inputs are {brief(said)}; a list of tensors is right."
            )
        inputs: dict[str, Tensor] = {}
        for number, members in enumerate(said):
            if type(members) is not dict:
                raise InferError(f"inputs[{number}] is {brief(members)}; an object is right.")
            name = _name(members, f"inputs[{number}]")
            what = f"Input {brief(name)}"
            if name in inputs:
                raise InferError(f"{what} is there twice.")
            datatype = find_datatype(members.get("datatype"), what)
            shape = members.get("shape")
            if type(shape) is not list:
                raise InferError(f"{what} has the shape {brief(shape)}; a list is right.")
            parameters = _parameters(members, what)
            slot = regions.take(parameters, what) if parameters else None
            if slot is not None:
                if "data" in members or _SIZE in parameters:
                    raise InferError(f"{what} is in shared memory, and has data, too.")
                content = regions.read(slot, what)
                array = read_binary(content, 0, len(content), datatype, shape, what)
            elif _SIZE in parameters:
                size = parameters.pop(_SIZE)  # type: ignore[attr-defined]  # an own dict then
                _check_size(size, what, members, has_length=has_length)
                if size > len(body) - at:
                    raise InferError(
                        f"{what} has binary_data_size {size}, but {len(body) - at} bytes of the body are left for it."
                    )
                array = read_binary(body, at, size, datatype, shape, what)
                at += size
            elif "data" in members:
                array = array_of_json(
                    parsed.find_data(members["data"]),
                    datatype,
                    shape,
                    what,
                    has_truths=parsed.has_truths,
                )
            else:
                raise InferError(f"{what} has no data, nor binary_data_size.")
            inputs[name] = Tensor(name, datatype.name, shape, array, parameters)
        if at != len(body):
            raise InferError(
                f"The body has {len(body) - at} bytes behind its JSON and the tensors that it names."
            )
        return inputs

    def _raw_request(self, headers: bytes, body: Body) -> tuple[InferRequest, AnswerForm]:
        """Return the request that a body is whose bytes are the model's one input."""
        declared = self._declaration.inputs if self._declaration is not None else ()
        if len(declared) != 1 or self._declaration is None:
            raise InferError(
                "A body without JSON (Inference-Header-Content-Length: 0) needs a model that declares one input; "
                f"this one declares {len(declared)}."
            )
        only = declared[0]
        what = f"Input {brief(only.name)}"
        datatype = DATATYPES[only.datatype]
        shape = list(only.shape)
        if self._declaration.max_batch_size:
            shape[0] = 1
        if only.datatype == BYTES:
            if any(size not in (1, ANY) for size in shape):
                raise InferError(
                    f"{what} has the shape {shape}; a body without JSON is one element of BYTES."
                )
            data: Body = len(body).to_bytes(4, "little") + body
            shape = [1] * len(shape)
        else:
            data = body
            if shape.count(ANY) > 1:
                raise InferError(
                    f"{what} has the shape {shape}; of a body without JSON one dimension may be of any size."
                )
            if ANY in shape:
                row = datatype.item_bytes
                for size in shape:
                    row *= 1 if size == ANY else size
                if not row or len(body) % row:
                    raise InferError(
                        f"{what} has {len(body)} bytes; a multiple of {row} is right for the shape {shape} of "
                        f"{only.datatype}."
                    )
                shape[shape.index(ANY)] = len(body) // row
        array = read_binary(data, 0, len(data), datatype, shape, what)
        tensor = Tensor(only.name, only.datatype, shape, array)
        request = InferRequest("", self._version, NO_PARAMETERS, {only.name: tensor})
        return request, AnswerForm(headers, are_binary=True)

    # Answers

    def encode(
        self, request: InferRequest, form: AnswerForm, response: InferResponse, index: int
    ) -> ResultItem:
        """Raises InferError."""
        begin = [self._begin]
        if request.id:
            begin += (b',"id":', orjson.dumps(request.id))
        if response.parameters:
            begin += (b',"parameters":', orjson.dumps(dict(response.parameters)))
        begin.append(b',"outputs":[')
        outputs: list[bytes] = []
        binaries: list[bytes | bytearray | memoryview] = []
        for tensor in response.outputs:
            what = f"Output {brief(tensor.name)}"
            parameters = dict(tensor.parameters)
            data = b""
            slot = form.in_memory.get(tensor.name)
            if slot is not None:
                content = write_binary(tensor.array, tensor.datatype, what)
                parameters |= write_slot(slot, content, what).parameters
            elif form.is_binary.get(tensor.name, form.are_binary):
                content = write_binary(tensor.array, tensor.datatype, what)
                binaries.append(content)
                parameters[_SIZE] = len(content)
            else:
                data = b',"data":' + json_of_array(tensor.array, tensor.datatype, what)
            said = b""
            if parameters:
                said = b',"parameters":' + orjson.dumps(parameters)
            described = _described(tensor.name, tensor.datatype, tuple(tensor.shape))
            outputs.append(b"".join((described, said, data, b"}")))
        text = b"".join((*begin, b",".join(outputs), b"]}"))
        if binaries:
            lines = _BINARY_LINES % len(text)
            text = b"".join((text, *binaries))
        else:
            lines = _JSON_LINES
        if len(text) >= MIN_COMPRESSED_BYTES:
            coding = accepted_coding(form.headers)
            if coding:
                text = compress(text, coding)
                lines += b"content-encoding: %b\r\nvary: accept-encoding\r\n" % coding
        return index, 0, 200, b"OK", lines, text


@lru_cache(MOST_KNOWN)
def _described(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """Return how an output begins."""
    return b'{"name":%b,"datatype":"%b","shape":%b' % (
        orjson.dumps(name),
        datatype.encode(),
        orjson.dumps(shape),
    )


def _remember(
    known: dict[bytes, KnownForm],
    text: bytes,
    request: InferRequest,
    form: AnswerForm,
    binary_bytes: int | None = None,
) -> None:
    """Remember a request by what it says. `binary_bytes`: of all tensors, where they are in binary form."""
    found = None if form.in_memory else KnownRequest.of(request)
    if found is None or not found.size or binary_bytes not in (None, found.size):
        return
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[text] = KnownForm(found, form.are_binary, form.is_binary)


def _header_length(headers: bytes, body_bytes: int) -> int | None:
    """Return the length of the JSON part as the client says it; None where it does not. Raises InferError."""
    if _LENGTH_HEADER not in headers.lower():
        return None
    lines = headers.split(b"\n")
    values = {
        value.strip()
        for name, value in zip(lines[::2], lines[1::2], strict=False)
        if name.lower() == _LENGTH_HEADER
    }
    if not values:
        return None
    value = values.pop()
    if values or not value.isdigit() or len(value) > 19 or int(value) > body_bytes:
        shown = value[:40].decode("latin-1")
        raise InferError(
            f"Inference-Header-Content-Length is {brief(shown)}; a number from 0 to {body_bytes}, the size of the "
            "body, is right."
        )
    return int(value)


def _check_size(size: Any, what: str, members: dict[str, Any], *, has_length: bool) -> None:
    """Raises InferError where a tensor cannot be in binary form."""
    if type(size) is not int or size < 0:
        raise InferError(f"{what} has binary_data_size {brief(size)}; a number of bytes is right.")
    if not has_length:
        raise InferError(
            f"{what} has binary_data_size, but the request has no header Inference-Header-Content-Length."
        )
    if "data" in members:
        raise InferError(f"{what} has both data and binary_data_size.")


def _name(members: dict[str, Any], where: str) -> str:
    name = members.get("name")
    if type(name) is not str or not name:
        raise InferError(f"{where} has the name {brief(name)}; a text is right.")
    return name


def _parameters(members: dict[str, Any], what: str) -> Mapping[str, Parameter]:
    """Return a dict of its own where there are any."""
    parameters = members.get("parameters")
    if parameters is None:
        return NO_PARAMETERS
    if type(parameters) is not dict:
        raise InferError(f"{what} has parameters {brief(parameters)}; an object is right.")
    for name, value in parameters.items():
        if type(value) not in (str, bool, int, float):
            raise InferError(
                f"{what} has the parameter {brief(name)} with the value {brief(value)}; texts, numbers, true and "
                "false are right."
            )
    return parameters


def _take_bool(parameters: Mapping[str, Parameter], name: str, what: str) -> bool | None:
    """Take a truth out of parameters; None where it is not there. Raises InferError for another value."""
    if name not in parameters:
        return None
    value = parameters.pop(name)  # type: ignore[attr-defined]  # an own dict then
    if type(value) is not bool:
        raise InferError(f"{what} has {name} {brief(value)}; true or false is right.")
    return value


def _outputs(
    document: dict[str, Any], regions: Regions
) -> tuple[list[RequestedOutput] | None, dict[str, bool], dict[str, Slot]]:
    """Return (outputs that are asked for, in which form those are wanted of which that is said, where those are to lie
    that are wanted in shared memory). Raises InferError."""
    said = document.get("outputs")
    is_binary: dict[str, bool] = {}
    in_memory: dict[str, Slot] = {}
    if not said and (said is None or type(said) is list):
        return None, is_binary, in_memory
    if not isinstance(said, Sequence) or isinstance(said, str):
        raise InferError(f"outputs are {brief(said)}; a list of objects is right.")
    outputs = []
    names = set()
    for number, members in enumerate(said):
        if type(members) is not dict:
            raise InferError(f"outputs[{number}] is {brief(members)}; an object is right.")
        name = _name(members, f"outputs[{number}]")
        what = f"Output {brief(name)}"
        if name in names:
            raise InferError(f"{what} is asked for twice.")
        names.add(name)
        parameters = _parameters(members, what)
        slot = regions.take(parameters, what) if parameters else None
        if slot is not None:
            in_memory[name] = slot
        check_output(parameters, what)
        wants_binary = _take_bool(parameters, _IS_BINARY, what)
        if wants_binary is not None:
            is_binary[name] = wants_binary
        outputs.append(RequestedOutput(name, parameters))
    return outputs, is_binary, in_memory
