"""What the front reads of a ModelInferRequest: whom it asks, and until when. Tensors are passed over."""

from __future__ import annotations

from typing import Final, NamedTuple

from mms.bodies.protobuf_wire import DELIMITED, BrokenMessage, read_fields, read_text
from mms.core.request import Buffer
from mms.core.request_options import DEFAULT_OPTIONS, RequestOptions
from mms.errors import BadRequest
from mms.interfaces.oip.front.requests.options import options_of
from mms.interfaces.oip.infer_parameters import read_entry

_MODEL_NAME: Final = 1 << 3 | DELIMITED
_MODEL_VERSION: Final = 2 << 3 | DELIMITED
_ID: Final = 3 << 3 | DELIMITED
_PARAMETERS: Final = 4 << 3 | DELIMITED
#: Each input has two; the front looks at all of them.
_MOST_FIELDS: Final = 4096
_OF_FRONT: Final = ("timeout", "priority")


class InferHead(NamedTuple):
    """`id`: the client's own, empty for none. `version`: empty for any."""

    name: str
    version: str
    id: str
    options: RequestOptions


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
