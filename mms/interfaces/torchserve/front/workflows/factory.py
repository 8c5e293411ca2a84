"""Makes workflows of their archives, with the models of their nodes."""

from __future__ import annotations

import asyncio
import re
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from archiver.model_config import WorkerBounds
from mms.errors import BadRequest
from mms.interfaces.torchserve.front.workflows.archive import (
    MANIFEST,
    WorkflowArchive,
    read_workflow,
)
from mms.interfaces.torchserve.front.workflows.model import WorkflowModel, model_of
from mms.interfaces.torchserve.front.workflows.specification import InvalidWorkflow
from mms.serving.options import RegisterOptions
from mms.serving.registration.composites import HostOperations, composite_members
from mms.serving.registration.pipeline import CompositeFactory, Registration
from mms.serving.served import ServedModel

_INTERFACE: Final = "torchserve"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]{0,199}")


class WorkflowFactory(CompositeFactory):
    """Makes them. Called on the event loop."""

    def __init__(self, host: HostOperations) -> None:
        self._host = host

    def __repr__(self) -> str:
        return "<WorkflowFactory>"

    async def make(self, registration: Registration) -> ServedModel | None:
        """Return the workflow of an archive, its models registered already, without workers yet.

        Raises InvalidWorkflow, Conflict, and what the registration of a model raises.
        """
        options, folder = registration.options, registration.archive.folder
        if options.handler or options.folder is not None or not (folder / MANIFEST).is_file():
            return None
        if _IS_NODE.get():
            # One that names itself would have no end.
            raise InvalidWorkflow("A model of a workflow cannot be a workflow itself.")
        if registration.replaced is not None:
            raise BadRequest(
                "A workflow does not take the place of a model: unregister that one first."
            )
        workflow = await asyncio.to_thread(read_workflow, _FolderReader(folder), options.url)
        name = options.model_name or workflow.name
        if not _NAME.fullmatch(name):
            raise InvalidWorkflow("The name of a workflow has letters, digits, _, - and . alone.")
        specification = workflow.specification
        most = self._host.settings.max_workers_per_model
        workers = sum(rule.workers for rule in specification.rules.values())
        if workers > most:
            raise InvalidWorkflow(
                f"The models of the workflow have {workers} workers together; {most} are the most "
                "(max_workers_per_model)."
            )
        parts = []
        for node in specification.order:
            part = await self._add(_options(workflow, options, folder, name, node))
            registration.parts.push_async_callback(self._host.discard, part)
            # At once, so that nobody removes it before the workflow itself is there.
            part.owner = name
            parts.append(part)
        served = WorkflowModel(
            **composite_members(
                *(self._host.settings, registration.archive, options),
                interface=_INTERFACE,
                name=name,
                handler=workflow.handler,
            ),
            specification=specification,
            client=self._host.client,
        )
        served.parts, served.has_parts = parts, True
        served.worker_bounds = WorkerBounds(1, 1)
        return served

    async def _add(self, options: RegisterOptions) -> ServedModel:
        """Register the model of a node, without workers yet."""
        token = _IS_NODE.set(True)
        try:
            return await self._host.add(options, None)
        finally:
            _IS_NODE.reset(token)


#: A model of a workflow is being registered, in this task.
_IS_NODE: Final[ContextVar[bool]] = ContextVar("_IS_NODE", default=False)


class _FolderReader:
    """Reads files of a folder and of nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, most_bytes: int) -> bytes:
        """Raises KeyError for a file that is not in the folder, and OSError."""
        path = self._folder / name
        if "\0" in name or not path.resolve().is_relative_to(self._folder.resolve()):
            raise KeyError(name)
        if not path.is_file():
            raise KeyError(name)
        with path.open("rb") as file:
            return file.read(most_bytes)


def _options(
    workflow: WorkflowArchive, options: RegisterOptions, folder: Path, name: str, node: str
) -> RegisterOptions:
    """Return how the model of a node is registered: that of its url, or a function of the workflow's own file."""
    rule = workflow.specification.rules[node]
    part = options.of_part(
        url=rule.url,
        model_name=model_of(name, node),
        batch_size=rule.batch_size,
        max_batch_delay_ms=rule.max_batch_delay_ms,
        # The archive names it, whoever has registered that.
        is_from_operator=False,
    )
    if rule.url:
        return part
    return part.with_values(
        folder=folder, handler=f"{workflow.handler}:{node}", interface=_INTERFACE
    )
