"""A whole serving function in this process: its graph, what it is given, and the tests that are run on it."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.files.secrets import Secrets
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger, Response
from mms.interfaces.mlrun.model.model_server import LOAD_MODES
from mms.interfaces.mlrun.model.options import DEFAULT_OPTIONS, ServingOptions
from mms.interfaces.mlrun.model.running import run_event
from mms.interfaces.mlrun.spec.serving_spec import (
    CURRENT_FUNCTION_VARIABLE,
    SPEC_FILE,
    SPEC_VARIABLE,
    ServingSpec,
    process_document,
    read_spec,
)

SERVING_SUBKIND = "serving_v2"
HANDLER_KINDS = (SERVING_SUBKIND, "serving")
_DUMMY_STREAM = "dummy://"


class GraphServer:
    """A function's graph with the context of its classes.

    Made of a spec (`from_dict`) or of a graph; then `init_states` and `init_object`, once; then any number of `run`
    and `test`, each in the thread that calls it.
    """

    kind = "server"

    def __init__(
        self,
        graph: Any = None,
        parameters: dict[str, Any] | None = None,
        load_mode: str | None = None,
        function_uri: str | None = None,
        verbose: bool = False,
        version: str | None = None,
        functions: dict[str, Any] | None = None,
        graph_initializer: Any = None,
        error_stream: str | None = None,
        track_models: bool | None = None,
        tracking_policy: Any = None,
        secret_sources: list[dict[str, Any]] | None = None,
        default_content_type: str | None = None,
        options: ServingOptions = DEFAULT_OPTIONS,
        **_: Any,
    ) -> None:
        """`graph`: a step or its document. Members of newer specs are taken and not used."""
        self._graph: Any = None
        self.graph = graph
        self.parameters: dict[str, Any] = dict(parameters or {})
        self.load_mode = load_mode or "sync"
        self.function_uri = function_uri or ""
        self.verbose = verbose
        self.version = version or "v2"
        self.functions: dict[str, Any] = dict(functions or {})
        self.graph_initializer = graph_initializer
        self.error_stream = error_stream
        self.track_models = track_models
        self.tracking_policy = tracking_policy
        self.secret_sources = secret_sources
        self.default_content_type = default_content_type
        self.options = options
        self.context: Any = None
        self._current_function: str | None = None
        self._namespace: list[Any] = []
        self._error_stream_object: Any = None
        self._secrets: Secrets | None = None

    def __repr__(self) -> str:
        return f"<GraphServer of {self.function_uri or 'no function'}>"

    @classmethod
    def from_dict(
        cls, document: dict[str, Any], options: ServingOptions = DEFAULT_OPTIONS
    ) -> GraphServer:
        """Return the server of a serving spec. Raises InvalidSpec, GraphError for a graph that cannot be."""
        return cls(options=options, **read_spec(document).to_document())

    def to_dict(self) -> dict[str, Any]:
        """Return the serving spec."""
        names = (part.name for part in fields(ServingSpec))
        found = {name: getattr(self, name) for name in names if hasattr(self, name)}
        found["graph"] = self.graph.to_dict() if self.graph is not None else None
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> str:
        from mms.bodies.json_text import to_json

        return to_json(self.to_dict()).decode()

    def to_yaml(self) -> str:
        from mms.bodies.json_text import yaml_of_json

        return yaml_of_json(self.to_json())

    @property
    def graph(self) -> Any:
        return self._graph

    @graph.setter
    def graph(self, graph: Any) -> None:
        if isinstance(graph, dict):
            from mms.interfaces.mlrun.graph.graph_document import graph_from_dict

            graph = graph_from_dict(graph)
        self._graph = graph

    @property
    def secrets(self) -> Secrets:
        if self._secrets is None:
            self._secrets = Secrets.from_sources(self.secret_sources)
        return self._secrets

    def set_current_function(self, function: str | None) -> None:
        """Set which steps run here: those of a function, "" for those without one, `*` for all."""
        self._current_function = function
        if self.context is not None:
            self.context.current_function = function

    def init_states(
        self,
        context: Any = None,
        namespace: Any = None,
        logger: Any = None,
        is_mock: bool = False,
        monitoring_mock: bool = False,
        **_: Any,
    ) -> None:
        """Make the context, its streams and its secrets. `context`: of nuclio, or a GraphContext to use.

        Raises MLRunInvalidArgumentError, ValueError for streams and secrets that cannot be.
        """
        from mms.interfaces.mlrun.graph.lookup import as_namespace

        if self.load_mode not in LOAD_MODES:
            raise MLRunInvalidArgumentError(
                f"illegal model loading mode {self.load_mode}, must be one of {', '.join(LOAD_MODES)}"
            )
        if self.graph is None:
            raise MLRunInvalidArgumentError(
                "the server has no graph: set_topology() and add_model() make one"
            )
        if isinstance(context, GraphContext):
            own = context
            own.server = self
        else:
            own = GraphContext(logger=logger, server=self, nuclio_context=context)
        own.is_mock = is_mock or own.is_mock
        own.monitoring_mock = monitoring_mock
        own.parameters = self.parameters
        own.options = self.options
        own.current_function = self._current_function
        own.root = self.graph
        own.verbose = self.verbose
        self.context = own
        self._namespace = as_namespace(namespace)
        # Sources that cannot be read are told of now, not with the first request.
        own._secrets = self.secrets
        own.stream = self._tracking_stream(own)
        if self.error_stream:
            from mms.interfaces.mlrun.records.streams import get_stream_pusher
            from mms.tracking import with_topic

            self._error_stream_object = get_stream_pusher(
                with_topic(self.error_stream, own.project)
            )

    def init_object(self, namespace: Any = None) -> None:
        """Make the graph's objects and load its models. `init_states` comes before.

        Raises GraphError for steps that cannot be, RuntimeError for a model that failed to load, and whatever
        constructors raise.
        """
        from mms.interfaces.mlrun.graph.lookup import as_namespace, find_handler

        if self.context is None:
            raise MLRunInvalidArgumentError("init_states() comes before init_object()")
        names = as_namespace(namespace) or self._namespace
        if self.graph_initializer:
            initialize = find_handler(self.graph_initializer, names, "graph_initializer")
            initialize(self)
        self.graph.init_object(self.context, names, self.load_mode, reset=True)

    def run(
        self, event: Any, context: Any = None, get_body: bool = False, extra_args: Any = None
    ) -> Any:
        """Answer an event: a Response; with `get_body` the value itself, unless it is an error or a Response."""
        if self.context is None:
            raise MLRunInvalidArgumentError("init_states() and init_object() come before run()")
        return run_event(
            self.graph.run,
            event,
            self.context,
            default_content_type=self.default_content_type,
            get_body=get_body,
        )

    def test(
        self,
        path: str = "/",
        body: Any = None,
        method: str = "",
        headers: dict[str, Any] | None = None,
        content_type: str | None = None,
        silent: bool = False,
        get_body: bool = True,
        event_id: str | None = None,
        trigger: MockTrigger | None = None,
        offset: int | None = None,
        time: Any = None,
    ) -> Any:
        """Send an event, and return the answer's value, or the Response that the graph made.

        `method`: POST with a body, GET without one. `get_body`: False for a Response with the JSON text. `silent`:
        return errors, too. Raises RuntimeError for an answer of status 300 and above.
        """
        if self.context is None:
            raise MLRunInvalidArgumentError(
                "the server is not initialized: to_mock_server() makes one that is"
            )
        from mms.interfaces.mlrun.routers.router import own_copy

        event = MockEvent(
            # As over HTTP: what the graph writes into it, the caller does not see.
            body=own_copy(body),
            path=path,
            method=method or ("POST" if _is_given(body) else "GET"),
            headers=headers,
            content_type=content_type,
            event_id=event_id,
            trigger=trigger,
            offset=offset,
            time=time,
        )
        answer = self.run(event, get_body=get_body)
        status = getattr(answer, "status_code", None)
        if isinstance(status, int) and status >= 300 and not silent:
            body = answer.body
            is_bytes = isinstance(body, bytes | bytearray)
            text = body.decode("utf-8", "replace") if is_bytes else str(body)
            failed = RuntimeError(f"failed ({status}): {text}")
            raise failed from getattr(answer, "error", None)
        return answer

    def wait_for_completion(self, timeout: float | None = None) -> None:
        """Return when nothing of the graph is under way; records that wait are sent. Raises TimeoutError.

        `timeout` is in seconds.
        """
        if self.graph is not None:
            self.graph.wait_for_completion(timeout)
        if self.context is not None:
            self.context.flush_model_logs()
            for stream in (self.context.stream.output_stream, self._error_stream_object):
                flush = getattr(stream, "flush", None)
                if flush is not None:
                    flush()

    def plot(self, *_: Any, **__: Any) -> None:
        """See `BaseStep.plot`."""
        self.graph.plot()

    def _tracking_stream(self, context: GraphContext) -> Any:
        path = self.parameters.get("log_stream")
        if not (self.track_models or path):
            return context.stream
        from mms.interfaces.mlrun.records.model_log import StreamContext
        from mms.interfaces.mlrun.records.streams import get_stream_pusher
        from mms.tracking import with_topic

        if not path:
            if not context.is_mock:
                raise MLRunInvalidArgumentError(
                    "track_models is set, but not where the records go: set_tracking(stream_path)"
                )
            path = _DUMMY_STREAM
        path = with_topic(str(path).replace("{project}", context.project), context.project)
        arguments = dict(self.parameters.get("stream_args") or {})
        return StreamContext(
            get_stream_pusher(path, **arguments),
            stream_uri=path,
            function_uri=self.function_uri,
            logger=context.logger,
        )


def create_graph_server(
    parameters: dict[str, Any] | None = None,
    load_mode: str | None = None,
    graph: Any = None,
    verbose: bool = False,
    current_function: str | None = None,
    **kwargs: Any,
) -> GraphServer:
    """Return a server to be given its graph, for tests of graphs without a function."""
    server = GraphServer(graph, parameters, load_mode, verbose=verbose, **kwargs)
    if current_function is None:
        current_function = os.environ.get(CURRENT_FUNCTION_VARIABLE, "")
    server.set_current_function(current_function)
    return server


def nuclio_init_hook(context: Any, data: Any, kind: str) -> None:
    """Make the function of this process's spec, and its handler `context.mlrun_handler(context, event)`.

    `data`: the globals of the function's code. Raises MLRunInvalidArgumentError, and as `init_object` does.
    """
    if kind not in HANDLER_KINDS:
        raise MLRunInvalidArgumentError(
            f"functions of kind {kind} have no handler here, only those of {', '.join(HANDLER_KINDS)}"
        )
    v2_serving_init(context, data)
    context.mlrun_handler = v2_serving_handler


def v2_serving_init(context: Any, namespace: Any = None) -> None:
    """Make the server of this process's spec: it is `context._server` from then on."""
    document = process_document()
    if document is None:
        raise MLRunInvalidArgumentError(
            f"there is no serving spec: neither the file {SPEC_FILE} nor the variable {SPEC_VARIABLE}"
        )
    server = GraphServer.from_dict(document)
    server.set_current_function(os.environ.get(CURRENT_FUNCTION_VARIABLE, ""))
    server.init_states(context, namespace, is_mock=bool(getattr(context, "is_mock", False)))
    server.init_object(namespace)
    context._server = server


def v2_serving_handler(context: Any, event: Any, get_body: bool = False) -> Any:
    """Answer an event with the server of `v2_serving_init`."""
    if event.body == b"":
        event.body = None
    return context._server.run(event, context, get_body)


def _is_given(body: Any) -> bool:
    """Return whether a body makes the method POST. Arrays have no truth."""
    try:
        return bool(body)
    except ValueError:
        return True


__all__ = [
    "GraphServer",
    "MockEvent",
    "MockTrigger",
    "Response",
    "create_graph_server",
    "nuclio_init_hook",
    "v2_serving_handler",
    "v2_serving_init",
]
