"""Requests of protocols of tensors to a graph: the message that its nodes get, and their reply as tensors.

Imported where the first of them comes, since numpy takes long to import.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mms.core import Request
from mms.errors import WorkerFailure
from mms.interfaces import find_codec, part
from mms.interfaces.seldon.codec.forms import Form, is_numeric
from mms.interfaces.seldon.codec.json_decoding import decode_json
from mms.interfaces.seldon.codec.json_encoding import encode_json
from mms.interfaces.seldon.codec.json_text import dump_json
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.interfaces.seldon.graph.message import JSON, Message, loads
from mms.interfaces.seldon.tensors.inputs import plain_tags, x_of
from mms.tensors.errors import InferError
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest, InferResponse, JsonDocument
from mms.wire import Load

_EXPLANATION: Final = "explain"


class TensorCall(NamedTuple):
    """A request that was read. `form`: what its codec has to know of the answer."""

    request: InferRequest
    form: Any
    codec: Any
    message: Message


class GraphTensors:
    """Reads requests to one graph and writes their answers."""

    def __init__(self, name: str, version: str | None, *, keeps_types: bool) -> None:
        """`keeps_types`: all nodes read a tensor of TensorFlow, which says of which datatype its numbers are."""
        self._load = Load(name, version, "", "")
        self._form = Form.TFTENSOR if keeps_types else Form.NDARRAY
        self._codecs: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<GraphTensors of {self._load.model_name}, {self._form}>"

    def read(self, asked: Request) -> TensorCall:
        """Raises WorkerFailure for what is no request, or has no numbers."""
        operation = asked.operation
        assert operation is not None
        codec = self._codecs.get(operation.protocol)
        if codec is None:
            codec = self._codecs[operation.protocol] = part(find_codec(operation.protocol))(
                self._load
            )
        # Codecs keep what they read.
        body = bytearray(asked.body)
        # Files of clients are for workers to read.
        operation = operation._replace(path="")
        item = (asked.id, 0, asked.content_type, b"", asked.headers, 0, body, operation)
        try:
            if operation.name == _EXPLANATION:
                raise InferError(f"The graph {self._load.model_name} gives no explanations.", 501)
            request, form = codec.decode(item)
            if request.document is not None and request.document.problem:
                raise InferError(request.document.problem)
            value, names = x_of(request)
        except InferError as error:
            raise _failure(error) from None
        its_form = self._form if is_numeric(value) else Form.NDARRAY
        if its_form is Form.NDARRAY and not names:
            document: dict[str, Any] = {"data": {"names": [], "ndarray": value.tolist()}}
        else:
            document = encode_json(value, its_form, lambda: names, {})
        return TensorCall(request, form, codec, Message(dump_json(document), JSON))

    def write(self, call: TensorCall, reply: Message) -> Message:
        """Return the answer to the client. Raises WorkerFailure for a reply that is no tensor."""
        try:
            incoming = decode_json(loads(reply.body))
            result = call.codec.encode(
                call.request, call.form, _response(incoming, call.request), 0
            )
        except InferError as error:
            raise _failure(error) from None
        except (ValueError, SeldonMicroserviceException) as error:
            raise WorkerFailure(f"The reply of the graph is no message: {error}", 500) from None
        _, _, status, phrase, lines, body = result
        return Message(body, b"", status=status, phrase=phrase, headers=lines)


def _response(incoming: Any, request: InferRequest) -> InferResponse:
    value = incoming.value
    tags = incoming.meta.get("tags") if incoming.meta else None
    parameters = plain_tags(tags) if isinstance(tags, dict) else {}
    if request.document is not None and not hasattr(value, "dtype"):
        return InferResponse([], document=JsonDocument(value))
    return response_of(value, request)._replace(parameters=parameters)


def _failure(error: InferError) -> WorkerFailure:
    return WorkerFailure(error.message, error.status, error.type_name or None)
