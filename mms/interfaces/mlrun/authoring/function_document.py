"""Functions as documents: the spec that servers make them of, and the file that keeps them."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import Any

from mms.brief import brief
from mms.interfaces.mlrun.authoring.serving_spec import (
    OF_DEPLOYMENTS,
    source_code_of,
    without_source_code,
)
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.lookup import BUILT_IN

#: Of a function's spec, with forms of their own in its document.
_OF_OTHER_FORM = ("graph", "graph_initializer", "code", "function_refs", "env")


def serving_spec_of(function: Any) -> dict[str, Any]:
    """What a process needs to serve a function: with its code, as `filename` and `code`.

    Raises MLRunInvalidArgumentError for a function without a graph, or whose classes are in no file.
    """
    spec = function.spec
    if spec.graph is None:
        raise MLRunInvalidArgumentError(
            f"cannot deploy function {function.uri} without a graph: set_topology() makes one"
        )
    document: dict[str, Any] = {
        "function_uri": function.uri,
        "version": "v2",
        "parameters": dict(spec.parameters),
        "graph": spec.graph.to_dict(),
        "load_mode": spec.load_mode,
        "functions": {name: child.uri for name, child in spec.function_refs.items()},
        "graph_initializer": _name_of(spec.graph_initializer),
        "error_stream": spec.error_stream,
        "track_models": spec.track_models,
        "tracking_policy": None,
        "default_content_type": spec.default_content_type,
        "verbose": function.verbose,
    }
    for name in OF_DEPLOYMENTS:
        value = getattr(spec, name, None)
        if value is not None:
            document[name] = value
    if spec.secret_sources:
        document["secret_sources"] = list(spec.secret_sources)
    file, code = code_of_function(function)
    if code is not None:
        document["filename"] = file
        document["code"] = code
    return document


def code_of_function(function: Any) -> tuple[str | None, str | None]:
    """(the name of the function's file, its code); (None, None) where it has none. Raises OSError."""
    spec = function.spec
    if spec.code is not None:
        return f"{module_name_of(function)}.py", spec.code
    if not spec.command:
        return None, None
    from mms.interfaces.mlrun.authoring.code_file import code_of, path_of

    path = path_of(spec.workdir, spec.command)
    stem = os.path.splitext(os.path.basename(path))[0]
    return f"{stem}.py", code_of(path)


def module_name_of(function: Any) -> str:
    """Of the module that is made of code without a file."""
    return str(function.metadata.name or "function").replace("-", "_")


def check_can_leave(document: dict[str, Any], function: Any) -> None:
    """Raises MLRunInvalidArgumentError for a spec whose classes only this process has, or that lacks a function."""
    for name in (step.get("function") for step in _steps_of(document["graph"])):
        if name and name not in document["functions"]:
            raise MLRunInvalidArgumentError(
                f"function {name} is named by a step of {function.uri}, but is not there: "
                f"add_child_function({brief(name)}) adds it"
            )
    if "code" in document:
        return
    for step in _steps_of(document["graph"]):
        for member in ("class_name", "handler"):
            name = step.get(member) or ""
            is_of_function = name.isidentifier() and name not in BUILT_IN
            # A handler beside a class is a method of it.
            if is_of_function and not (member == "handler" and step.get("class_name")):
                raise MLRunInvalidArgumentError(
                    f"function {function.uri} has no code to send along, but needs {name}: name its file, in "
                    "code_to_function(filename=...), new_function(command=...) or with_code()"
                )


def with_absolute_paths(document: dict[str, Any], folder: str) -> dict[str, Any]:
    """A spec whose models a process of another folder finds, too. The given one is changed."""
    for step in _steps_of(document["graph"]):
        arguments = step.get("class_args") or {}
        path = arguments.get("model_path")
        if isinstance(path, str) and path and "://" not in path:
            absolute = os.path.join(folder, path)
            if os.path.exists(absolute):
                arguments["model_path"] = os.path.normpath(absolute)
    return document


def _steps_of(graph: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a graph and the routes of its routers."""
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
