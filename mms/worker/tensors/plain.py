"""Requests of a protocol of tensors to an entry point that takes requests of others in the same call."""

from __future__ import annotations

from typing import Any, Final

from mms.context import Context
from mms.tensors.errors import InferError
from mms.tensors.results import are_arrays, response_of
from mms.tensors.tensor import InferRequest, InferResponse, JsonDocument
from mms.wire import FAILED, Load, ResultItem
from mms.wire.answer_head import MAX_HEADERS_BYTES
from mms.worker.requests.answer_head import InvalidHead, encode_headers, encode_status
from mms.worker.tensors.items import TensorItem, TensorItems

#: Of an item whose client asks for an explanation.
_EXPLAIN: Final = "explain"
#: Say how the codec has written the body; a handler's would be of another one.
_CODEC_HEADERS: Final = frozenset(
    (
        "content-encoding",
        "content-length",
        "content-type",
        "inference-header-content-length",
    )
)


class PlainTensors:
    """Makes elements of `data` of requests, and answers of results."""

    def __init__(self, load: Load) -> None:
        self.items = TensorItems(load)

    def __repr__(self) -> str:
        return f"<PlainTensors, {self.items!r}>"

    def data_of(self, request: InferRequest) -> dict[str, object]:
        """Return what a handler gets: the arrays as `inputs` and as `body`, and what else the client said.

        The `body` of a request that has a document is that.
        """
        arrays = {name: tensor.array for name, tensor in request.inputs.items()}
        data: dict[str, object] = {
            "inputs": arrays,
            "body": arrays,
            "parameters": dict(request.parameters),
            "id": request.id,
        }
        document = request.document
        if document is not None:
            data["body"] = document.value
            if document.explains:
                data[_EXPLAIN] = True
        return data

    def write(
        self, item: TensorItem, value: Any, context: Context, place: int, index: int
    ) -> ResultItem:
        """Return the result of what the handler returned for a request. `place`: its place in the call."""
        try:
            lines = _header_lines(context, place, value)
            answer = self.response_of(value, item.request)
        except Exception as error:
            return self.items.failure(index, error)
        result = self.items.write(item, answer, index)
        if not lines or result[1] & FAILED:
            return result
        _, flags, status, phrase, own, body = result
        size = len(own) + len(lines)
        if size > MAX_HEADERS_BYTES:
            # The front would end this worker for them.
            return self.items.failure(
                index,
                _invalid(
                    f"the response headers have {size} bytes, the limit is {MAX_HEADERS_BYTES}"
                ),
            )
        return index, flags, status, phrase, own + lines, body

    def response_of(self, value: Any, request: InferRequest) -> InferResponse:
        """Return the response of what the handler gave. Raises InferError."""
        declaration = self.items.declaration
        if request.document is not None and (request.explains or not are_arrays(value)):
            # That of an explanation says so by its member: other handlers give a prediction there, too.
            return InferResponse([], document=JsonDocument(value))
        return response_of(value, request, declaration)


def _header_lines(context: Context, place: int, value: Any) -> bytes:
    """Return the headers that the handler has set for the request. Raises InferError where it has set a status that is
    no success, or what cannot be sent."""
    processors = context.request_processor if context._has_processors() else None
    if not processors:
        return b""
    processor = processors[place]
    try:
        status = encode_status(processor.get_response_status_code())
        if status < 300:
            headers = processor.get_response_headers()
            return encode_headers(
                {
                    name: text
                    for name, text in headers.items()
                    if str(name).lower() not in _CODEC_HEADERS
                }
            )
    except InvalidHead as error:
        raise _invalid(str(error)) from None
    phrase = processor.get_response_status_phrase()
    text = value if isinstance(value, str) and value else phrase
    if status < 400:
        raise _invalid(f"the status {status}, which this protocol does not have")
    raise InferError(str(text or f"the model answered with status {status}"), status)


def _invalid(problem: str) -> InferError:
    return InferError(f"Invalid model response: {problem}", 500)
