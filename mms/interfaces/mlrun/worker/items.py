"""Items of a batch -> events of a model of MLRun's contract -> results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent
from mms.interfaces.mlrun.model.running import run_event
from mms.interfaces.mlrun.worker.events import EventReader
from mms.interfaces.mlrun.worker.load import ModelLoad
from mms.interfaces.mlrun.worker.metrics import MetricSeries
from mms.wire import Item, ResultItem
from mms.worker.log_records.tracebacks import error_place
from mms.worker.requests.answer_head import (
    InvalidHead,
    encode_headers,
    encode_status,
    reason_phrase,
)

_JSON_TYPE = "application/json"
_JSON_LINES = encode_headers({"content-type": _JSON_TYPE})

RunEvent = Callable[[Any], Any]
RunEvents = Callable[[Sequence[Any]], Sequence[Any]]


class MlrunItems:
    """Serves one model, or a graph that stands for one."""

    def __init__(
        self,
        run: RunEvent,
        context: GraphContext,
        *,
        load: ModelLoad | None = None,
        run_joined: RunEvents | None = None,
        metrics: MetricSeries | None = None,
        close: Callable[[], None] | None = None,
        is_graph: bool = False,
        prefix: str = "",
        default_content_type: str | None = None,
        debug_errors: bool = False,
    ) -> None:
        """`run`: answers an event in its body, or raises. `run_joined`: Responses to the events of a whole batch.

        `load`: what is still to be done before the model is ready. `close`: called after the last batch.
        `is_graph`, `prefix`: see EventReader. `debug_errors`: answers tell file and line of an exception.
        """
        self._run = run
        self._context = context
        self._load = load
        self._run_joined = run_joined
        self._metrics = metrics
        self._close = close
        self._events = EventReader(is_graph=is_graph, prefix=prefix)
        self._default_content_type = default_content_type
        # A verbose context has the traceback in the answer anyway.
        self._is_open = debug_errors and not context.verbose
        self._shortage: MemoryError | None = None

    def __repr__(self) -> str:
        return f"<MlrunItems of {self._context!r}>"

    @property
    def is_ready(self) -> bool:
        return self._load is None or self._load.is_ready

    def start(self, tell: Callable[[bool, str], None]) -> None:
        if self._load is not None:
            self._load.start(tell)

    def close(self) -> None:
        self._context.flush_model_logs()
        if self._close is not None:
            self._close()

    def take_series(self) -> list[dict[str, Any]]:
        return [] if self._metrics is None else self._metrics.take()

    def serve_items(self, items: list[Item]) -> list[ResultItem]:
        read = self._events.read
        answers = self.answer_events([read(item) for item in items])
        if self._is_open:
            for answer in answers:
                _add_place(answer)
        return [_result(index, answer) for index, answer in enumerate(answers)]

    def answer_events(self, events: Sequence[Any]) -> Sequence[Any]:
        """Return a Response to each event. Raises MemoryError."""
        if self._run_joined is not None and len(events) > 1:
            return self._run_joined(events)
        return [self._answer(event) for event in events]

    def _answer(self, event: MockEvent) -> Any:
        response = run_event(
            self._run_watched,
            event,
            self._context,
            default_content_type=self._default_content_type,
        )
        if self._shortage is not None:
            shortage, self._shortage = self._shortage, None
            raise shortage
        return response

    def _run_watched(self, event: MockEvent) -> Any:
        try:
            return self._run(event)
        except MemoryError as error:
            # Which is no fault of the request: the server tells its clients so, and the host to make room.
            self._shortage = error
            raise


def _add_place(response: Any) -> None:
    """Have the answer for an exception, which names it, end with the place in the model's code that it comes from."""
    error = getattr(response, "error", None)
    if isinstance(error, BaseException) and isinstance(response.body, str):
        place = error_place(error)
        if place:
            response.body += f" ({place})"


def _result(index: int, response: Any) -> ResultItem:
    body = response.body
    status = response.status_code
    is_plain = status == 200 and type(body) is bytes and not response.headers
    if is_plain and response.content_type == _JSON_TYPE:
        return index, 0, 200, b"OK", _JSON_LINES, body
    try:
        lines = encode_headers(_headers_of(response))
        encode_status(status)
    except InvalidHead as error:
        text = f"Invalid model response: {error}".encode("utf-8", "replace")
        lines = encode_headers({"content-type": "text/plain"})
        return index, 0, 500, reason_phrase(500), lines, text
    return index, 0, status, reason_phrase(status), lines, _bytes_of(body)


def _headers_of(response: Any) -> dict[Any, Any]:
    headers = dict(response.headers or {})
    if not any(str(name).lower() == "content-type" for name in headers):
        headers["content-type"] = response.content_type or "text/plain"
    return headers


def _bytes_of(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    if hasattr(body, "__next__"):
        return b"".join(map(_bytes_of, body))
    return str(body).encode("utf-8", "replace")
