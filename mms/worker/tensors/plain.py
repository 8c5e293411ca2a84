"""Requests of a protocol of tensors to an entry point that takes requests of others in the same call."""

from __future__ import annotations

from typing import Any

from mms.context import Context
from mms.tensors.errors import InferError
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest
from mms.wire import Load, ResultItem
from mms.worker.requests.answer_head import InvalidHead, encode_status
from mms.worker.tensors.items import TensorItem, TensorItems


class PlainTensors:
    """Makes elements of `data` of requests, and answers of results."""

    def __init__(self, load: Load) -> None:
        self.items = TensorItems(load)

    def __repr__(self) -> str:
        return f"<PlainTensors, {self.items!r}>"

    def data_of(self, request: InferRequest) -> dict[str, object]:
        """Return what a handler gets: the arrays as `inputs` and as `body`, and what else the client said."""
        arrays = {name: tensor.array for name, tensor in request.inputs.items()}
        return {
            "inputs": arrays,
            "body": arrays,
            "parameters": dict(request.parameters),
            "id": request.id,
        }

    def write(
        self, item: TensorItem, value: Any, context: Context, place: int, index: int
    ) -> ResultItem:
        """Return the result of what the handler returned for a request. `place`: its place in the call."""
        try:
            _check_status(context, place, value)
            answer = response_of(value, item.request, self.items.declaration)
        except Exception as error:
            return self.items.failure(index, error)
        return self.items.write(item, answer, index)


def _check_status(context: Context, place: int, value: Any) -> None:
    """Raise InferError where the handler has set another status than 200 for the request."""
    processors = context.request_processor if context._has_processors() else None
    if not processors:
        return
    try:
        status = encode_status(processors[place].get_response_status_code())
    except InvalidHead as error:
        raise InferError(f"Invalid model response: {error}", 500) from None
    if status != 200:
        phrase = processors[place].get_response_status_phrase()
        text = value if isinstance(value, str) and value else phrase
        raise InferError(str(text or f"the model answered with status {status}"), status)
