"""The API description: an OpenAPI 3.0 document of the rows that say what they do."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mms.http.routing.operation import errors
from mms.http.routing.route import Route

_OPENAPI: Final = "3.0.1"


def document_of(
    routes: Iterable[Route],
    info: Mapping[str, str],
    *,
    components: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the document. `components`: schemas that operations may refer to."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for operation in route.operations:
            methods = paths.setdefault(route.parsed.shown + operation.verb, {})
            methods.setdefault(operation.method, operation.document(route.parsed.variables))
    document: dict[str, Any] = {"openapi": _OPENAPI, "info": dict(info), "paths": paths}
    used = _referred(paths, components or {})
    if used:
        document["components"] = {"schemas": used}
    return document


def _referred(value: Any, components: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the components that a part of a document refers to, and that these refer to in turn."""
    found: dict[str, Any] = {}
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, Mapping):
            waiting += part.values()
            name = str(part.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in components and name not in found:
                found[name] = components[name]
                waiting.append(components[name])
    return found


def document_of_path(
    document: Mapping[str, Any], variable: str, value: str, title: str
) -> dict[str, Any]:
    """The part of a document whose paths have a variable, for one value of it, which is percent-encoded already."""
    word = "{" + variable + "}"
    paths = {}
    for path, methods in document["paths"].items():
        if word in path:
            own = paths[path.replace(word, value)] = copy.deepcopy(methods)
            for operation in own.values():
                operation["parameters"] = [
                    entry
                    for entry in operation["parameters"]
                    if (entry["in"], entry["name"]) != ("path", variable)
                ]
    return {**document, "info": {**document["info"], "title": title}, "paths": paths}


# MMS's form

#: Operations that MMS describes under the id of another one.
_SHARED_IDS: Final = {"apiDescriptionOfAnyMethod": "apiDescription", "invoke": "invocations"}
#: Defaults and names that MMS's documents have, whatever its routes do: operation -> parameter -> what MMS says.
_DEFAULTS: Final = {
    "registerModel": {
        "initial_workers": "0",
        "preload_model": "false",
        "response_timeout": "2",
        "synchronous": "false",
    },
    "setAutoScale": {"max_worker": "1"},
}
_NAMES: Final = {"registerModel": {"url": "model_url"}}
_NO_EFFECT: Final = "Has no effect."
#: Parameters that MMS's documents have and its routes do not read: (name, type, default).
_UNREAD: Final[dict[str, tuple[tuple[str, str, str | None], ...]]] = {
    "listModels": (("model_name_pattern", "string", None),),
    "setAutoScale": (("number_gpu", "integer", "0"), ("timeout", "integer", "-1")),
    "unregisterModel": (("synchronous", "boolean", "false"), ("timeout", "integer", "-1")),
}
_OF_VERSION: Final = "OfVersion"


def in_mms_form(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of MMS's routes as MMS writes it, which clients compare with; it is no valid OpenAPI.

    Defaults are texts, also of numbers. Two operations share an id, and some parameters are named or are there that the
    routes do not read so.
    """
    paths: dict[str, dict[str, Any]] = {}
    for path, methods in document["paths"].items():
        own = {
            method: _as_mms(operation)
            for method, operation in methods.items()
            if "tags" not in operation
        }
        if own:
            paths[path] = own
    for path in ("/invocations", "/models/{model_name}/invoke"):
        if path in paths:
            operation = paths[path]["post"]
            # MMS describes the answer by the form of the call, and the model of either path as in the query.
            form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
            operation["responses"]["200"]["content"]["*/*"] = {"schema": form}
            operation["parameters"] = paths["/invocations"]["post"]["parameters"]
    return {
        "openapi": document["openapi"],
        "info": document["info"],
        "paths": paths,
    }


def _as_mms(operation: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(dict(operation))
    id_ = found["operationId"]
    found["operationId"] = _SHARED_IDS.get(id_, id_)
    known = id_.removesuffix(_OF_VERSION)
    for parameter in found["parameters"]:
        schema = parameter["schema"]
        name = parameter["name"]
        if name in _DEFAULTS.get(known, {}):
            schema["default"] = _DEFAULTS[known][name]
        elif "default" in schema:
            value = schema["default"]
            schema["default"] = str(value).lower() if isinstance(value, bool) else str(value)
        parameter["name"] = _NAMES.get(known, {}).get(name, name)
        parameter["required"] = parameter["required"] or name in _NAMES.get(known, {})
    for name, type_, default in _UNREAD.get(known, ()):
        schema = {"type": type_} | ({} if default is None else {"default": default})
        found["parameters"].append(
            {
                "in": "query",
                "name": name,
                "description": _NO_EFFECT,
                "required": False,
                "schema": schema,
            }
        )
    return found


def document_of_model(name: str) -> dict[str, Any]:
    """MMS's document of one model; its path is written as MMS writes it."""
    operation = {
        "description": f"A predict entry point for model: {name}.",
        "operationId": name,
        "parameters": [],
        "responses": {"200": {"description": "OK"}, **errors("500")},
    }
    return {
        "openapi": _OPENAPI,
        "info": {"title": f"RESTful API for: {name}", "version": "1.0.0"},
        "paths": {f"/prediction/{name}": {"post": operation}},
    }
