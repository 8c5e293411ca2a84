"""Records of what a model was asked and answered, for whoever watches models."""

from __future__ import annotations

import time
from typing import Any

from mms.bodies.error_message import error_message
from mms.bodies.time_text import time_text
from mms.interfaces.mlrun.model.context import host_name
from mms.text.brief import brief

BATCH_HEADERS = ("request", "op", "resp", "when", "microsec", "metrics")


class StreamContext:
    """Where a server's records go: `push` hands them to `output_stream`, and never fails.

    `output_stream` has `push(records)`, records a list of dicts.
    """

    def __init__(
        self,
        output_stream: Any = None,
        *,
        enabled: bool = True,
        stream_uri: str | None = None,
        function_uri: str = "",
        logger: Any = None,
    ) -> None:
        self.enabled = enabled
        self.output_stream = output_stream
        self.stream_uri = stream_uri
        self.function_uri = function_uri
        self.hostname = host_name()
        self._logger = logger

    def __repr__(self) -> str:
        return f"<StreamContext to {self.stream_uri or self.output_stream!r}>"

    def push(self, records: Any, **_: Any) -> None:
        """Take one record or a list of them."""
        if not self.enabled or self.output_stream is None:
            return
        try:
            self.output_stream.push(records if isinstance(records, list) else [records])
        except Exception as error:
            if self._logger is not None:
                self._logger.error("failed to write to the tracking stream: %s", error)


class ModelLog:
    """Makes the records of one model or ensemble. Owned by the thread that runs it.

    `context` has the parameters: every `log_stream_sample`-th request is told of, and `log_stream_batch` of them go
    together. Errors are always told of, and at once.
    """

    def __init__(self, model: Any, context: Any) -> None:
        self._model = model
        self._context = context
        self._stream = context.stream
        self.sample = _count(context, "log_stream_sample")
        self.batch = _count(context, "log_stream_batch")
        self._seen = 0
        self._rows: list[list[Any]] = []
        logs = getattr(context, "model_logs", None)
        if logs is not None:
            logs.append(self)

    def __repr__(self) -> str:
        return f"<ModelLog of {self._model.name}>"

    def base(self) -> dict[str, Any]:
        """Return what all records of the model say."""
        model = self._model
        record = {
            "class": type(model).__name__,
            "worker": self._context.worker_id,
            "model": model.name,
            "version": model.version,
            "host": getattr(self._stream, "hostname", "") or host_name(),
            "function_uri": getattr(self._stream, "function_uri", "")
            or getattr(self._context, "function_uri", ""),
        }
        labels = getattr(model, "labels", None)
        if labels:
            record["labels"] = dict(labels)
        endpoint = getattr(model, "model_endpoint_uid", None)
        if endpoint:
            record["endpoint_id"] = endpoint
        return record

    def push_success(
        self, started_ns: int, elapsed_ns: int, request: Any, response: Any, operation: str | None
    ) -> None:
        """Record a success, without a change to `request` and `response`, which others may change later.

        `started_ns`: since the epoch.
        """
        self._seen += 1
        if self._seen % self.sample:
            return
        metrics = dict(getattr(self._model, "metrics", None) or ())
        values = (
            _copied(request),
            operation,
            _copied(response),
            time_text(started_ns),
            elapsed_ns // 1000,
        )
        if self.batch > 1:
            self._rows.append([*values, metrics])
            if len(self._rows) >= self.batch:
                self.flush()
            return
        record = self.base()
        record.update(zip(BATCH_HEADERS, values, strict=False))
        if metrics:
            record["metrics"] = metrics
        self._stream.push(record)

    def push_failure(
        self, started_ns: int, request: Any, error: BaseException, operation: str | None
    ) -> None:
        message = error_message(error)
        if getattr(self._context, "verbose", False):
            import traceback

            lines = traceback.format_exception(type(error), error, error.__traceback__)
            message = f"{message}\n{''.join(lines)}"
        record = self.base()
        record["request"] = _copied(request)
        record["op"] = operation
        record["when"] = time_text(started_ns)
        record["error"] = message
        self._stream.push(record)

    def push_result(
        self,
        started_ns: int,
        began_ns: int,
        request: Any,
        response: Any,
        operation: str | None,
    ) -> None:
        """Record a success, with what the model wants to have told (`logged_results`). Never raises an Exception.

        `began_ns`: of the clock `time.perf_counter_ns`.
        """
        elapsed_ns = time.perf_counter_ns() - began_ns
        try:
            logged = getattr(self._model, "logged_results", None)
            if logged is not None:
                inputs, outputs = logged(request, response, operation)
                if inputs is not None or outputs is not None:
                    id = response.get("id") if isinstance(response, dict) else None
                    request = {"id": id, "inputs": inputs if inputs is not None else []}
                    response = {"outputs": outputs if outputs is not None else []}
            self.push_success(started_ns, elapsed_ns, request, response, operation)
        except Exception as error:
            self._context.logger.error(
                "no record was made of a request to model %s: %s",
                self._model.name,
                error_message(error),
            )

    def flush(self) -> None:
        """Send the rows that wait for a batch to be full."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        record = self.base()
        record["headers"] = list(BATCH_HEADERS)
        record["values"] = rows
        self._stream.push(record)


def _copied(value: Any) -> Any:
    return dict(value) if type(value) is dict else value


def _count(context: Any, name: str) -> int:
    """Return a parameter that counts requests; 1 where it is not given. Raises ValueError."""
    value = context.get_param(name, None)
    if value in (None, ""):
        return 1
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise ValueError(f"{name} is {brief(value)}, but must be a number of requests, 1 or more")
    return count
