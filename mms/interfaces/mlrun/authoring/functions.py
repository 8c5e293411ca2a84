"""The ways to get a function, and what is done with one by calls of their own."""

from __future__ import annotations

import os
from typing import Any

from mms.interfaces.mlrun.authoring.callers import caller_globals
from mms.interfaces.mlrun.authoring.function import ServingFunction
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.spec.serving_spec import FUNCTION_KINDS


def new_function(
    name: str = "",
    project: str = "",
    tag: str = "",
    kind: str = "serving",
    command: str = "",
    image: str = "",
    args: Any = None,
    runtime: Any = None,
    mode: Any = None,
    handler: str | None = None,
    source: str | None = None,
    **_: Any,
) -> ServingFunction:
    """Return a function without a graph yet. `command`: the file with its classes, if they are not where it is made.

    Raises MLRunInvalidArgumentError for kinds other than serving.
    """
    if isinstance(runtime, dict) and runtime:
        return function_from_dict(runtime)
    _check_kind(kind)
    function = ServingFunction(_valid_name(name), project, tag)
    function.spec.command = command
    function.spec.image = image
    function.spec.default_handler = handler or ""
    if source:
        function.with_source_archive(source)
    # Of classes that are named only: they are looked for where the function was made, too.
    function._globals = caller_globals()
    return function


def code_to_function(
    name: str = "",
    project: str = "",
    tag: str = "",
    filename: str = "",
    handler: str = "",
    kind: str = "serving",
    image: str | None = None,
    code_output: str = "",
    embed_code: bool = True,
    description: str = "",
    requirements: Any = None,
    categories: Any = None,
    labels: dict[str, str] | None = None,
    with_doc: bool = True,
    ignored_tags: Any = None,
    **_: Any,
) -> ServingFunction:
    """Return a function of the code of a file, .py or .ipynb; without one of the notebook that this is called in.

    `code_output`: a file, or folder, that the code is written to. Raises MLRunInvalidArgumentError, OSError.
    """
    _check_kind(kind or "serving")
    function = ServingFunction(_valid_name(name), project, tag)
    function._globals = caller_globals()
    filename = filename or _notebook_of(function._globals) or ""
    function.spec.command = filename
    function.spec.image = image or ""
    function.spec.default_handler = handler
    function.spec.description = description
    function.metadata.labels.update(labels or {})
    if filename:
        from mms.interfaces.mlrun.spec.code_file import code_of

        # A file that is none is told of here, not by the first server.
        code = code_of(filename)
        if not function.metadata.name:
            function.metadata.name = _valid_name(os.path.splitext(os.path.basename(filename))[0])
        if code_output:
            target = code_output
            if os.path.isdir(target) or target.endswith("/"):
                target = os.path.join(target, f"{function.metadata.name}.py")
            with open(target, "w", encoding="utf-8") as output:
                output.write(code)
    return function


def function_from_dict(document: dict[str, Any]) -> ServingFunction:
    """Return a function of its document. Raises MLRunInvalidArgumentError, GraphError."""
    from mms.interfaces.mlrun.authoring.function_document import take_document

    _check_kind(document.get("kind") or "serving")
    metadata = document.get("metadata") or {}
    function = ServingFunction(
        metadata.get("name") or "", metadata.get("project") or "", metadata.get("tag") or ""
    )
    take_document(function, document)
    return function


def import_function(url: str = "", *_: Any, **__: Any) -> ServingFunction:
    """Return the function of a file of `export`. Raises MLRunInvalidArgumentError for other addresses, OSError."""
    if "://" in url and not url.startswith("file://"):
        raise MLRunInvalidArgumentError(
            f"{url} cannot be read: functions are imported from files here (function.yaml)"
        )
    from mms.text.documents import InvalidDocument, read_yaml

    path = url.removeprefix("file://")
    if os.path.isdir(path):
        path = os.path.join(path, "function.yaml")
    with open(path, "rb") as source:
        text = source.read()
    try:
        document = read_yaml(text)
    except InvalidDocument as error:
        raise MLRunInvalidArgumentError(f"{path} is not a function: {error}") from None
    if not isinstance(document, dict):
        raise MLRunInvalidArgumentError(f"{path} is not a function: it holds no mapping")
    return function_from_dict(document)


class Deployed:
    """What `deploy_function` returns."""

    def __init__(self, function: ServingFunction) -> None:
        self.function = function
        self.outputs = {"endpoint": function.status.address, "name": function.metadata.name}
        self.state = function.status.state or "ready"

    def __repr__(self) -> str:
        return f"<Deployed {self.function!r}>"


def deploy_function(
    function: ServingFunction, mock: bool | None = None, **options: Any
) -> Deployed:
    """Deploy a function, or (`mock`) have `function.invoke` ask it in this process."""
    known = ("tag", "verbose", "management_address", "inference_address", "workers")
    function.deploy(mock=mock, **{name: options[name] for name in known if name in options})
    return Deployed(function)


def _check_kind(kind: str) -> None:
    if kind not in FUNCTION_KINDS:
        raise MLRunInvalidArgumentError(
            f"functions of kind {kind or '(none)'} are not known here, only those of kind serving"
        )


def _valid_name(name: str) -> str:
    return name.replace("_", "-").replace(" ", "-").lower()


def _notebook_of(names: dict[str, Any]) -> str | None:
    """Return the file of the notebook that runs, as far as it says so."""
    files = (names.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME"))
    for path in (*files, names.get("__file__")):
        if path and path.endswith(".ipynb") and os.path.isfile(path):
            return str(path)
    return None
