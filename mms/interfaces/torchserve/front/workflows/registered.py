"""The workflows among the server's models."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from mms.errors import BadRequest, Conflict, ModelNotFound, ServerError, WorkerStartFailed
from mms.interfaces.torchserve.front.workflows.archive import WorkflowNotFound, read_archive
from mms.interfaces.torchserve.front.workflows.model import WorkflowModel
from mms.interfaces.torchserve.front.workflows.specification import InvalidWorkflow
from mms.serving import Outcome, RegisterOptions

if TYPE_CHECKING:
    from mms.serving import ModelHost

#: What clients are told as it is; any other error is one of a workflow's models.
_OWN: Final = (InvalidWorkflow, WorkflowNotFound, Conflict)


class WorkflowFailed(ServerError):
    """The models of a workflow cannot all be registered."""

    status = 500
    type_name = "WorkflowException"


class Workflows:
    """Registers, finds and removes workflows. Called on the event loop."""

    def __init__(self, host: ModelHost, store: Path | None) -> None:
        self._host = host
        self._store = store

    def __repr__(self) -> str:
        return f"<Workflows {', '.join(each.name for each in self.all())}>"

    def all(self) -> list[WorkflowModel]:
        """Return those that are registered, by name."""
        found = [each for each in self._host.registry.all() if isinstance(each, WorkflowModel)]
        return sorted(found, key=lambda each: each.name)

    def get(self, name: str) -> WorkflowModel:
        """Raises WorkflowNotFound."""
        try:
            found = self._host.registry.get(name, None)
        except ModelNotFound:
            found = None
        if not isinstance(found, WorkflowModel):
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
        if self._host.registry.has_name(name):
            raise Conflict(f"Workflow {name} is already registered.")
        options = RegisterOptions(
            # The store is the operator's, and so is the url that names what was found there.
            f"file://{quote(str(archive.path))}",
            model_name=name,
            is_from_operator=True,
            synchronous=True,
            response_timeout_s=response_timeout_s,
            load_timeout_s=load_timeout_s,
        )
        try:
            await self._host.register(options)
        except _OWN:
            raise
        except ServerError as error:
            told = error.message or error.type_name
            if isinstance(error, WorkerStartFailed):
                told = (
                    f"Failed to start workers for model {error.model_name} version: "
                    f"{error.model_version}, {error.reason}"
                )
            raise WorkflowFailed(
                f"Workflow {name} has failed to register. Failures: [{told}]"
            ) from None
        return Outcome(200, None, f"Workflow {name} has been registered and scaled successfully.")

    async def unregister(self, name: str) -> Outcome:
        """Raises WorkflowNotFound."""
        await self._host.unregister(self.get(name).name)
        return Outcome(200, None, f'Workflow "{name}" unregistered')
