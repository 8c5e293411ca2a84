"""gRPC's form of inference: ModelInferRequest and ModelInferResponse, without protobuf's objects.

The bytes of raw tensors go from the request into arrays, and from arrays into the answer, each with one copy at the
most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from mms.bodies.protobuf_wire import (
    BrokenMessage,
    field,
    read_fields,
    read_text,
    read_varint,
    signed,
    varint,
)
from mms.interfaces.oip.infer_parameters import read_entry, write_entries
from mms.interfaces.oip.shared_memory import Regions, Slot, write_slot
from mms.interfaces.oip.worker.requested_output import check_output
from mms.interfaces.oip.worker.typed_contents import FIELDS, read_contents, write_contents
from mms.tensors.binary import read_binary, write_binary
from mms.tensors.datatypes import find_datatype
from mms.tensors.errors import InferError
from mms.tensors.known_requests import MOST_KNOWN_BYTES, KnownRequest
from mms.tensors.tensor import (
    NO_PARAMETERS,
    InferRequest,
    InferResponse,
    Parameter,
    RequestedOutput,
    Tensor,
)
from mms.text.brief import brief
from mms.wire import Item, Load, ResultItem

# Tags of ModelInferRequest, then of its tensors; the numbers of ModelInferResponse are the same up to the inputs.
_MODEL_NAME: Final = 1 << 3 | 2
_MODEL_VERSION: Final = 2 << 3 | 2
_ID: Final = 3 << 3 | 2
_PARAMETERS: Final = 4 << 3 | 2
_TENSORS: Final = 5 << 3 | 2
_OUTPUTS: Final = 6 << 3 | 2
_RAW_INPUTS: Final = 7 << 3 | 2
_RAW_OUTPUTS: Final = 6 << 3 | 2
_NAME: Final = 1 << 3 | 2
_DATATYPE: Final = 2 << 3 | 2
_SHAPE: Final = 3 << 3
_PACKED_SHAPE: Final = 3 << 3 | 2
_TENSOR_PARAMETERS: Final = 4 << 3 | 2
_CONTENTS: Final = 5 << 3 | 2
_OUTPUT_PARAMETERS: Final = 2 << 3 | 2

#: Requests that are remembered: each message is compared with these.
_MOST_KNOWN: Final = 8
#: How outputs are described, of which that is remembered.
_MOST_DESCRIBED: Final = 64


class _Input(NamedTuple):
    """An input as it stands in the message. `contents`: where they lie; None where it has none."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Parameter]
    contents: tuple[int, int] | None


class AnswerForm(NamedTuple):
    """`is_raw`: tensors are to stand in `raw_output_contents`. `in_memory`: outputs that are to lie in shared memory of
    the client's."""

    is_raw: bool
    in_memory: Mapping[str, Slot] = {}


_RAW_FORM: Final = AnswerForm(is_raw=True)


class GrpcCodec:
    """Reads requests and writes answers of one model."""

    def __init__(self, load: Load) -> None:
        self._head = field(_MODEL_NAME, load.model_name.encode("utf-8", "replace"))
        if load.model_version is not None:
            self._head += field(_MODEL_VERSION, load.model_version.encode("utf-8", "replace"))
        #: What comes before the raw tensors in messages, and what it says. The last ones come first.
        self._known: deque[tuple[bytes, KnownRequest]] = deque(maxlen=_MOST_KNOWN)

    def __repr__(self) -> str:
        return f"<GrpcCodec {self._head!r}>"

    def decode(self, item: Item) -> tuple[InferRequest, AnswerForm]:
        """Raises InferError."""
        operation, data = item[7], item[6]
        for head, known in self._known:
            if data.startswith(head):
                inputs = _read_known(data, len(head), known)
                if inputs is not None:
                    return known.with_inputs(inputs), _RAW_FORM
        try:
            regions = Regions("" if operation is None else operation.path)
            request, form, head_bytes = _read_request(data, regions)
        except BrokenMessage as error:
            raise InferError(f"The message is not a ModelInferRequest: {error}.") from None
        if 0 < head_bytes <= MOST_KNOWN_BYTES and not form.in_memory:
            self._remember(bytes(data[:head_bytes]), data, request)
        return request, form

    def _remember(self, head: bytes, data: bytes | bytearray, request: InferRequest) -> None:
        known = KnownRequest.of(request)
        if known is None or not known.size:
            return
        # What is in shared memory is not among the raw tensors.
        if _read_known(data, len(head), known) is not None:
            self._known.appendleft((head, known))

    def encode(
        self, request: InferRequest, form: AnswerForm, response: InferResponse, index: int
    ) -> ResultItem:
        """Return the answer. Raises InferError for a value that a message cannot hold."""
        # One form for all of them: there is no other for these datatypes than the raw one.
        is_raw = (
            form.is_raw
            or bool(form.in_memory)
            or any(output.datatype not in FIELDS for output in response.outputs)
        )
        parts: list[Any] = [self._head]
        if request.id:
            parts.append(field(_ID, request.id.encode("utf-8", "replace")))
        raw: list[Any] = []
        try:
            parts.append(write_entries(_PARAMETERS, response.parameters))
            for output in response.outputs:
                what = f"Output {brief(output.name)}"
                slot = form.in_memory.get(output.name)
                data: Any = b""
                if slot is not None:
                    data = write_binary(output.array, output.datatype, what)
                    placed = write_slot(slot, data, what).parameters
                    output = output._replace(parameters={**output.parameters, **placed})
                    data = b""
                elif is_raw:
                    data = write_binary(output.array, output.datatype, what)
                described = _described(output.name, output.datatype, tuple(output.shape))
                if output.parameters:
                    described += write_entries(_TENSOR_PARAMETERS, output.parameters)
                if is_raw:
                    raw += (bytes((_RAW_OUTPUTS,)), varint(len(data)), data)
                else:
                    contents = write_contents(output.array, output.datatype, what)
                    described += bytes((_CONTENTS,)) + varint(len(contents)) + contents
                parts.append(field(_TENSORS, described))
        except BrokenMessage as error:
            raise InferError(f"The answer cannot be written: {error}.", 500) from None
        return index, 0, 200, b"", b"", b"".join([*parts, *raw])


@lru_cache(_MOST_DESCRIBED)
def _described(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(map(varint, shape))
    return b"".join(
        (
            field(_NAME, name.encode("utf-8", "replace")),
            field(_DATATYPE, datatype.encode()),
            field(_PACKED_SHAPE, sizes) if sizes else b"",
        )
    )


def _read_known(data: bytes | bytearray, at: int, known: KnownRequest) -> dict[str, Tensor] | None:
    """Return the tensors of a message that is known up to there; None where something else than they follows. Raises
    InferError."""
    end = len(data)
    inputs = {}
    for each in known.inputs:
        if at >= end or data[at] != _RAW_INPUTS:
            return None
        try:
            size, at = read_varint(data, at + 1)
        except IndexError:
            return None
        if size != each.size or size > end - at:
            return None
        inputs[each.name] = each.read_binary(data, at)
        at += size
    return inputs if at == end else None


def _read_request(
    data: bytes | bytearray, regions: Regions
) -> tuple[InferRequest, AnswerForm, int]:
    """Return (request, form of its answer, how many bytes come before the first raw tensor, 0 where there is none)."""
    id = version = ""
    head_bytes = 0
    before = 0
    parameters: dict[str, Parameter] = {}
    inputs: list[_Input] = []
    outputs: list[RequestedOutput] = []
    in_memory: dict[str, Slot] = {}
    raw: list[tuple[int, int]] = []
    for tag, start, stop in read_fields(data, 0, len(data)):
        if tag == _RAW_INPUTS:
            if not raw:
                head_bytes = before
            raw.append((start, stop))
        elif tag == _TENSORS:
            inputs.append(_read_input(data, start, stop))
        elif tag == _OUTPUTS:
            output = _read_output(data, start, stop)
            what = f"Output {brief(output.name)}"
            slot = regions.take(output.parameters, what) if output.parameters else None
            if slot is not None:
                in_memory[output.name] = slot
            check_output(output.parameters, what)
            outputs.append(output)
        elif tag == _PARAMETERS:
            _add_entry(parameters, data, start, stop, "The request")
        elif tag == _ID:
            id = read_text(data, start, stop)
        elif tag == _MODEL_VERSION:
            version = read_text(data, start, stop)
        before = stop
    tensors = _read_tensors(data, inputs, raw, regions)
    names = {output.name for output in outputs}
    if len(names) < len(outputs):
        raise InferError("An output is asked for twice.")
    is_raw = bool(raw) or not any(each.contents for each in inputs)
    request = InferRequest(id, version, parameters or NO_PARAMETERS, tensors, outputs or None)
    return request, AnswerForm(is_raw, in_memory), head_bytes


def _read_tensors(
    data: bytes | bytearray,
    inputs: list[_Input],
    raw: list[tuple[int, int]],
    regions: Regions,
) -> dict[str, Tensor]:
    slots = {
        place: slot
        for place, each in enumerate(inputs)
        if each.parameters
        and (slot := regions.take(each.parameters, f"Input {brief(each.name)}")) is not None
    }
    # What lies in shared memory has none.
    count = len(inputs) - len(slots)
    if raw and len(raw) != count:
        raise InferError(
            f"The request has {count} inputs and {len(raw)} raw_input_contents; each input needs one."
        )
    contents = iter(raw)
    tensors: dict[str, Tensor] = {}
    for place, each in enumerate(inputs):
        what = f"Input {brief(each.name)}"
        if each.name in tensors:
            raise InferError(f"{what} comes twice.")
        datatype = find_datatype(each.datatype, what)
        if place in slots:
            if each.contents is not None:
                raise InferError(f"{what} is in shared memory, and has contents, too.")
            content = regions.read(slots[place], what)
            array = read_binary(content, 0, len(content), datatype, each.shape, what)
        elif raw:
            if each.contents is not None:
                raise InferError(
                    f"{what} has contents beside raw_input_contents; one of both is right."
                )
            start, stop = next(contents)
            array = read_binary(data, start, stop - start, datatype, each.shape, what)
        else:
            start, stop = each.contents or (0, 0)
            array = read_contents(data, start, stop, datatype, each.shape, what)
        tensors[each.name] = Tensor(
            each.name, each.datatype, tuple(each.shape), array, each.parameters or NO_PARAMETERS
        )
    return tensors


def _read_input(data: bytes | bytearray, start: int, stop: int) -> _Input:
    name = datatype = ""
    shape: list[int] = []
    parameters: dict[str, Parameter] = {}
    contents: tuple[int, int] | None = None
    for tag, at, end in read_fields(data, start, stop):
        if tag == _NAME:
            name = read_text(data, at, end)
        elif tag == _DATATYPE:
            datatype = read_text(data, at, end)
        elif tag == _SHAPE:
            shape.append(signed(at))
        elif tag == _PACKED_SHAPE:
            shape += _read_sizes(data, at, end)
        elif tag == _TENSOR_PARAMETERS:
            _add_entry(parameters, data, at, end, f"Input {brief(name)}")
        elif tag == _CONTENTS:
            contents = at, end
    return _Input(name, datatype, shape, parameters, contents)


def _read_output(data: bytes | bytearray, start: int, stop: int) -> RequestedOutput:
    name = ""
    parameters: dict[str, Parameter] = {}
    for tag, at, end in read_fields(data, start, stop):
        if tag == _NAME:
            name = read_text(data, at, end)
        elif tag == _OUTPUT_PARAMETERS:
            _add_entry(parameters, data, at, end, f"Output {brief(name)}")
    return RequestedOutput(name, parameters or NO_PARAMETERS)


def _read_sizes(data: bytes | bytearray, at: int, end: int) -> list[int]:
    sizes = []
    while at < end:
        number, at = _varint_within(data, at, end)
        sizes.append(signed(number))
    return sizes


def _varint_within(data: bytes | bytearray, at: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise BrokenMessage("a shape breaks off within a number")


def _add_entry(
    parameters: dict[str, Parameter], data: bytes | bytearray, start: int, stop: int, what: str
) -> None:
    name, value = read_entry(data, start, stop)
    if value is None:
        raise InferError(f"{what} has the parameter {brief(name)} without a value.")
    parameters[name] = value
