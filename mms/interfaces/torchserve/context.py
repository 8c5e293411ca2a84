"""What a handler of TorchServe is told besides its data: the names and behaviour are TorchServe's."""

from __future__ import annotations

import os
from typing import Any

from mms.context import Context as MmsContext
from mms.context import RequestProcessor as RequestProcessor
from mms.context import RequestProcessors, WireProcessor
from mms.interfaces.torchserve.metrics.cache import MetricsCache
from mms.interfaces.torchserve.metrics.emitted import EMITTED
from mms.interfaces.torchserve.operations import HEADERS
from mms.interfaces.torchserve.response_socket import ResponseSocket

#: The version of TorchServe whose contract this is.
VERSION = "0.12.0"
#: What a request asks that asks for a prediction and names no path.
_USUAL_HEADERS = HEADERS[""]


class _Processor(WireProcessor):
    """A request's, with the headers that TorchServe's front adds."""

    def get_request_properties(self) -> dict[str, Any]:
        if self._read is None:
            found = super().get_request_properties()
            if "describe" not in found:
                for name, value in _USUAL_HEADERS.items():
                    found.setdefault(name, value)
        return super().get_request_properties()


class Context(MmsContext):
    """What a worker knows of its model, and of the batch that it runs. One object from load to end."""

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        batch_size: int,
        gpu: int | None,
        mms_version: str,
        limit_max_image_pixels: bool = True,
        metrics: Any = None,
        model_yaml_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            *(model_name, model_dir, manifest, batch_size, gpu, mms_version),
            model_yaml_config=model_yaml_config,
        )
        self._system_properties["limit_max_image_pixels"] = limit_max_image_pixels
        self._limit_max_image_pixels = True
        self._kept_metrics = metrics
        self._load_id = os.urandom(16).hex()
        #: Of continuous batching: a function for each request that says whether its answer is complete.
        self.stopping_criteria: Any = None
        self.use_sequence_headers(
            os.getenv("TS_REQUEST_SEQUENCE_ID", "ts_request_sequence_id"),
            os.getenv("TS_REQUEST_SEQUENCE_START", "ts_request_sequence_start"),
            os.getenv("TS_REQUEST_SEQUENCE_END", "ts_request_sequence_end"),
        )

    def use_sequence_headers(self, id: str, start: str, end: str) -> None:
        """Have handlers find these names for the headers of a sequence."""
        self.header_key_sequence_id = id
        self.header_key_sequence_start = start
        self.header_key_sequence_end = end

    def _make_processors(self) -> list[RequestProcessor]:
        return RequestProcessors(map(_Processor, self._types, self._blocks))

    def _processors_of(self, processors: list[RequestProcessor]) -> list[RequestProcessor]:
        """Return the processors of requests of several batches as those of one."""
        return RequestProcessors(processors)

    def _taken_metrics(self) -> Any:
        return EMITTED.take()

    @property
    def cl_socket(self) -> ResponseSocket:
        """What TorchServe's own package, where it is installed, sends parts of answers by."""
        return ResponseSocket(self)

    def get_sequence_id(self, idx: int) -> Any:
        """Return the header that names the sequence which a request is part of; None without one."""
        return self.get_request_header(idx, self.header_key_sequence_id)

    @property
    def metrics(self) -> Any:
        """Takes the handler's metrics, from load to end."""
        if self._kept_metrics is None:
            self._kept_metrics = MetricsCache(self.model_name, self._ids_of_metrics)
        return self._kept_metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._kept_metrics = metrics

    _metrics = metrics

    def _ids_of_metrics(self) -> dict[int, str] | str:
        """Return the running batch's. A load has one of its own, so that its metrics have the same dimensions."""
        ids = self.request_ids
        return self._load_id if ids is None else ids
