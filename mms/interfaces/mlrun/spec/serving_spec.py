"""The document that a function is served from: its graph and what goes with it, as MLRun deploys or exports it."""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, Final

from mms.errors import InvalidModel
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.model.model_server import LOAD_MODES
from mms.text.brief import brief

#: Where MLRun mounts it, and the variable in which it comes otherwise.
SPEC_FILE: Final = "/tmp/mlrun/serving-conf/serving_spec.json"
SPEC_VARIABLE: Final = "SERVING_SPEC_ENV"
#: Which steps of a graph run in this process: those of this function, `*` for all.
CURRENT_FUNCTION_VARIABLE: Final = "SERVING_CURRENT_FUNCTION"
#: What exported functions of this server's kind say that they are.
FUNCTION_KINDS: Final = ("serving", "nuclio:serving")

_ROUTER: Final = "router"
_GRAPH_KINDS: Final = (_ROUTER, "flow", "root")


class InvalidSpec(InvalidModel, MLRunInvalidArgumentError):
    """A serving spec that cannot be served."""


@dataclass(frozen=True, slots=True)
class ServingSpec:
    """What a deployed function is made of.

    `graph` is a router's or a flow's document. `filename` and `code` are of the module that the function's classes are
    in, where the document brings it along.
    """

    graph: dict[str, Any]
    function_uri: str = ""
    version: str = "v2"
    parameters: dict[str, Any] = field(default_factory=dict)
    load_mode: str = "sync"
    functions: dict[str, Any] = field(default_factory=dict)
    graph_initializer: str | None = None
    error_stream: str | None = None
    track_models: bool = False
    default_content_type: str | None = None
    secret_sources: list[dict[str, Any]] = field(default_factory=list)
    verbose: bool = False
    replicas: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    http_workers: int | None = None
    #: In seconds.
    readiness_timeout: float | None = None
    filename: str | None = None
    code: str | None = None

    @property
    def is_router(self) -> bool:
        return self.graph.get("kind") == _ROUTER

    @property
    def function_name(self) -> str | None:
        """Its part of `<project>/<name>[:tag][@hash]`."""
        last = self.function_uri.rpartition("/")[2]
        return re.split("[:@]", last)[0] or None

    @property
    def project(self) -> str:
        return self.function_uri.rpartition("/")[0] or "default"

    @property
    def workers(self) -> int | None:
        """How many workers each model is to have; None where the document does not say.

        They take as many requests at a time as the function's replicas: `replicas`, else `min_replicas`, by what
        `with_http` says.
        """
        replicas = self.replicas or self.min_replicas
        each = self.http_workers
        return (replicas or 1) * (each or 1) if replicas or each else None

    @property
    def without_effect(self) -> tuple[str, ...]:
        """What it asks for and does not get, `name=value`."""
        most = self.max_replicas
        return (f"max_replicas={most}",) if most and most > (self.workers or 1) else ()

    def tracking(self) -> dict[str, Any] | None:
        """Return where records and errors of its models go, as a registration says it; None where nowhere."""
        path = self.parameters.get("log_stream")
        if not path and not self.error_stream:
            return None
        found: dict[str, Any] = {}
        if path:
            found["path"] = str(path).replace("{project}", self.project)
        if self.error_stream:
            found["error_stream"] = self.error_stream
        for member, parameter in (("sample", "log_stream_sample"), ("batch", "log_stream_batch")):
            if self.parameters.get(parameter) is not None:
                found[member] = self.parameters[parameter]
        if self.parameters.get("stream_args"):
            found["stream_args"] = self.parameters["stream_args"]
        if self.function_uri:
            found["function_uri"] = self.function_uri
        return found

    def to_document(self) -> dict[str, Any]:
        """Return the document of it, from which `read_spec` reads the same."""
        members = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in members.items() if value is not None}


def is_serving_document(document: Any) -> bool:
    """Return whether a document is a serving spec or an exported function, and no other kind of graph."""
    if not isinstance(document, Mapping):
        return False
    if _is_graph(document.get("graph")):
        return True
    spec = document.get("spec")
    return isinstance(spec, Mapping) and "kind" in document and _is_graph(spec.get("graph"))


def check_has_graph(document: Any, source: str) -> None:
    """Raise InvalidSpec for the document of a function to which no model was added."""
    if isinstance(document, Mapping) and document.get("kind") in FUNCTION_KINDS:
        raise InvalidSpec(
            f"{source} is a function without models: its spec has no graph with routes or steps. In a script, "
            "import_function() and add_model() give it one, and deploy() or export() takes it on (mms mlrun run)."
        )


def read_text(text: bytes, source: str) -> Any:
    """Return the value of a document in JSON or YAML. Raises InvalidSpec that names the source."""
    from mms.text.documents import InvalidDocument, check_depth, read_yaml

    document = None
    if text.lstrip()[:1] == b"{":
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            # YAML may begin so, too, and has the better message.
            pass
    try:
        if document is None:
            return read_yaml(text)
        check_depth(document)
        return document
    except InvalidDocument as error:
        raise InvalidSpec(f"{source} is neither JSON nor YAML: {error}.") from None


def process_document(
    environ: Mapping[str, str] = os.environ, file: str = SPEC_FILE
) -> dict[str, Any] | None:
    """Return the document of this process: the mounted file's, else the variable's; None where there is neither.

    Raises InvalidSpec for one that is no serving document, OSError for a file that cannot be read.
    """
    source = file
    if os.path.isfile(file):
        with open(file, "rb") as opened:
            text = opened.read()
    else:
        source = f"the variable {SPEC_VARIABLE}"
        text = environ.get(SPEC_VARIABLE, "").encode()
        if not text:
            return None
    document = read_text(text, source)
    if not is_serving_document(document):
        raise InvalidSpec(
            f'{source} is not a serving spec: it has no "graph" with routes or steps.'
        )
    return dict(document)


def read_spec(document: Mapping[str, Any]) -> ServingSpec:
    """Read a document that `is_serving_document`. Raises InvalidSpec that names the member."""
    if not _is_graph(document.get("graph")):
        document = _of_function(document)
    load_mode = document.get("load_mode") or LOAD_MODES[0]
    if load_mode not in LOAD_MODES:
        raise InvalidSpec(
            f"load_mode is {brief(load_mode)}, but must be one of {', '.join(LOAD_MODES)}."
        )
    code = _text(document, "code")
    filename = _text(document, "filename")
    sources = document.get("secret_sources") or []
    if not isinstance(sources, list):
        raise InvalidSpec("secret_sources must be a list.")
    return ServingSpec(
        graph=dict(document["graph"]),
        function_uri=_text(document, "function_uri") or _text(document, "function_name") or "",
        version=_text(document, "version") or "v2",
        parameters=_object(document, "parameters"),
        load_mode=load_mode,
        functions=_object(document, "functions"),
        graph_initializer=_text(document, "graph_initializer"),
        error_stream=_text(document, "error_stream"),
        track_models=bool(document.get("track_models")),
        default_content_type=_text(document, "default_content_type"),
        secret_sources=sources,
        verbose=bool(document.get("verbose")),
        replicas=_count(document, "replicas"),
        min_replicas=_count(document, "min_replicas"),
        max_replicas=_count(document, "max_replicas"),
        http_workers=_count(document, "http_workers"),
        readiness_timeout=_seconds(document, "readiness_timeout"),
        filename=_module_file(filename) if filename or code is not None else None,
        code=code,
    )


def source_code_of(spec: Mapping[str, Any]) -> str | None:
    """Return the code in the `spec` of a function's document; None where there is none.

    It is in `build`, or as MLRun's hub has it in that of `base_spec.spec`. Raises InvalidSpec for what is no text in
    base64.
    """
    outer, inner = spec, _member(_member(spec, "base_spec"), "spec")
    for where, part in (("spec", outer), ("spec.base_spec.spec", inner)):
        encoded = _member(part, "build").get("functionSourceCode")
        if not encoded:
            continue
        try:
            # Documents in YAML may have it on several lines.
            plain = "".join(encoded.split()) if isinstance(encoded, str) else encoded
            return base64.b64decode(plain, validate=True).decode()
        except (TypeError, ValueError) as error:
            raise InvalidSpec(
                f"{where}.build.functionSourceCode is not text in base64: {error}."
            ) from error
    return None


def without_source_code(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same `spec` of a function's document without its code."""
    return {
        name: value for name, value in spec.items() if name not in ("build", "base_spec", "code")
    }


def _is_graph(graph: Any) -> bool:
    if not isinstance(graph, Mapping):
        return False
    return "routes" in graph or "steps" in graph or graph.get("kind") in _GRAPH_KINDS


def _of_function(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the serving spec of an exported function."""
    spec: dict[str, Any] = dict(document["spec"])
    named = _member(document, "metadata")
    name = str(named.get("name") or "")
    code = source_code_of(spec)
    if code is not None:
        spec["code"] = code
        spec["filename"] = spec.get("filename") or f"{name or 'function'}.py"
    uri = f"{named.get('project') or 'default'}/{name}" if name else ""
    if uri and named.get("tag"):
        uri += f":{named['tag']}"
    spec["function_uri"] = spec.get("function_uri") or uri
    spec["verbose"] = document.get("verbose")
    return spec


def _text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidSpec(f"{name} must be a text, not {type(value).__name__}.")
    return value


def _count(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name) or 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidSpec(f"{name} is {brief(value)}, but must be a whole number.")
    return value or None


def _seconds(document: Mapping[str, Any], name: str) -> float | None:
    value = document.get(name)
    if not value:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise InvalidSpec(f"{name} is {brief(value)}, but must be a number of seconds.")
    return float(value)


def _object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name) or {}
    if not isinstance(value, Mapping):
        raise InvalidSpec(f"{name} must be an object, not {type(value).__name__}.")
    return dict(value)


def _member(part: Any, name: str) -> Mapping[str, Any]:
    found = part.get(name) if isinstance(part, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _module_file(filename: str | None) -> str:
    """Return the file that a function's code is written to: its own name, made fit for a module."""
    stem = PurePosixPath((filename or "function.py").replace("\\", "/")).stem
    stem = re.sub(r"\W", "_", stem)
    return f"{stem if stem and not stem[0].isdigit() else '_' + stem}.py"
