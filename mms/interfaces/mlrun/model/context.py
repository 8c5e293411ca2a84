"""What a class is told of the server that holds it, and how it speaks to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mms.bodies.error_message import error_message
from mms.interfaces.mlrun.errors import MLRunNotFoundError
from mms.interfaces.mlrun.files.secrets import Secrets
from mms.interfaces.mlrun.model.event import Response
from mms.interfaces.mlrun.model.logger import Logger
from mms.interfaces.mlrun.model.options import DEFAULT_OPTIONS, ServingOptions


class NoStream:
    """Records go nowhere."""

    enabled = False
    output_stream = None
    stream_uri: str | None = None
    hostname = ""
    function_uri = ""

    def __repr__(self) -> str:
        return "<NoStream>"

    def push(self, records: Any, **_: Any) -> None:
        """Nothing happens."""


class GraphContext:
    """Made once for a server and all that it holds. Classes hang attributes of their own on it.

    `call_model(key, operation, event)`: asks a model of the server in place of a route in this process; None where
    there is no such server.
    """

    #: The class, for answers with a status of their own.
    Response = Response

    def __init__(
        self,
        level: str = "info",
        logger: Any = None,
        server: Any = None,
        nuclio_context: Any = None,
        *,
        parameters: dict[str, Any] | None = None,
        secrets: Secrets | None = None,
        function_uri: str = "",
        worker_id: int = 0,
        is_mock: bool = False,
        verbose: bool = False,
        options: ServingOptions = DEFAULT_OPTIONS,
    ) -> None:
        """`server`: its parameters, function_uri, verbose and secrets are used where it has them."""
        self.state: Any = None
        self.logger: Any = logger or Logger(level=level)
        self.worker_id: Any = worker_id
        self.trigger: Any = None
        self.platform: Any = None
        if nuclio_context is not None:
            self.logger = logger or getattr(nuclio_context, "logger", None) or self.logger
            self.worker_id = getattr(nuclio_context, "worker_id", worker_id)
            self.trigger = getattr(nuclio_context, "trigger", None)
            self.platform = getattr(nuclio_context, "platform", None)
            # Tools of nuclio find what they need on the same object.
            self.Response = getattr(nuclio_context, "Response", None) or Response
        self._server = server
        self.is_mock = is_mock
        self.monitoring_mock = False
        self.current_function: str | None = None
        self.root: Any = None
        self.stream: Any = NoStream()
        self.error_stream: Any = None
        self.executor: Any = None
        self.project_obj: Any = None
        self.options = options
        self.parameters = parameters
        #: Of the models and ensembles below, so that what waits in them can be flushed.
        self.model_logs: list[Any] = []
        self.call_model: Callable[[str, str, Any], Any] | None = None
        self._secrets = secrets
        self._function_uri = function_uri
        self._is_verbose = verbose

    def __repr__(self) -> str:
        return f"<GraphContext of {self.function_uri or 'no function'}>"

    @property
    def server(self) -> Any:
        return self._server

    @server.setter
    def server(self, server: Any) -> None:
        self._server = server

    @property
    def verbose(self) -> bool:
        return self._is_verbose or bool(getattr(self._server, "verbose", False))

    @verbose.setter
    def verbose(self, is_verbose: bool) -> None:
        self._is_verbose = is_verbose

    @property
    def function_uri(self) -> str:
        """`<project>/<name>[:tag][@hash]`, empty where it has none."""
        return self._function_uri or getattr(self._server, "function_uri", None) or ""

    @property
    def project(self) -> str:
        project, sign, _ = self.function_uri.partition("/")
        if sign:
            return project
        return os.environ.get("MLRUN_DEFAULT_PROJECT") or "default"

    def get_param(self, key: str, default: Any = None) -> Any:
        """Return a parameter of the function."""
        parameters = self.parameters
        if parameters is None:
            parameters = getattr(self._server, "parameters", None)
        return parameters.get(key, default) if parameters else default

    def get_secret(self, key: str, default: Any = None) -> Any:
        """Return a secret of the function's sources, or of the environment; `default` where nobody has it."""
        if self._secrets is None:
            own = getattr(self._server, "secrets", None)
            self._secrets = own if isinstance(own, Secrets) else Secrets()
        return self._secrets.get(key, default)

    def get_remote_endpoint(self, name: str, external: bool = True) -> str:
        """Return the address of a function: `name` itself where it is an address. Raises MLRunNotFoundError."""
        if "://" in name:
            return name
        endpoint = self.get_param("remote_endpoints") or {}
        if isinstance(endpoint, dict) and name in endpoint:
            return str(endpoint[name])
        raise MLRunNotFoundError(
            f"the address of function {name} is not known here: give it as http://..., or in the "
            "parameter remote_endpoints, a dict of names and addresses"
        )

    def get_store_resource(
        self, uri: str, use_cache: bool = True, secrets: Any = None, db: Any = None
    ) -> Any:
        """Return what a `store://` address names. Raises MLRunNotFoundError where nobody resolves it."""
        resolve = getattr(self._server, "get_store_resource", None)
        if resolve is not None:
            return resolve(uri)
        raise MLRunNotFoundError(
            f"{uri} cannot be read: store:// addresses need a resolver, and this server has none"
        )

    def get_table(self, uri: str) -> Any:
        """Return a table that lookups and steps share, by its address. Raises MLRunNotFoundError."""
        find = getattr(self._server, "get_table", None)
        if find is not None:
            return find(uri)
        raise MLRunNotFoundError(f"table {uri} is not known to this server")

    def flush_model_logs(self) -> None:
        """Send the records that wait for a batch to be full."""
        for log in self.model_logs:
            log.flush()

    def push_error(self, event: Any, message: str, source: str | None = None, **args: Any) -> None:
        """Send a record to the error stream. What fails there is logged and fails nobody."""
        if self.verbose:
            body = getattr(event, "body", None)
            self.logger.error("%s failed for %r: %s", source, body, message)
        stream = self.error_stream
        if stream is None:
            stream = getattr(self._server, "_error_stream_object", None)
        if stream is None:
            return
        try:
            stream.push(error_record(self, event, message, source, args))
        except Exception as error:
            self.logger.error("failed to write to the error stream: %s", error)


def report_failure(context: Any, event: Any, step: str, error: BaseException) -> None:
    """Log what no client is told of a step, and send it to the error stream. Fails nobody."""
    if context is None:
        return
    import traceback

    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
    message = error_message(error)
    context.logger.error("step %s failed: %s\n%s", step, message, trace)
    context.push_error(event, f"{message}\n{trace}", source=step)


def error_record(
    context: Any, event: Any, message: str, source: str | None, args: dict[str, Any]
) -> dict[str, Any]:
    """Return what the error stream gets of one failure."""
    return {
        "function_uri": context.function_uri,
        "worker": context.worker_id,
        "host": host_name(),
        "source": source,
        "event": {"id": getattr(event, "id", None), "body": getattr(event, "body", None)},
        "message": message,
        "args": args,
    }


def host_name() -> str:
    return os.uname().nodename if hasattr(os, "uname") else ""
