"""The interface `mlrun`: a model server of MLRun's contract, unmodified."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mms.context import Context
from mms.interfaces.mlrun.files.secrets import Secrets
from mms.interfaces.mlrun.interface import MLRUN
from mms.interfaces.mlrun.load import ServingLoad
from mms.interfaces.mlrun.model.construction import make_object
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.model_server import LOAD_MODES
from mms.interfaces.mlrun.model.options import MOCK_VARIABLE, ServingOptions
from mms.interfaces.mlrun.model.request_body import parse_body
from mms.interfaces.mlrun.worker.arguments import class_args_of, key_of
from mms.interfaces.mlrun.worker.items import MlrunItems
from mms.interfaces.mlrun.worker.load import ModelLoad, load_now
from mms.interfaces.mlrun.worker.metrics import MetricSeries
from mms.interfaces.mlrun.worker.rows import RowJoiner, is_row_wise
from mms.interfaces.mlrun.worker.serving_class import (
    find_class,
    is_of_real_package,
    is_step,
)
from mms.tensors.server import TensorServer
from mms.version import __version__
from mms.wire import Load, UrlRules
from mms.worker.loading.model import Model
from mms.worker.loading.packages import offer_packages
from mms.worker.tensors.late import LateServer


class HostedServer:
    """What classes find as `context.server`."""

    def __init__(self, serving: ServingLoad, *, is_tracked: bool = False) -> None:
        self.parameters: dict[str, Any] = dict(serving.function_parameters)
        self.load_mode = serving.load_mode
        self.function_uri = serving.function_uri
        self.verbose = serving.verbose
        self.graph: Any = serving.graph
        self.track_models = is_tracked
        self.context: Any = None

    def __repr__(self) -> str:
        return f"<HostedServer of {self.function_uri or 'no function'}>"


def open_model(load: Load) -> Model:
    """Import the class, make its one instance and have it load. Raises whatever its code raises."""
    serving = load.part(MLRUN.name, ServingLoad)
    if load.records is not None:
        # Of a function's registration, unless the function says it.
        load.records.function_uri = load.records.function_uri or serving.function_uri
    # Code that deploys itself when it is imported deploys nothing from here.
    os.environ[MOCK_VARIABLE] = "1"
    offer_packages(MLRUN, load.package_choices)
    if load.url_rules is not None:
        # Here, as most models have no use for it.
        from mms.interfaces.mlrun.files.stores import hold_http_to

        hold_http_to(load.url_rules)
    items = _open_graph(load, serving) if serving.graph else _open_class(load, serving)
    context = Context(
        load.model_name, load.model_dir, None, load.batch_size, load.gpu_id, __version__
    )

    def open_tensors() -> TensorServer:
        # Here, as most models have no use for it.
        from mms.interfaces.mlrun.worker.tensors import MlrunTensors

        return MlrunTensors(items, load)

    return Model(
        MLRUN.name,
        lambda data, context: items.serve_items(data),
        context,
        items=items,
        tensors=LateServer(open_tensors),
    )


def _open_graph(load: Load, serving: ServingLoad) -> MlrunItems:
    # Here, as other models have no use for it.
    from mms.interfaces.mlrun.worker.graph import make_graph

    mode = _load_mode(serving)
    context = make_context(load, serving)
    _attach_streams(context, load)
    graph = make_graph(load, serving, context)
    pending = _loaded(graph, mode)
    return MlrunItems(
        graph.do_event,
        context,
        load=pending,
        close=graph.terminate,
        is_graph=True,
        prefix=graph.prefix,
        default_content_type=serving.default_content_type,
        debug_errors=load.debug_errors,
    )


def _load_mode(serving: ServingLoad) -> str:
    mode = serving.load_mode
    if mode not in LOAD_MODES:
        raise ValueError(
            f"illegal model loading mode {mode}, must be one of {', '.join(LOAD_MODES)}"
        )
    return mode


def _attach_streams(context: GraphContext, load: Load) -> None:
    if load.records is not None:
        # Here, as most models have no use for it.
        from mms.interfaces.mlrun.worker.streams import attach_streams

        attach_streams(context, load.records)


def _loaded(server: Any, mode: str) -> ModelLoad | None:
    """Return what is still to be done where a server is to load beside its requests."""
    if mode == LOAD_MODES[1]:
        return ModelLoad(server)
    load_now(server, mode)
    return None


def _open_class(load: Load, serving: ServingLoad) -> MlrunItems:
    mode = _load_mode(serving)
    found = find_class(load.handler, load.model_dir)
    context = make_context(load, serving)
    # The installed package would register the model with its own service.
    context.is_mock = is_of_real_package(found)
    if not context.is_mock:
        _attach_streams(context, load)
    if serving.graph_initializer:
        # Here, as most models have no use for it.
        from mms.interfaces.mlrun.graph.graph_document import graph_from_dict
        from mms.interfaces.mlrun.worker.initializer import run_initializer

        run_initializer(load, serving, context, graph_from_dict(serving.function_graph or {}))
    if is_step(found):
        return _open_step(load, serving, found, context)
    server = make_object(
        found,
        class_args_of(load, serving),
        name=key_of(load, serving),
        context=context,
        input_path=serving.input_path,
        result_path=serving.result_path,
    )
    if not callable(getattr(server, "do_event", None)):
        raise TypeError(f"{load.handler} is not a model server: it has no method do_event(event)")
    context.root = server
    pending = _loaded(server, mode)
    run = BehindRouter(server, context.options)
    joins_rows = load.batch_size > 1 and is_row_wise(server, serving.row_wise)
    content_type = serving.default_content_type
    return MlrunItems(
        run,
        context,
        load=pending,
        run_joined=RowJoiner(server, run, context, content_type).run_all if joins_rows else None,
        metrics=MetricSeries(server, load.model_name) if hasattr(server, "metrics") else None,
        close=getattr(server, "terminate", None),
        default_content_type=content_type,
        debug_errors=load.debug_errors,
    )


def _open_step(load: Load, serving: ServingLoad, found: Any, context: GraphContext) -> MlrunItems:
    """Return a route of a router that is no model: a class with `do` or `do_event`, as flows have them."""
    # Here, as models have no use for it.
    from mms.interfaces.mlrun.graph.steps.task import TaskStep
    from mms.interfaces.mlrun.worker.arguments import given_args_of
    from mms.interfaces.mlrun.worker.initializer import namespace_of

    step = TaskStep(
        found,
        given_args_of(load, serving),
        name=key_of(load, serving),
        input_path=serving.input_path,
        result_path=serving.result_path,
    )
    step.init_object(context, namespace_of(load), "skip")
    context.root = step
    step.post_init(_load_mode(serving))
    return MlrunItems(
        BehindRouter(step.object, context.options, step.run),
        context,
        close=getattr(step.object, "terminate", None),
        default_content_type=serving.default_content_type,
        debug_errors=load.debug_errors,
    )


class BehindRouter:
    """Runs events as the router in front of a model gives them to it."""

    def __init__(
        self, server: Any, options: ServingOptions, run: Callable[[Any], Any] | None = None
    ) -> None:
        """`run`: what answers an event, in place of the server's `do_event`."""
        self._do_event = run or server.do_event
        self._protocol = getattr(server, "protocol", None) or "v2"
        self._takes_data_url = options.data_url
        self._prefers_body = options.body_operation

    def __call__(self, event: Any) -> Any:
        return self._do_event(self.routed(event))

    def routed(self, event: Any) -> Any:
        """Return the same event, its body read and its operation as the body says where that is allowed."""
        body = event.body
        if body and event.method != "GET":
            # Of nearly all requests it is a dict by now, and nothing is left to do.
            if type(body) is not dict or "data_url" in body:
                body = event.body = parse_body(
                    event, protocol=self._protocol, takes_data_url=self._takes_data_url
                )
            if self._prefers_body and type(body) is dict and body.get("operation"):
                event.path = str(body["operation"])
        return event


def make_context(load: Load, serving: ServingLoad) -> GraphContext:
    """Return what the classes of a worker are told. Raises ValueError for options that cannot be."""
    records = load.records
    server = HostedServer(serving, is_tracked=records is not None and records.path is not None)
    sources = serving.secret_sources
    number = load.worker_name.rpartition("-")[2]
    return GraphContext(
        server=server,
        secrets=Secrets.from_sources(sources) if sources else None,
        worker_id=int(number) if number.isdecimal() else 0,
        options=ServingOptions(
            strict_status=serving.strict_status,
            nan_policy=serving.nan_policy,
            data_url=_data_urls(serving.data_url),
            body_operation=serving.body_operation,
        ),
    )


def _data_urls(rules: UrlRules | None) -> Any:
    if rules is None:
        return False
    from mms.interfaces.mlrun.files.data_urls import DataUrls

    return DataUrls.of_rules(rules)
