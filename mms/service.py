"""`PredictionException` for handlers, and MMS's own names around a handler's entry point."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mms.context import Context, RequestProcessor, RequestProcessors
from mms.metrics.metrics_store import MetricsStore
from mms.protocol.otf_message_handler import create_predict_response
from mms.version import __version__

#: The name of the metric that tells how long the entry point took for a batch.
PREDICTION_METRIC = "PredictionTime"

logger = logging.getLogger(__name__)

EntryPoint = Callable[[Any, Context], Any]


class PredictionException(Exception):
    """Raised by a handler to fail its batch with this message and HTTP status."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.error_code)


class Service:
    """An entry point with its context, called with messages of MMS's own wire protocol.

    Workers of this server do not use it; it serves tools and tests that were written for MMS.
    """

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        entry_point: EntryPoint,
        gpu: int | None,
        batch_size: int,
    ) -> None:
        self._context = Context(model_name, model_dir, manifest, batch_size, gpu, __version__)
        self._entry_point = entry_point

    def __repr__(self) -> str:
        return f"<Service of model {self._context.model_name}>"

    @property
    def context(self) -> Context:
        return self._context

    @staticmethod
    def retrieve_data_for_inference(
        batch: Sequence[Mapping[str, Any]] | None,
    ) -> tuple[list[RequestProcessor], list[dict[str, Any]], dict[int, str]]:
        """(processors, data for the handler, index -> request id) of decoded requests.

        A request is a dict of `requestId` (bytes), `parameters` (dicts of `name`, `contentType`, `value`) and
        optionally `headers` (dicts of `name` and `value`, bytes). Raises ValueError for None.
        """
        if batch is None:
            raise ValueError("Received invalid inputs")
        processors: list[RequestProcessor] = RequestProcessors()
        data: list[dict[str, Any]] = []
        request_ids: dict[int, str] = {}
        for index, request in enumerate(batch):
            request_ids[index] = str(request["requestId"], "utf-8")
            parameters = request["parameters"]
            data.append({p["name"]: p["value"] for p in parameters})
            properties: dict[str, Any] = {
                p["name"]: {"content-type": p["contentType"]} for p in parameters
            }
            for header in request.get("headers") or ():
                properties[str(header["name"], "utf-8")] = str(header["value"], "utf-8")
            processors.append(RequestProcessor(properties))
        return processors, data, request_ids

    def predict(self, batch: Sequence[Mapping[str, Any]] | None) -> bytearray:
        """Call the entry point; the answer is a response of MMS's wire protocol. Raises ValueError for None."""
        processors, data, request_ids = self.retrieve_data_for_inference(batch)
        context = self._context
        context.request_ids = request_ids
        context.request_processor = processors
        metrics = MetricsStore(request_ids, context.model_name)
        context.metrics = metrics

        def failure(message: str, code: int) -> bytearray:
            return create_predict_response(None, request_ids, message, code)

        started_at = time.perf_counter()
        try:
            results = self._entry_point(data, context)
        except PredictionException as error:
            logger.exception("Model %s failed its batch", context.model_name)
            return failure(str(error.message), error.error_code)
        except MemoryError:
            logger.exception("Model %s is out of memory", context.model_name)
            return failure("Out of resources", 507)
        except Exception:
            logger.warning("Model %s failed", context.model_name, exc_info=True)
            return failure("Prediction failed", 503)
        if not isinstance(results, list):
            kind = type(results).__name__
            logger.warning("Model %s returned no list, but %s", context.model_name, kind)
            return failure("Invalid model predict output", 503)
        if len(results) != len(data):
            counts = (len(results), len(data))
            logger.warning("Model %s gave %d results for %d", context.model_name, *counts)
            return failure("number of batch response mismatched", 503)
        elapsed_ms = round((time.perf_counter() - started_at) * 1000, 2)
        metrics.add_time(PREDICTION_METRIC, elapsed_ms)
        return create_predict_response(results, request_ids, "Prediction success", 200, context)


def emit_metrics(metrics: Iterable[object]) -> None:
    """Log each metric as a line that the server takes for a metric."""
    for metric in metrics or ():
        logger.info("[METRICS]%s", metric)
