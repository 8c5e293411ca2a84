"""What a handler is told besides its data: `Context`, one per worker, and a `RequestProcessor` per request.

The names and their behaviour are those of MMS. What is known of a batch is worked out when a handler asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mms.metrics.metric import Metric
    from mms.metrics.metrics_store import MetricsStore


class _Pending:
    """Stands for what has not been asked for yet."""

    def __repr__(self) -> str:
        return "<pending>"


_PENDING: Any = _Pending()
_NOBODY: frozenset[bytes] = frozenset()
#: What a context knows of a batch: ids, content types, blocks of headers; request ids, processors and metrics as they
#: are shown to handlers.
_BatchState = tuple[Any, Any, Any, Any, Any, Any]


class RequestProcessor:
    """One request's parameters and headers, and the head of its answer.

    Its *properties* hold for each parameter of the request a dict with its content type, and all headers of the
    request as text, in the spelling of the client.
    """

    def __init__(self, request_header: dict[str, Any]) -> None:
        self._status_code: Any = 200
        self._reason_phrase: Any = None
        self._response_header: dict[Any, Any] = {}
        self._request_header = request_header
        self._lowered: dict[str, Any] | None = None

    def get_request_property(self, key: str) -> Any:
        """The property of this name; else the header of this name in any spelling; else None."""
        properties = self.get_request_properties()
        value = properties.get(key)
        if value is not None or key in properties:
            return value
        if self._lowered is None:
            self._lowered = {
                name.lower(): value for name, value in properties.items() if isinstance(value, str)
            }
        return self._lowered.get(key.lower()) if isinstance(key, str) else None

    def get_request_properties(self) -> dict[str, Any]:
        return self._request_header

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        self._status_code = code
        self._reason_phrase = reason_phrase

    def get_response_status_code(self) -> int:
        return cast(int, self._status_code)

    def get_response_status_phrase(self) -> str | None:
        return cast("str | None", self._reason_phrase)

    def add_response_property(self, key: str, value: str) -> None:
        self._response_header[key] = value

    def get_response_headers(self) -> dict[str, str]:
        return self._response_header

    def get_response_header(self, key: str) -> str | None:
        return self._response_header.get(key)


class WireProcessor(RequestProcessor):
    """Reads parameters and headers only when asked for them.

    `types`: the content type of the parameter `body`, or the content types of all parameters by name. `block`: the
    headers as `Name\\nvalue\\nName\\nvalue` in latin-1.
    """

    def __init__(self, types: str | dict[str, str], block: bytes | bytearray) -> None:
        self._status_code = 200
        self._reason_phrase = None
        self._response_header = {}
        self._read: dict[str, Any] | None = None
        self._lowered = None
        self._types = types
        self._block = block

    def get_request_properties(self) -> dict[str, Any]:
        if self._read is None:
            types = {"body": self._types} if isinstance(self._types, str) else self._types
            properties: dict[str, Any] = {
                name: {"content-type": content_type} for name, content_type in types.items()
            }
            if self._block:
                lines = str(self._block, "latin-1").split("\n")
                properties.update(zip(lines[::2], lines[1::2], strict=False))
            self._read = properties
        return self._read

    # As MMS has it: handlers read it.
    @property
    def _request_header(self) -> dict[str, Any]:  # type: ignore[override]  # an attribute above
        return self.get_request_properties()


class RequestProcessors(list[RequestProcessor]):
    """The processors of a batch. Also takes the calls that are made on one of them.

    MMS's own template for handlers calls `report_status` on the list. What sets something does so for the whole batch;
    what asks for something asks the first request.
    """

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        for processor in self:
            processor.report_status(code, reason_phrase)

    def add_response_property(self, key: str, value: str) -> None:
        for processor in self:
            processor.add_response_property(key, value)

    def get_request_property(self, key: str) -> Any:
        return self[0].get_request_property(key)

    def get_request_properties(self) -> dict[str, Any]:
        return self[0].get_request_properties()

    def get_response_status_code(self) -> int:
        return self[0].get_response_status_code()

    def get_response_status_phrase(self) -> str | None:
        return self[0].get_response_status_phrase()

    def get_response_headers(self) -> dict[str, str]:
        return self[0].get_response_headers()

    def get_response_header(self, key: str) -> str | None:
        return self[0].get_response_header(key)


class Context:
    """What a worker knows of its model, and of the batch that it runs.

    One object from load to end. `request_ids`, `request_processor` and `metrics` are those of the current batch.
    """

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        batch_size: int,
        gpu: int | None,
        mms_version: str,
        *,
        model_yaml_config: dict[str, Any] | None = None,
    ) -> None:
        """`model_yaml_config`: what the archive's `model-config.yaml` says; empty without one."""
        self.model_name = model_name
        self.manifest = manifest
        self.model_yaml_config = {} if model_yaml_config is None else model_yaml_config
        self._system_properties: dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": gpu,
            "batch_size": batch_size,
            "server_name": "MMS",
            "server_version": mms_version,
        }
        self._request_ids: dict[int, str] | None = None
        self._own_processors: list[RequestProcessor] | None = None
        self._own_metrics: Any = None
        self._ids: list[bytes] = []
        self._types: Iterable[str | dict[str, str]] = ()
        self._blocks: Iterable[bytes | bytearray] = ()
        self._cancelled_ids: Collection[bytes] = _NOBODY
        #: Sends a chunk of a request's answer; set where the model serves.
        self._send_chunk: Callable[[Any, int], bool] | None = None
        #: Has the chunks that are sent in a block go out by one write.
        self._together: Callable[[], AbstractContextManager[None]] = nullcontext
        #: Is told the blocks of headers of the requests that the code goes on for; None: nobody asks.
        self._enter_requests: Callable[[Iterable[bytes | bytearray]], None] | None = None

    def __repr__(self) -> str:
        return f"<Context of model {self.model_name}, {len(self._ids)} requests>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and self._compared() == other._compared()

    __hash__ = None  # type: ignore[assignment]  # compared by value, and it changes

    def _compared(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        own["system_properties"] = self.system_properties
        own["request_ids"] = self.request_ids
        own["request_processor"] = self.request_processor
        own["metrics"] = self.metrics
        return own

    def _begin(
        self,
        ids: list[bytes],
        types: Iterable[str | dict[str, str]],
        blocks: Iterable[bytes | bytearray],
    ) -> None:
        """A batch begins: per request its id, its content types and its headers, as `WireProcessor` takes them."""
        self._ids = ids
        self._types = types
        self._blocks = blocks
        if self._enter_requests is not None:
            self._enter_requests(blocks)
        self._request_ids = self._own_processors = self._own_metrics = _PENDING

    def _make_processors(self) -> list[RequestProcessor]:
        return RequestProcessors(map(WireProcessor, self._types, self._blocks))

    def _exchange_batch(self, batch: _BatchState) -> _BatchState:
        """Make another batch the current one, and return what was: the code of a stream runs beside later batches."""
        own = (
            *(self._ids, self._types, self._blocks),
            *(self._request_ids, self._own_processors, self._own_metrics),
        )
        (self._ids, self._types, self._blocks) = batch[:3]
        if self._enter_requests is not None:
            self._enter_requests(self._blocks)
        (self._request_ids, self._own_processors, self._own_metrics) = batch[3:]
        return own

    def _copied_batch(self) -> _BatchState:
        """Return the current batch, without the metrics that were reported so far."""
        ids = (self._ids, self._types, self._blocks)
        return (*ids, self._request_ids, self._own_processors, _PENDING)

    def _copied_request(self, place: int) -> _BatchState:
        """Return one request of the current batch as a batch of its own, of which nothing was asked or set yet."""
        types, blocks = list(self._types), list(self._blocks)
        return (
            *([self._ids[place]], [types[place]], [blocks[place]]),
            *(_PENDING, _PENDING, _PENDING),
        )

    def _has_processors(self) -> bool:
        """Whether anything was asked or set that belongs to a single request of this batch."""
        return self._own_processors is not _PENDING

    def _taken_metrics(self) -> list[Metric]:
        """The metrics that were reported since the batch, or the load, began."""
        store = self._own_metrics
        return [] if store is None or store is _PENDING else store.store

    def _drop_metrics(self) -> None:
        """They were taken: the next ones have a store of their own."""
        self._own_metrics = _PENDING

    # Of the model

    @property
    def system_properties(self) -> dict[str, Any]:
        """`model_dir`, `gpu_id` (None without a GPU), `batch_size`, `server_name`, `server_version`."""
        return self._system_properties

    # Of the batch

    @property
    def request_ids(self) -> dict[int, str] | None:
        """Index in the batch -> request id; None while the model is loaded."""
        if self._request_ids is _PENDING:
            self._request_ids = {
                index: str(request_id, "ascii", "replace")
                for index, request_id in enumerate(self._ids)
            }
        return self._request_ids

    @request_ids.setter
    def request_ids(self, request_ids: dict[int, str] | None) -> None:
        self._request_ids = request_ids

    @property
    def request_processor(self) -> list[RequestProcessor] | None:
        """One per request; None while the model is loaded."""
        if self._own_processors is _PENDING:
            self._own_processors = self._make_processors()
        return self._own_processors

    @request_processor.setter
    def request_processor(self, request_processor: list[RequestProcessor] | None) -> None:
        self._own_processors = request_processor

    #: As MMS has it: handlers and decorators of theirs read it.
    _request_processor = request_processor

    @property
    def metrics(self) -> MetricsStore:
        """Takes the handler's metrics; a new one for each batch. None while a class is initialized.

        Which its type leaves out, so that handlers need not ask.
        """
        if self._own_metrics is _PENDING:
            from mms.metrics.metrics_store import MetricsStore

            self._own_metrics = MetricsStore(self.request_ids, self.model_name)
        own: MetricsStore = self._own_metrics
        return own

    @metrics.setter
    def metrics(self, metrics: MetricsStore | None) -> None:
        self._own_metrics = metrics

    _metrics = metrics

    @property
    def cancelled(self) -> bool:
        """Whether the client of any request of the running batch is gone. May change while the handler runs."""
        cancelled_ids = self._cancelled_ids
        return bool(cancelled_ids) and any(i in cancelled_ids for i in self._ids)

    def is_cancelled(self, idx: int = 0) -> bool:
        """Whether the client of this request is gone. May change while the handler runs."""
        return self._ids[idx] in self._cancelled_ids

    def send_chunk(self, chunk: Any, idx: int = 0) -> bool:
        """Send a part of the answer to a request of the running batch now; what `handle` returns for it comes last.

        `chunk`: bytes, text, or what JSON can hold. For the thread that runs `handle`. Status and headers are those
        that are set when the first part is sent. Waits while the client does not take what was sent, 5 seconds at most.
        Returns whether the client still waits. Raises RuntimeError on other threads and while no batch runs, IndexError
        where there is no such request.
        """
        if self._send_chunk is None:
            raise RuntimeError("there is no request yet: the model is being loaded")
        return self._send_chunk(chunk, idx)

    def get_request_id(self, idx: int = 0) -> str | None:
        request_ids = self.request_ids
        return None if request_ids is None else request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> Any:
        """A header of the request: as spelled by the client, else in any case; None if absent."""
        return self._processors[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, Any]:
        """All headers as spelled by the client, and the content types of the parameters."""
        return self._processors[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        return self.get_response_headers(idx).get("content-type")

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """`value` must be text. A name has one value; the last one counts."""
        self._processors[idx].add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        return self._processors[idx].get_response_headers()

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        processors = self.request_processor
        if processors is not None and processors[idx] is not None:
            processors[idx].report_status(code, reason_phrase=phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        for processor in self._processors:
            processor.report_status(code, reason_phrase=phrase)

    def get_response_status(self, idx: int) -> tuple[int, str | None]:
        """(code, phrase); (200, None) unless set."""
        processor = self._processors[idx]
        return processor.get_response_status_code(), processor.get_response_status_phrase()

    @property
    def _processors(self) -> list[RequestProcessor]:
        processors = self.request_processor
        if processors is None:
            raise RuntimeError("there is no request yet: the model is being loaded")
        return processors
