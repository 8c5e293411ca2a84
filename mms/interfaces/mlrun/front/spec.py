"""Documents of MLRun's serving functions: which they are, what they say, and the code that comes with them."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mms.brief import brief
from mms.errors import InvalidModel
from mms.interfaces.mlrun.authoring.serving_spec import source_code_of, workers_of
from mms.interfaces.mlrun.authoring.stand_in import FEATURE_ROUTERS, absence_text
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.lookup import BUILT_IN
from mms.interfaces.mlrun.registration import ServerParameters

_ROUTER: Final = "router"
_GRAPH_KINDS: Final = (_ROUTER, "flow", "root")
_LOAD_MODES: Final = ("sync", "async")
#: What exported functions of this server's kind say that they are.
FUNCTION_KINDS: Final = ("serving", "nuclio:serving")
_PACKAGE: Final = "mlrun."
_BUILT_IN_PACKAGE: Final = "mlrun.serving."


class InvalidSpec(InvalidModel):
    """A serving spec says what cannot be."""


@dataclass(frozen=True, slots=True)
class ServingSpec:
    """What a deployed function is made of. `graph`: its document, a router's or a flow's.

    `filename` and `code`: of the module that its classes are in, where the document brings it along.
    """

    graph: dict[str, Any]
    function_uri: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    load_mode: str = "sync"
    error_stream: str | None = None
    track_models: bool = False
    default_content_type: str | None = None
    graph_initializer: str | None = None
    secret_sources: list[dict[str, Any]] = field(default_factory=list)
    verbose: bool = False
    filename: str | None = None
    code: str | None = None
    #: Of each model; None where the document does not say.
    workers: int | None = None
    readiness_timeout_s: float | None = None
    #: What it asks for and does not get, `name=value`.
    without_effect: tuple[str, ...] = ()

    @property
    def is_router(self) -> bool:
        return self.graph.get("kind") == _ROUTER

    @property
    def function_name(self) -> str | None:
        """Of `<project>/<name>[:tag][@hash]`."""
        last = self.function_uri.rpartition("/")[2]
        return re.split("[:@]", last)[0] or None

    @property
    def project(self) -> str:
        return self.function_uri.rpartition("/")[0] or "default"

    def tracking(self) -> dict[str, Any] | None:
        """Where records and errors of its models go, as a registration says it; None where nowhere."""
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

    def server_parameters(self) -> ServerParameters:
        """What all models of the function share."""
        return ServerParameters(
            load_mode=self.load_mode,
            function_parameters=self.parameters,
            function_uri=self.function_uri,
            verbose=self.verbose,
            secret_sources=self.secret_sources or None,
            default_content_type=self.default_content_type or None,
            graph_initializer=self.graph_initializer or None,
        )


def is_serving_document(document: Any) -> bool:
    """Whether it is a serving spec or an exported function, and no other kind of graph."""
    if not isinstance(document, Mapping):
        return False
    if _is_graph(document.get("graph")):
        return True
    spec = document.get("spec")
    return isinstance(spec, Mapping) and "kind" in document and _is_graph(spec.get("graph"))


def check_has_graph(document: Any, source: str) -> None:
    """Raises InvalidSpec for the document of a function to which no model was added."""
    if isinstance(document, Mapping) and document.get("kind") in FUNCTION_KINDS:
        raise InvalidSpec(
            f"{source} is a function without models: its spec has no graph with routes or steps. In a script, "
            "import_function() and add_model() give it one, and deploy() or export() takes it on (mms mlrun run)."
        )


def read_text(text: bytes, source: str) -> Any:
    """The value of a document in JSON or YAML. Raises InvalidSpec that names the source."""
    from mms.documents import InvalidDocument, check_depth, read_yaml

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


def read_spec(document: Mapping[str, Any]) -> ServingSpec:
    """What a document says that `is_serving_document`. Raises InvalidSpec."""
    if not _is_graph(document.get("graph")):
        document = _of_function(document)
    load_mode = document.get("load_mode") or "sync"
    if load_mode not in _LOAD_MODES:
        raise InvalidSpec(
            f"load_mode is {brief(load_mode)}, but must be one of {', '.join(_LOAD_MODES)}."
        )
    code = _text(document, "code")
    filename = _text(document, "filename")
    sources = document.get("secret_sources") or []
    if not isinstance(sources, list):
        raise InvalidSpec("secret_sources must be a list.")
    try:
        workers = workers_of(document)
    except MLRunInvalidArgumentError as error:
        raise InvalidSpec(f"{error}.") from None
    return ServingSpec(
        workers=workers,
        readiness_timeout_s=_seconds(document, "readiness_timeout"),
        without_effect=_without_effect(document, workers),
        graph=dict(document["graph"]),
        function_uri=_text(document, "function_uri") or _text(document, "function_name") or "",
        parameters=_object(document, "parameters"),
        load_mode=load_mode,
        error_stream=_text(document, "error_stream"),
        track_models=bool(document.get("track_models")),
        default_content_type=_text(document, "default_content_type"),
        graph_initializer=_text(document, "graph_initializer"),
        secret_sources=sources,
        verbose=bool(document.get("verbose")),
        filename=_module_file(filename) if filename or code is not None else None,
        code=code,
    )


def _is_graph(graph: Any) -> bool:
    if not isinstance(graph, Mapping):
        return False
    return "routes" in graph or "steps" in graph or graph.get("kind") in _GRAPH_KINDS


def _of_function(document: Mapping[str, Any]) -> dict[str, Any]:
    """The serving spec that an exported function comes to."""
    spec: dict[str, Any] = dict(document["spec"])
    metadata = document.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    name = str(named.get("name") or "")
    try:
        code = source_code_of(spec)
    except MLRunInvalidArgumentError as error:
        raise InvalidSpec(f"{error}.") from None
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


def _seconds(document: Mapping[str, Any], name: str) -> float | None:
    value = document.get(name)
    if not value:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise InvalidSpec(f"{name} is {brief(value)}, but must be a number of seconds.")
    return float(value)


def _without_effect(document: Mapping[str, Any], workers: int | None) -> tuple[str, ...]:
    most = document.get("max_replicas")
    is_asked = isinstance(most, int) and most > (workers or 1)
    return (f"max_replicas={most}",) if is_asked else ()


def _object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name) or {}
    if not isinstance(value, Mapping):
        raise InvalidSpec(f"{name} must be an object, not {type(value).__name__}.")
    return dict(value)


def _module_file(filename: str | None) -> str:
    """The file that a function's code is written to: its own name, made fit for a module."""
    stem = PurePosixPath((filename or "function.py").replace("\\", "/")).stem
    stem = re.sub(r"\W", "_", stem)
    return f"{stem if stem and not stem[0].isdigit() else '_' + stem}.py"


class FunctionCode:
    """The modules of a function, in a folder. Read once; nothing of them is run."""

    def __init__(self, folder: Path, main: str | None) -> None:
        """`main`: the file of the function's own code. Blocks."""
        self.folder = folder
        files = sorted(folder.glob("*.py"))
        if main is not None:
            files.sort(key=lambda file: file.name != main)
        self._names = {file.stem: _names_in(file) for file in files}
        self._steps = {file.stem: _steps_in(file) for file in files}

    def __repr__(self) -> str:
        return f"<FunctionCode {', '.join(self._names) or 'without modules'}>"

    @property
    def main_module(self) -> str | None:
        return next(iter(self._names), None)

    def handler_of(self, class_name: Any, step: str) -> str:
        """`module:Class` of what a step names. Raises InvalidSpec for a class that is nowhere."""
        if not isinstance(class_name, str) or not class_name:
            raise InvalidSpec(f"Step {step} has no class_name.")
        module, dot, name = class_name.rpartition(".")
        if not dot:
            return f"{self._module_of(name, step)}:{name}"
        if class_name.startswith(_BUILT_IN_PACKAGE) and name in FEATURE_ROUTERS:
            raise InvalidSpec(f"Step {step}: {absence_text(name)}.")
        if class_name.startswith(_BUILT_IN_PACKAGE) and name not in BUILT_IN:
            raise InvalidSpec(
                f"Step {step}: there is no class {class_name}; built in are "
                f"{', '.join(sorted(BUILT_IN))}."
            )
        names = self._names.get(module)
        if names is not None and name not in names and "*" not in names:
            raise InvalidSpec(f"Step {step}: module {module} has no class {name}.")
        return f"{module}:{name}"

    def is_step(self, class_name: Any) -> bool:
        """Whether a class is seen to be no model server: it has `do` or `do_event`, and not what models have."""
        if not isinstance(class_name, str):
            return False
        module, dot, name = class_name.rpartition(".")
        if dot:
            return name in self._steps.get(module, ())
        defining = next((found for found, names in self._names.items() if name in names), None)
        return defining is not None and name in self._steps[defining]

    def initializer(self, name: str) -> str:
        """The importable name of a function's initializer. Raises InvalidSpec for one that is nowhere."""
        if "." in name or name.startswith("("):
            return name
        for wanted in (name, "*"):
            for module, names in self._names.items():
                if wanted in names:
                    return f"{module}.{name}"
        raise InvalidSpec(
            f"graph_initializer {name} was not found in the code: {', '.join(self._names) or 'there is none'}."
        )

    def _module_of(self, name: str, step: str) -> str:
        for module, names in self._names.items():
            if name in names:
                return module
        if name in BUILT_IN:
            return f"{_PACKAGE}serving"
        for module, names in self._names.items():
            if "*" in names:
                return module
        if name in FEATURE_ROUTERS:
            raise InvalidSpec(f"Step {step}: {absence_text(name)}.")
        known = ", ".join(f"{module}.py" for module in self._names)
        where = f"neither in {known} nor" if known else "there is no code, and it is not"
        raise InvalidSpec(
            f"Step {step}: class {name} was not found, {where} among the built-in ones; "
            "put the code into the document, or register a folder that has both."
        )


def _parsed(file: Path) -> ast.Module | None:
    """None for what is no Python: the worker that imports it has the better message."""
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError):
        return None


def _steps_in(file: Path) -> frozenset[str]:
    """The classes at a module's top that answer events, or bodies, and have no base but such classes."""
    tree = _parsed(file)
    methods: dict[str, set[str]] = {}
    for node in tree.body if tree is not None else ():
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [base.id if isinstance(base, ast.Name) else "" for base in node.bases]
        if node.keywords or any(base != "object" and base not in methods for base in bases):
            # What it inherits is not seen here.
            continue
        own = {
            item.name
            for item in node.body
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        methods[node.name] = own.union(*(methods.get(base, set()) for base in bases))
    return frozenset(
        name
        for name, found in methods.items()
        if found & {"do", "do_event"} and not found >= {"load", "predict"}
    )


def _names_in(file: Path) -> frozenset[str]:
    """What a module binds at its top; `*` where that cannot be told without running it."""
    tree = _parsed(file)
    if tree is None:
        return frozenset("*")
    names: set[str] = set()
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        else:
            waiting += [child for child in ast.walk(node) if isinstance(child, ast.stmt)][1:]
    return frozenset(names)
