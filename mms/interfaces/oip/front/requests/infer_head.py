"""What the front reads of a ModelInferRequest: whom it asks, and until when. Tensors are passed over."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final, NamedTuple

from mms.bodies.protobuf_wire import DELIMITED, BrokenMessage, read_fields, read_text, read_varint
from mms.core.request import Buffer
from mms.core.request_options import DEFAULT_OPTIONS, RequestOptions
from mms.errors import BadRequest
from mms.interfaces.oip.front.requests.options import options_of
from mms.interfaces.oip.infer_parameters import read_entry

_MODEL_NAME: Final = 1 << 3 | DELIMITED
_MODEL_VERSION: Final = 2 << 3 | DELIMITED
_ID: Final = 3 << 3 | DELIMITED
_PARAMETERS: Final = 4 << 3 | DELIMITED
_RAW_INPUTS: Final = 7 << 3 | DELIMITED
#: Each input has two; the front looks at all of them.
_MOST_FIELDS: Final = 4096
#: Heads that are remembered, each of so many bytes at most, and raw inputs behind them.
_MOST_KNOWN: Final = 8
_MOST_KNOWN_BYTES: Final = 2048
_MOST_RAW: Final = 64
_OF_FRONT: Final = ("timeout", "priority")


class InferHead(NamedTuple):
    """`id`: the client's own, empty for none. `version`: empty for any."""

    name: str
    version: str
    id: str
    options: RequestOptions


class InferHeads:
    """Reads messages whose heads are mostly the same: all that comes before the raw tensors, which come last."""

    def __init__(self) -> None:
        #: The last ones come first.
        self._known: deque[tuple[bytes, InferHead]] = deque(maxlen=_MOST_KNOWN)

    def __repr__(self) -> str:
        return f"<InferHeads, {len(self._known)} known>"

    def read(self, body: Buffer) -> InferHead:
        """As `read_infer_head`."""
        if isinstance(body, memoryview):
            return read_infer_head(body)
        for text, head in self._known:
            if body.startswith(text) and _ends_in_raw_inputs(body, len(text)):
                return head
        head = read_infer_head(body)
        if not head.id:
            end = _end_of_head(body)
            if 0 < end <= _MOST_KNOWN_BYTES and _ends_in_raw_inputs(body, end):
                self._known.appendleft((bytes(body[:end]), head))
        return head


def _end_of_head(body: bytes | bytearray) -> int:
    """Return where the first raw input begins; 0 where that is not among the first fields."""
    end = 0
    for tag, _, stop in islice(read_fields(body, 0, len(body)), _MOST_RAW):
        if tag == _RAW_INPUTS:
            return end
        end = stop
    return 0


def _ends_in_raw_inputs(body: bytes | bytearray, at: int) -> bool:
    """Return whether nothing but a few raw inputs follows."""
    end = len(body)
    try:
        for _ in range(_MOST_RAW):
            if at == end:
                return True
            if body[at] != _RAW_INPUTS:
                return False
            size, at = read_varint(body, at + 1)
            at += size
    except IndexError:
        return False
    return at == end


def read_infer_head(body: Buffer) -> InferHead:
    """Raises BadRequest for what is no such message, names no model, or says what cannot be."""
    name = version = id = ""
    parameters: dict[str, object] | None = None
    try:
        for tag, start, stop in read_fields(body, 0, len(body), _MOST_FIELDS):
            if tag == _MODEL_NAME:
                name = read_text(body, start, stop)
            elif tag == _MODEL_VERSION:
                version = read_text(body, start, stop)
            elif tag == _ID:
                id = read_text(body, start, stop)
            elif tag == _PARAMETERS:
                key, value = read_entry(body, start, stop)
                if key in _OF_FRONT:
                    parameters = parameters or {}
                    parameters[key] = value
    except BrokenMessage as error:
        raise BadRequest(f"The message is not a ModelInferRequest: {error}.") from None
    if not name:
        raise BadRequest("The request has no model_name.")
    options = DEFAULT_OPTIONS if parameters is None else options_of(parameters)
    return InferHead(name, version, id, options)
