"""Endpoint plugins: routes of one path segment that others bring along, the successors of MMS's Java plugins.

A plugin is an object with an `url_pattern` (one path segment), an `endpoint_type` (`INFERENCE` or `MANAGEMENT`) and
some of `do_get`, `do_put`, `do_post`, `do_delete`, each called with (request, response, context) in a thread. It is
found as an entry point of the group `mms.endpoints`, or in a `.py` file of `plugins_path` as the module's `endpoints`
list.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import io
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from multidict import CIMultiDict

from mms.errors import ConfigurationError, InternalServerError, WorkerFailure
from mms.http.exchange import Exchange

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings

logger = logging.getLogger("mms.http")

INFERENCE = "INFERENCE"
MANAGEMENT = "MANAGEMENT"
_GROUP = "mms.endpoints"
_THREADS = 8
_METHODS = {"GET": "do_get", "PUT": "do_put", "POST": "do_post", "DELETE": "do_delete"}


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """What a plugin learns of a request."""

    uri: str
    header_names: list[str]
    headers: dict[str, str]
    parameters: dict[str, list[str]]
    content_type: str | None
    body: io.BytesIO


@dataclass(slots=True)
class EndpointResponse:
    """What a plugin answers. Status 200 unless it sets another."""

    status: int = 200
    phrase: str | None = None
    content_type: str | None = None
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: io.BytesIO = field(default_factory=io.BytesIO)

    def set_status(self, status: int, phrase: str | None = None) -> None:
        self.status = status
        self.phrase = phrase

    def add_header(self, name: str, value: str) -> None:
        self.headers.add(name, value)

    def set_header(self, name: str, value: str) -> None:
        self.headers[name] = value


@dataclass(frozen=True, slots=True)
class EndpointWorker:
    is_running: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class EndpointModel:
    name: str
    url: str
    handler: str
    workers: list[EndpointWorker]


@dataclass(frozen=True, slots=True)
class EndpointContext:
    """What a plugin learns of the server."""

    config: dict[str, str]
    models: dict[str, EndpointModel]


class SageMakerPing:
    """The health of SageMaker's containers: 503 until some worker has loaded, then always 200.

    With several models in one container there may be none at first; then the handler's file must be there.
    """

    url_pattern = "ping"
    endpoint_type = INFERENCE

    def __init__(self, settings: Settings, host: ModelHost) -> None:
        self._handler = settings.default_service_handler
        self._host = host

    def do_get(
        self, request: EndpointRequest, response: EndpointResponse, context: EndpointContext
    ) -> None:
        if os.environ.get("SAGEMAKER_MULTI_MODE", "false").lower() == "true":
            if not self._has_service_file():
                response.set_status(503, "Service file unavailable")
                response.body.write(b"Service file unavailable")
                return
        elif not self._host.is_anything_loaded():
            response.set_status(503, "Model loading...")
            response.body.write(b"Models are not loaded")
            return
        response.body.write(b'{\n\t"Status": "Healthy"\n}\n')

    def _has_service_file(self) -> bool:
        if not self._handler:
            return False
        path = self._handler.rpartition(":")[0] or self._handler
        return Path(path if path.endswith(".py") else path + ".py").is_file()


class ExecutionParameters:
    """What SageMaker's batch transform asks for."""

    url_pattern = "execution-parameters"
    endpoint_type = INFERENCE

    def __init__(self, settings: Settings, workers: int) -> None:
        self._settings = settings
        self._workers = workers

    def do_get(
        self, request: EndpointRequest, response: EndpointResponse, context: EndpointContext
    ) -> None:
        import json

        response.content_type = "application/json"
        parameters = {
            "MaxConcurrentTransforms": self._workers,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": self._settings.max_request_size // 2**20,
        }
        response.body.write(json.dumps(parameters).encode())


class Plugins:
    """The plugins by listener and path segment, and the threads that they run in."""

    def __init__(self, endpoints: Iterable[Any], settings: Settings, host: ModelHost) -> None:
        """Raises ConfigurationError where two have one pattern."""
        self._endpoints: dict[tuple[str, str], Any] = {}
        for endpoint in endpoints:
            key = (str(endpoint.endpoint_type).upper(), endpoint.url_pattern)
            if key in self._endpoints:
                raise ConfigurationError(
                    f'Multiple plugins found for endpoint "{endpoint.url_pattern}"'
                )
            self._endpoints[key] = endpoint
        self._settings = settings
        self._host = host
        self._executor: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"<Plugins {sorted(pattern for _, pattern in self._endpoints)}>"

    def find(self, endpoint_type: str, segments: list[str]) -> Any | None:
        if not segments:
            return None
        return self._endpoints.get((endpoint_type, segments[0]))

    async def serve(
        self, endpoint: Any, exchange: Exchange, max_body_bytes: int
    ) -> web.StreamResponse:
        """Run a plugin in a thread. What it raises becomes an error response."""
        name = _METHODS.get(exchange.method)
        if name is None:
            raise InternalServerError("Unknown exception")
        function = getattr(endpoint, name, None)
        if function is None:
            raise WorkerFailure(
                "No implementation found .. Default implementation invoked",
                500,
                "ModelServerEndpointException",
            )
        request = await _request_of(exchange, max_body_bytes, self._settings.body_timeout_s)
        response = EndpointResponse()
        context = self._context()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="plugin")
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, function, request, response, context)
        except MemoryError:
            raise WorkerFailure("Out of memory", 507) from None
        except OSError:
            logger.exception("Plugin %s failed.", endpoint.url_pattern)
            raise InternalServerError("I/O error while running the custom endpoint") from None
        except Exception as error:
            logger.exception("Plugin %s failed.", endpoint.url_pattern)
            raise WorkerFailure("Unknown exception", 500, type(error).__name__) from None
        if response.content_type is not None:
            response.headers.setdefault("content-type", response.content_type)
        phrase = None if response.phrase is None else response.phrase.encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        return exchange.respond(response.status, phrase, lines.encode(), response.body.getvalue())

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _context(self) -> EndpointContext:
        models = {
            name: EndpointModel(name, url, handler, [EndpointWorker(*worker) for worker in workers])
            for name, url, handler, workers in self._host.model_infos()
        }
        return EndpointContext(dict(self._settings.raw), models)


async def _request_of(
    exchange: Exchange, max_body_bytes: int, body_timeout_s: float
) -> EndpointRequest:
    from mms.http.routes import parse_query

    parameters: dict[str, list[str]] = {}
    for name, value in parse_query(exchange.query):
        parameters.setdefault(name, []).append(value)
    headers = dict(exchange.request.headers.items())
    return EndpointRequest(
        uri=exchange.uri,
        header_names=list(headers),
        headers=headers,
        parameters=parameters,
        content_type=exchange.content_type().decode("latin-1") or None,
        body=io.BytesIO(await exchange.read_body(max_body_bytes, body_timeout_s)),
    )


def find_endpoints(plugins_path: str | None) -> list[Any]:
    """Installed and local plugins. Raises ConfigurationError for one that cannot be loaded."""
    endpoints = []
    for entry_point in importlib.metadata.entry_points(group=_GROUP):
        try:
            found = entry_point.load()
            endpoints.append(found() if isinstance(found, type) else found)
        except Exception as error:
            raise ConfigurationError(
                f"Plugin {entry_point.value} cannot be loaded: {error}"
            ) from error
    if plugins_path:
        endpoints += _local_endpoints(plugins_path)
    return endpoints


def _local_endpoints(plugins_path: str) -> list[Any]:
    folder = Path(plugins_path.split("*")[0])
    if not folder.is_dir():
        logger.warning("plugins_path=%s is no folder; no plugins are loaded from it.", plugins_path)
        return []
    if any(folder.glob("*.jar")):
        logger.warning(
            "plugins_path=%s has JAR files. This server runs no Java; plugins are Python files with an `endpoints` "
            "list there.",
            plugins_path,
        )
    endpoints: list[Any] = []
    for path in sorted(folder.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"mms_plugin_{path.stem}", path)
        if spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise ConfigurationError(f"Plugin {path} cannot be loaded: {error}") from error
        endpoints += getattr(module, "endpoints", [])
    return endpoints
