"""The archive of a workflow: its manifest and its specification, read where it lies in the workflow store."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from mms.errors import BadRequest, ModelNotFound
from mms.interfaces.torchserve.front.workflows.specification import (
    InvalidWorkflow,
    Specification,
    read_specification,
)
from mms.text.brief import brief

MANIFEST: Final = "WAR-INF/MANIFEST.json"
#: Of a manifest and a specification.
_MOST_BYTES: Final = 1 << 20

#: Reads a file of an archive, so many bytes at the most. Raises KeyError.
Read = Callable[[str, int], bytes]


class WorkflowNotFound(ModelNotFound):
    """There is no workflow of that name, or no archive."""

    type_name = "WorkflowNotFoundException"


@dataclass(frozen=True, slots=True)
class WorkflowArchive:
    """What is in an archive. `handler`: the module of its functions; empty where it has none."""

    path: Path
    name: str
    handler: str
    specification: Specification


def read_archive(store: Path | None, url: str) -> WorkflowArchive:
    """Return what is in an archive of the store. Blocks. Raises WorkflowNotFound, BadRequest and InvalidWorkflow."""
    if ".." in url:
        raise WorkflowNotFound(f"Relative path is not allowed in url: {url}")
    if not url:
        raise WorkflowNotFound("Workflow not found at: ")
    if "://" in url or "/" in url or "\0" in url:
        raise BadRequest("The url of a workflow is the name of an archive of the workflow store.")
    path = None if store is None else Path(os.path.abspath(store)) / url
    if (
        path is None
        or not path.is_file()
        or not path.resolve().is_relative_to(path.parent.resolve())
    ):
        raise WorkflowNotFound(f"Workflow not found in workflow store: {url}")
    try:
        with zipfile.ZipFile(path) as archive:
            workflow = read_workflow(partial(_read, archive), url)
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        raise _no_workflow(url) from None
    return replace(workflow, path=path)


def read_workflow(read: Read, url: str) -> WorkflowArchive:
    """Return what is in an archive whose files `read` reads. Blocks. Raises InvalidWorkflow."""
    try:
        workflow = json.loads(_content(read, MANIFEST)).get("workflow")
        name, handler, spec = (
            _text(workflow, key) for key in ("workflowName", "handler", "specFile")
        )
        if not spec:
            raise InvalidWorkflow("The manifest of the workflow names no specFile.")
        specification = read_specification(_content(read, spec))
    except (OSError, ValueError, AttributeError, RecursionError):
        raise _no_workflow(url) from None
    functions = [node for node, rule in specification.rules.items() if not rule.url]
    if functions and not handler:
        raise InvalidWorkflow(
            f"The workflow has the function {functions[0]}, and no handler that has it."
        )
    return WorkflowArchive(Path(url), name, handler, specification)


def _no_workflow(url: str) -> InvalidWorkflow:
    return InvalidWorkflow(f"{brief(url)} is no archive of a workflow, with {MANIFEST} in it.")


def _content(read: Read, name: str) -> bytes:
    try:
        content = read(name, _MOST_BYTES + 1)
    except KeyError:
        raise InvalidWorkflow(f"The archive of the workflow has no {brief(name)}.") from None
    if len(content) > _MOST_BYTES:
        raise InvalidWorkflow(f"{brief(name)} is larger than {_MOST_BYTES} bytes.")
    return content


def _read(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    with archive.open(name) as file:
        return file.read(most_bytes)


def _text(workflow: Any, key: str) -> str:
    value = workflow.get(key)
    return value if isinstance(value, str) else ""
