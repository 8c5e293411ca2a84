"""Functions as documents: the spec that servers make them of, and the file that keeps them."""

from __future__ import annotations

import base64
import copy
import os
from collections.abc import Iterator
from typing import Any

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.lookup import BUILT_IN
from mms.interfaces.mlrun.spec.serving_spec import (
    ServingSpec,
    source_code_of,
    without_source_code,
)
from mms.text.brief import brief

#: Of a function's spec, with forms of their own in its document.
_OF_OTHER_FORM = ("graph", "graph_initializer", "code", "function_refs", "env")


def serving_spec_of(function: Any) -> ServingSpec:
    """Return what a process needs to serve a function, its code included.

    Raises MLRunInvalidArgumentError for a function without a graph, OSError for code that cannot be read.
    """
    spec = function.spec
    if spec.graph is None:
        raise MLRunInvalidArgumentError(
            f"cannot deploy function {function.uri} without a graph: set_topology() makes one"
        )
    file, code = code_of_function(function)
    return ServingSpec(
        graph=spec.graph.to_dict(),
        function_uri=function.uri,
        parameters=dict(spec.parameters),
        load_mode=spec.load_mode or "sync",
        functions={name: child.uri for name, child in spec.function_refs.items()},
        graph_initializer=_name_of(spec.graph_initializer),
        error_stream=spec.error_stream,
        track_models=bool(spec.track_models),
        default_content_type=spec.default_content_type,
        secret_sources=list(spec.secret_sources),
        verbose=function.verbose,
        replicas=spec.replicas,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        http_workers=spec.http_workers,
        readiness_timeout=spec.readiness_timeout,
        filename=None if code is None else file,
        code=code,
    )


def code_of_function(function: Any) -> tuple[str | None, str | None]:
    """Return (the name of the function's file, its code); (None, None) where it has none. Raises OSError."""
    spec = function.spec
    if spec.code is not None:
        return f"{module_name_of(function)}.py", spec.code
    if not spec.command:
        return None, None
    from mms.interfaces.mlrun.spec.code_file import code_of, path_of

    path = path_of(spec.workdir, spec.command)
    stem = os.path.splitext(os.path.basename(path))[0]
    return f"{stem}.py", code_of(path)


def module_name_of(function: Any) -> str:
    """Return the name of the module that is made of code without a file."""
    return str(function.metadata.name or "function").replace("-", "_")


def check_can_leave(spec: ServingSpec, function: Any) -> None:
    """Raise MLRunInvalidArgumentError for a spec whose classes only this process has, or that lacks a function."""
    for step in _steps_of(spec.graph):
        child = step.get("function")
        if child and child not in spec.functions:
            raise MLRunInvalidArgumentError(
                f"function {child} is named by a step of {function.uri}, but is not there: "
                f"add_child_function({brief(child)}) adds it"
            )
        if spec.code is not None:
            continue
        for member in ("class_name", "handler"):
            name = step.get(member) or ""
            is_of_function = name.isidentifier() and name not in BUILT_IN
            # A handler beside a class is a method of it.
            if is_of_function and not (member == "handler" and step.get("class_name")):
                raise MLRunInvalidArgumentError(
                    f"function {function.uri} has no code to send along, but needs {name}: name its file, in "
                    "code_to_function(filename=...), new_function(command=...) or with_code()"
                )


def set_absolute_paths(spec: ServingSpec, folder: str) -> None:
    """Change relative paths of models below the folder, so that a process of another folder finds them."""
    for step in _steps_of(spec.graph):
        arguments = step.get("class_args") or {}
        path = arguments.get("model_path")
        if isinstance(path, str) and path and "://" not in path:
            absolute = os.path.join(folder, path)
            if os.path.exists(absolute):
                arguments["model_path"] = os.path.normpath(absolute)


def _steps_of(graph: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps of a graph and the routes of its routers."""
    for step in (graph, *graph.get("steps", {}).values()):
        yield step
        yield from step.get("routes", {}).values()


def document_of(function: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """{kind, metadata, spec, verbose}, as MLRun writes functions; the code is in `spec.build`."""
    own = function.spec
    spec = {
        name: value
        for name, value in vars(own).items()
        if value not in (None, "", [], {}) and name not in _OF_OTHER_FORM
    }
    if own.graph is not None:
        spec["graph"] = own.graph.to_dict()
    if own.graph_initializer is not None:
        spec["graph_initializer"] = _name_of(own.graph_initializer)
    if own.env:
        spec["env"] = [{"name": name, "value": value} for name, value in own.env.items()]
    if own.function_refs:
        spec["function_refs"] = {
            name: {"name": name, "url": child.spec.command or None}
            for name, child in own.function_refs.items()
        }
    file, code = code_of_function(function)
    if code is not None:
        spec["filename"] = file
        spec["build"] = {"functionSourceCode": base64.b64encode(code.encode()).decode()}
    metadata = {name: value for name, value in vars(function.metadata).items() if value}
    document = {
        "kind": function.kind,
        "metadata": metadata,
        "spec": spec,
        "verbose": function.verbose,
    }
    return {name: value for name, value in document.items() if name not in without}


def take_document(function: Any, document: dict[str, Any]) -> None:
    """Set what a document says on an empty function. Raises GraphError; MLRunInvalidArgumentError for its code."""
    from mms.interfaces.mlrun.graph.graph_document import graph_from_dict

    function.metadata.labels.update((document.get("metadata") or {}).get("labels") or {})
    function.verbose = bool(document.get("verbose"))
    given = document.get("spec") or {}
    spec = without_source_code(given)
    graph = spec.pop("graph", None)
    if graph:
        function.spec.graph = graph_from_dict(graph)
    for variable in spec.pop("env", None) or ():
        function.set_env(variable["name"], variable.get("value"))
    for name, child in (spec.pop("function_refs", None) or {}).items():
        function.add_child_function(name, (child or {}).get("url"))
    for name, value in spec.items():
        setattr(function.spec, name, value)
    code = source_code_of(given)
    if code is not None:
        # The text counts: the file may be one of another machine.
        function.with_code(body=code)


def _name_of(function: Any) -> Any:
    if function is None or isinstance(function, str):
        return function
    from mms.interfaces.mlrun.graph.lookup import class_name_of

    return class_name_of(function)


def copy_of_graph(graph: Any) -> Any:
    """Return a graph of the same steps. What they are made of (classes, arguments, objects) is shared."""
    shared: dict[int, Any] = {}
    steps = [graph]
    while steps:
        step = steps.pop()
        steps.extend(step.get_children())
        for part in (
            *getattr(step, "class_args", {}).values(),
            getattr(step, "_object", None),
            step.context,
        ):
            shared[id(part)] = part
        runner = getattr(step, "_runner", None)
        shared[id(runner)] = runner
    return copy.deepcopy(graph, shared)
