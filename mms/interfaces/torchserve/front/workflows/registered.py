"""The workflows that are registered, and the models that each has."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from mms.errors import BadRequest, Conflict, ModelNotFound, ServerError, WorkerStartFailed
from mms.interfaces.torchserve.front.workflows.archive import (
    WorkflowArchive,
    WorkflowNotFound,
    read_archive,
)
from mms.interfaces.torchserve.front.workflows.run import Input, run
from mms.interfaces.torchserve.front.workflows.specification import InvalidWorkflow
from mms.serving import Outcome, RegisterOptions
from mms.serving.model_client import ModelAnswer, ModelClient

if TYPE_CHECKING:
    from mms.serving import ModelHost

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]{0,199}")


class WorkflowFailed(ServerError):
    """The models of a workflow cannot all be registered."""

    status = 500
    type_name = "WorkflowException"


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow. `url`: as it was registered."""

    name: str
    url: str
    archive: WorkflowArchive

    def describe(self) -> dict[str, Any]:
        """Return TorchServe's members in its order."""
        specification = self.archive.specification
        numbers = specification.numbers
        return {
            "workflowName": self.name,
            "workflowUrl": self.url,
            "minWorkers": numbers["min-workers"],
            "maxWorkers": numbers["max-workers"],
            "batchSize": numbers["batch-size"],
            "maxBatchDelay": numbers["max-batch-delay"],
            "workflowDag": specification.dag_text,
        }


class Workflows:
    """Owner of the workflows. Called on the event loop."""

    def __init__(self, host: ModelHost, store: Path | None) -> None:
        self._host = host
        self._client = ModelClient(host)
        self._store = store
        #: None: of a workflow that is being registered or removed.
        self._workflows: dict[str, Workflow | None] = {}

    def __repr__(self) -> str:
        return f"<Workflows {', '.join(self._workflows)}>"

    def all(self) -> list[Workflow]:
        """Return those that are registered, by name."""
        found = [each for each in self._workflows.values() if each is not None]
        return sorted(found, key=lambda each: each.name)

    def get(self, name: str) -> Workflow:
        """Raises WorkflowNotFound."""
        found = self._workflows.get(name)
        if found is None:
            raise WorkflowNotFound(f"Workflow not found: {name}")
        return found

    async def register(
        self,
        url: str,
        name: str | None,
        *,
        response_timeout_s: float | None,
        load_timeout_s: float | None,
    ) -> Outcome:
        """Register a workflow with its models, all of them or none.

        Raises WorkflowNotFound, InvalidWorkflow, Conflict and WorkflowFailed.
        """
        if self._host.settings.require_signature:
            raise BadRequest("Workflows are not signed, and require_signature is on.")
        archive = await asyncio.to_thread(read_archive, self._store, url)
        name = name or archive.name
        if not _NAME.fullmatch(name):
            raise InvalidWorkflow("The name of a workflow has letters, digits, _, - and . alone.")
        if name in self._workflows:
            raise Conflict(f"Workflow {name} is already registered.")
        self._workflows[name] = None
        done: list[str] = []
        try:
            for node in archive.specification.order:
                options = _options(archive, name, node).with_values(
                    response_timeout_s=response_timeout_s, load_timeout_s=load_timeout_s
                )
                await self._host.register(options, is_kept=False)
                done.append(node)
        except BaseException as error:
            del self._workflows[name]
            await self._unregister(name, done)
            if not isinstance(error, ServerError):
                raise
            told = error.message or error.type_name
            if isinstance(error, WorkerStartFailed):
                told = (
                    f"Failed to start workers for model {error.model_name} version: "
                    f"{error.model_version}, {error.reason}"
                )
            raise WorkflowFailed(
                f"Workflow {name} has failed to register. Failures: [{told}]"
            ) from None
        self._workflows[name] = Workflow(name, url, archive)
        return Outcome(200, None, f"Workflow {name} has been registered and scaled successfully.")

    async def unregister(self, name: str) -> Outcome:
        """Raises WorkflowNotFound."""
        workflow = self.get(name)
        self._workflows[name] = None
        try:
            await self._unregister(name, workflow.archive.specification.order)
        finally:
            del self._workflows[name]
        return Outcome(200, None, f'Workflow "{name}" unregistered')

    async def _unregister(self, name: str, nodes: list[str]) -> None:
        for node in reversed(nodes):
            try:
                await self._host.unregister(_model_of(name, node))
            except ModelNotFound:
                # A client has removed it by itself.
                continue

    async def predict(self, name: str, id: bytes, headers: bytes, first: Input) -> bytes:
        """Return the answer of a workflow. Raises WorkflowNotFound and the error of a node."""
        workflow = self.get(name)

        async def ask(node: str, given: Input) -> ModelAnswer:
            return await self._client.ask(
                _model_of(name, node),
                None,
                id=id,
                headers=headers,
                content_type=given.content_type,
                body=given.body,
            )

        return await run(workflow.archive.specification, first, ask)


def _model_of(workflow: str, node: str) -> str:
    return f"{workflow}__{node}"


def _options(archive: WorkflowArchive, name: str, node: str) -> RegisterOptions:
    """Return how the model of a node is registered: that of its url, or a function of the workflow's own file."""
    rule = archive.specification.rules[node]
    options = RegisterOptions(
        rule.url,
        model_name=_model_of(name, node),
        initial_workers=rule.workers,
        batch_size=rule.batch_size,
        max_batch_delay_ms=rule.max_batch_delay_ms,
        synchronous=True,
    )
    if rule.url:
        return options
    # The store is the operator's, and so is the url that names what was found there.
    return options.with_values(
        url=f"file://{quote(str(archive.path))}",
        handler=f"{archive.handler}:{node}",
        is_from_operator=True,
    )
