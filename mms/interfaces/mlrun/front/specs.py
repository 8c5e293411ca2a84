"""The serving functions of MLRun's among a host's models: made of their specs, with the models that they bring."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from archiver.model_config import WorkerBounds
from mms.errors import BadRequest, NameTaken
from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.interfaces.mlrun.front.calls import RouteCalls
from mms.interfaces.mlrun.front.router import MlrunRouter
from mms.interfaces.mlrun.front.routing import FRONT_ROUTERS, FrontRouting
from mms.interfaces.mlrun.graph.flow_plan import plan_flow
from mms.interfaces.mlrun.graph.graph_document import ChildModel, child_models, graph_from_dict
from mms.interfaces.mlrun.graph.lookup import BUILT_IN, NAMED_ROUTERS, is_remote
from mms.interfaces.mlrun.graph.steps.base import BaseStep
from mms.interfaces.mlrun.graph.steps.router import NAME_WITHOUT_EFFECT, RouterStep
from mms.interfaces.mlrun.graph.steps.storey import own_class
from mms.interfaces.mlrun.registration import ServerParameters
from mms.interfaces.mlrun.spec.code_file import without_own_deployment
from mms.interfaces.mlrun.spec.function_code import FunctionCode
from mms.interfaces.mlrun.spec.serving_spec import (
    InvalidSpec,
    ServingSpec,
    check_has_graph,
    is_serving_document,
    read_spec,
    read_text,
)
from mms.repository import FetchedArchive
from mms.serving.options import RegisterOptions
from mms.serving.registration.composites import HostOperations, composite_members, name_of_composite
from mms.serving.registration.pipeline import CompositeFactory, Registration
from mms.serving.served import ServedModel
from mms.text.documents import InvalidDocument, check_depth

logger = logging.getLogger("mms.serving")

_INTERFACE: Final = "mlrun"
_DEFAULT_NAME: Final = "function"
#: Models that one function may bring along.
_MAX_CHILDREN: Final = 1000
_DEFAULT_ROUTER: Final = "ModelRouter"
#: What a worker without any code of a user is given as its handler.
_OWN_HANDLER: Final = "mms.interfaces.mlrun.graph.graph_document:GraphModel"
#: Of a router that other routes than the models' own lead to; in a worker it sees all paths.
_OF_WORKERS: Final = frozenset(("input_path", "result_path", "url_prefix", "health_prefix"))


class MlrunSpecs(CompositeFactory):
    """Makes functions, and knows which model belongs to which. Called on the event loop."""

    def __init__(self, host: HostOperations) -> None:
        self._settings = host.settings
        self._registry = host.registry
        self._client = host.client
        self._make = host.make
        self._add = host.add
        self._prepare = host.prepare
        self._discard = host.discard

    def __repr__(self) -> str:
        return f"<MlrunSpecs {', '.join(s.name for s in self._registry.all() if s.parts)}>"

    async def _document_of(self, path: Path | None, options: RegisterOptions) -> Any:
        """Return the document of a registration if it is a function's, else None. Raises InvalidModel, BadRequest."""
        given = options.of(ServerParameters).serving_spec
        if given is not None:
            if not is_serving_document(given):
                check_has_graph(given, "serving_spec")
                raise BadRequest(
                    'serving_spec is not a serving spec: it has no "graph" with routes or steps, and '
                    "is not an exported function."
                )
            try:
                check_depth(given)
            except InvalidDocument as error:
                raise BadRequest(f"serving_spec cannot be read: {error}.") from None
            return given
        if path is None:
            return None
        text = await asyncio.to_thread(path.read_bytes)
        # As whoever registers it calls it; where it was fetched to, it has a name of ours.
        name = PurePosixPath(options.url.partition("?")[0]).name or path.name
        document = await asyncio.to_thread(read_text, text, name)
        if is_serving_document(document):
            return document
        check_has_graph(document, name)
        return None

    async def make(self, registration: Registration) -> ServedModel | None:
        """Return a function that can be registered as it is, its models registered already, without workers yet.

        Raises InvalidModel (InvalidSpec), BadRequest, Conflict, and what the registration of a model raises.
        """
        options, archive = registration.options, registration.archive
        document = await self._document_of(registration.document, options)
        if document is None:
            return None
        spec = read_spec(document)
        code = await asyncio.to_thread(_place_code, spec, archive)
        # Looks at each of its steps, of which there may be many.
        function = await asyncio.to_thread(_Function, spec, code)
        name = name_of_composite(registration, spec.function_name) or _DEFAULT_NAME
        former = registration.replaced
        if self._registry.has_name(name) and (former is None or former.name != name):
            raise NameTaken(name)
        for child in function.children:
            if child.key == name:
                raise InvalidSpec(
                    f"The function {name} has a model of the same name; register it under another "
                    "name, with the parameter model_name."
                )
        targets = {child.key: split_key(child.key) for child in function.children}
        calls = RouteCalls(self._client, targets)
        # Before any model is registered: it may be refused.
        nan_policy = options.of(ServerParameters).with_defaults(self._settings).nan_policy or ""
        routing = function.routing(calls, nan_policy)
        # Whoever starts the workers and opens the streams reads it from the model.
        options = options.or_else(load_timeout_s=spec.readiness_timeout, tracking=spec.tracking())
        if spec.without_effect:
            logger.warning(
                "Function %s: %s has no effect here. Its models keep the workers that they have until "
                "PUT /models/{model}?min_worker= changes that.",
                *(name, ", ".join(spec.without_effect)),
            )
        parts = await self._register_parts(name, function, options, registration)
        if routing is not None:
            served = self._front_router(name, routing, options, archive)
        else:
            graph_options = self._worker_graph(name, function, targets, options)
            served = self._make(graph_options, archive, None)
        served.parts, served.has_parts = parts, bool(parts)
        if spec.workers is not None:
            served.worker_bounds = WorkerBounds(spec.workers, spec.workers)
        return served

    def _front_router(
        self,
        name: str,
        routing: FrontRouting,
        options: RegisterOptions,
        archive: FetchedArchive,
    ) -> ServedModel:
        return MlrunRouter(
            **composite_members(
                *(self._settings, archive, options),
                interface=_INTERFACE,
                name=name,
                handler=routing.router_class,
            ),
            routing=routing,
            is_strict=bool(
                options.of(ServerParameters).with_defaults(self._settings).strict_status
            ),
        )

    def _worker_graph(
        self,
        name: str,
        function: _Function,
        targets: dict[str, tuple[str, str | None]],
        options: RegisterOptions,
    ) -> RegisterOptions:
        spec = function.spec
        own = options.of(ServerParameters).over(function.shared_parameters())
        part = options.of_part(
            url=options.url,
            model_name=name,
            handler=function.code.main_module or _OWN_HANDLER,
            interface=_INTERFACE,
            calls={key: list(target) for key, target in targets.items()},
        )
        return part.with_group(replace(own, graph=spec.graph))

    # Its models

    async def _register_parts(
        self,
        owner: str,
        function: _Function,
        options: RegisterOptions,
        registration: Registration,
    ) -> list[ServedModel]:
        """Register the models of a function, without workers.

        Where the function takes the place of another model, they are only prepared: they take the place of that one's
        models at the same time.
        """
        parts: list[ServedModel] = []
        replaced = registration.replaced
        former = {(each.name, each.version): each for each in replaced.parts} if replaced else {}
        for child in function.children:
            name, version = split_key(child.key)
            made = options.of_part(
                model_name=name,
                model_version=version,
                handler=function.handler_of(child),
                folder=function.code.folder,
                interface=_INTERFACE,
            )
            own = options.of(ServerParameters).over(function.server_parameters(child))
            if replaced is None:
                served = await self._add(made.with_group(own), None)
                registration.parts.push_async_callback(self._discard, served)
            else:
                found = await self._prepare(made.with_group(own), None, former.get((name, version)))
                served = found.served
                registration.prepared.append(found)
                registration.parts.push_async_callback(_give_back, served)
            # At once, so that nobody removes it before the function itself is there.
            served.owner = owner
            if options.url:
                served.url = options.url
            parts.append(served)
        return parts


async def _give_back(served: ServedModel) -> None:
    """Give back what a model holds that was prepared and is in no registry."""
    release, served.release = served.release, None
    if release is not None:
        await release()


class _Function:
    """A spec that was checked: its graph, its models and their classes."""

    def __init__(self, spec: ServingSpec, code: FunctionCode) -> None:
        """Raises InvalidSpec."""
        if spec.graph_initializer:
            # The modules of its models need not be the one that has it.
            spec = replace(spec, graph_initializer=code.initializer(spec.graph_initializer))
        self.spec = spec
        self.code = code
        try:
            self._graph = graph_from_dict(spec.graph)
            self._children = [
                child
                for child in child_models(self._graph)
                if not code.is_step(child.document.get("class_name"))
            ]
            if not isinstance(self._graph, RouterStep):
                plan_flow(
                    self._graph.steps, None, self._graph.on_error, self._graph.engine == "sync"
                )
        except (GraphError, MLRunInvalidArgumentError) as error:
            raise InvalidSpec(f"The graph cannot be served: {error}.") from None
        if len(self._children) > _MAX_CHILDREN:
            raise InvalidSpec(
                f"The function has {len(self._children)} models; {_MAX_CHILDREN} are the most."
            )
        if isinstance(self._graph, RouterStep) and not self._graph.routes:
            raise InvalidSpec("The router has no models: its routes are empty.")
        self._check_classes(self._graph)

    @property
    def children(self) -> list[ChildModel]:
        return self._children

    def handler_of(self, child: ChildModel) -> str:
        return self.code.handler_of(child.document.get("class_name"), child.fullname)

    def shared_parameters(self) -> ServerParameters:
        """Return what all models of the function share."""
        spec = self.spec
        return ServerParameters(
            load_mode=spec.load_mode,
            function_parameters=spec.parameters,
            function_uri=spec.function_uri,
            verbose=spec.verbose,
            secret_sources=spec.secret_sources or None,
            default_content_type=spec.default_content_type,
            graph_initializer=spec.graph_initializer,
        )

    def server_parameters(self, child: ChildModel) -> ServerParameters:
        document = child.document
        arguments = dict(document.get("class_args") or {})
        path = arguments.get("model_path")
        if isinstance(path, str):
            arguments["model_path"] = _placed(path, self.code.folder)
        return replace(
            self.shared_parameters(),
            class_args=arguments,
            key=child.key,
            function_graph=self.spec.graph if self.spec.graph_initializer else None,
            input_path=document.get("input_path") or None,
            result_path=document.get("result_path") or None,
        )

    def routing(self, calls: RouteCalls, nan_policy: str) -> FrontRouting | None:
        """Return the routing of a router that the front can be; None where it needs workers. Raises InvalidSpec."""
        graph = self._graph
        if not isinstance(graph, RouterStep) or len(self._children) < len(graph.routes):
            return None
        if self.spec.graph_initializer:
            # It may change the graph, which only a worker can do.
            return None
        named = graph.class_name or _DEFAULT_ROUTER
        name = str(named).rpartition(".")[2]
        is_ours = name in BUILT_IN and (
            named == name or str(named).startswith(("mlrun.serving.", "mms."))
        )
        arguments = graph.class_args or {}
        has_paths = graph.input_path or graph.result_path or _OF_WORKERS & set(arguments)
        is_v2 = arguments.get("protocol", "v2") in (None, "v2")
        if not is_ours or name not in FRONT_ROUTERS or has_paths or not is_v2:
            return None
        own_name = arguments.get("name")
        if own_name and name not in NAMED_ROUTERS:
            # MLRun gives the router that is a whole graph the name of its class, whatever was asked for.
            arguments = {key: value for key, value in arguments.items() if key != "name"}
            logger.warning(NAME_WITHOUT_EFFECT, own_name, name)
        try:
            return FrontRouting.of(name, calls, arguments, nan_policy)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise InvalidSpec(f"Router {name}: {error}.") from None

    def _check_classes(self, graph: Any) -> None:
        for step in [graph, *_steps_below(graph)]:
            class_name = getattr(step, "class_name", None)
            if not class_name or is_remote(class_name):
                continue
            name = step.fullname or "router"
            try:
                is_of_storey = own_class(class_name, name) is not None
            except GraphError as error:
                raise InvalidSpec(f"The graph cannot be served: {error}.") from None
            if not is_of_storey:
                self.code.handler_of(class_name, name)


def _steps_below(step: BaseStep) -> list[BaseStep]:
    found = []
    for below in step.get_children():
        found += [below, *_steps_below(below)]
    return found


def split_key(key: str) -> tuple[str, str | None]:
    """Return (name, version) of `name` or `name:version`."""
    name, _, version = key.partition(":")
    return name, version or None


def _placed(path: str, folder: Path) -> str:
    """Return a path of the function's own folder, else of the server's, as an absolute one; what is neither stays."""
    if not path or "://" in path:
        return path
    for base in (folder, Path.cwd()):
        if (base / path).exists():
            return str((base / path).absolute())
    return path


def _place_code(spec: ServingSpec, archive: FetchedArchive) -> FunctionCode:
    """Write the code that a document brings into the archive's folder. Blocks. Raises InvalidSpec."""
    if spec.code is not None and spec.filename is not None:
        file = archive.folder / spec.filename
        if not archive.is_in_place:
            _write_once(file, without_own_deployment(spec.code).encode())
        elif not file.is_file():
            raise InvalidSpec(
                f"The document contains {spec.filename}, but its folder {archive.folder} "
                "does not: put the file there, or serve the document without the folder."
            )
    return FunctionCode(archive.folder, spec.filename)


def _write_once(file: Path, content: bytes) -> None:
    """Write a file that does not have this content yet, at once: workers of another model may be reading it."""
    if file.is_file() and file.read_bytes() == content:
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    try:
        with open(descriptor, "wb") as new:
            new.write(content)
        # Others than the server's user run workers.
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise
