"""The two endpoints that SageMaker asks for, as plugins. MMS has them as Java plugins."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from mms.http.apis.plugins import INFERENCE, EndpointContext, EndpointRequest, EndpointResponse

#: Either says that one container has several models, none of them at the start. MMS's plugin reads the first one;
#: SageMaker itself sets the second.
_MULTI_MODE_VARIABLES = ("SAGEMAKER_MULTI_MODE", "SAGEMAKER_MULTI_MODEL")


class SageMakerPing:
    """The health of a container: 503 until some worker has loaded, from then on always 200.

    With several models in one container there may be none at first; until one has loaded, a handler that is a path must
    be there as a file. One that is a module's name, as SageMaker's toolkits have it, is looked up when a model loads.
    """

    url_pattern = "ping"
    endpoint_type = INFERENCE

    def __init__(self, handler: str | None, is_anything_loaded: Callable[[], bool]) -> None:
        """`handler`: of models that name none."""
        self._handler = handler
        self._is_anything_loaded = is_anything_loaded

    def do_get(
        self, request: EndpointRequest, response: EndpointResponse, context: EndpointContext
    ) -> None:
        if any(os.environ.get(name, "").lower() == "true" for name in _MULTI_MODE_VARIABLES):
            if not self._is_anything_loaded() and not self._can_have_handler():
                response.set_status(503, "Service file unavailable")
                response.body.write(b"Service file unavailable")
                return
        elif not self._is_anything_loaded():
            response.set_status(503, "Model loading...")
            response.body.write(b"Models are not loaded")
            return
        response.body.write(b'{\n\t"Status": "Healthy"\n}\n')

    def _can_have_handler(self) -> bool:
        if not self._handler:
            return False
        module_part = self._handler.rpartition(":")[0] or self._handler
        if "/" not in module_part and not module_part.endswith(".py"):
            return True
        return Path(module_part.removesuffix(".py") + ".py").is_file()


class ExecutionParameters:
    """What batch transform jobs ask how to call the server."""

    url_pattern = "execution-parameters"
    endpoint_type = INFERENCE

    def __init__(self, worker_count: int, max_request_bytes: int) -> None:
        """`worker_count`: of each model that is loaded at start."""
        self._parameters = {
            "MaxConcurrentTransforms": worker_count,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max_request_bytes // 2**20,
        }

    def do_get(
        self, request: EndpointRequest, response: EndpointResponse, context: EndpointContext
    ) -> None:
        response.content_type = "application/json"
        response.body.write(json.dumps(self._parameters).encode())
