"""A workflow as a model of the server: it answers by asking the models of its nodes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from mms.core import Request
from mms.errors import ServerError
from mms.interfaces.torchserve.front.workflows.run import Input, run
from mms.interfaces.torchserve.front.workflows.specification import Specification
from mms.serving.model_client import ModelAnswer, ModelClient
from mms.serving.served import CompositeModel

_JSON_LINE: Final = b"content-type: application/json\r\n"


@dataclass(slots=True, eq=False, kw_only=True, repr=False)
class WorkflowModel(CompositeModel):
    """Answers the requests to one workflow."""

    specification: Specification
    client: ModelClient

    @property
    def kind(self) -> str:
        return "workflow"

    @property
    def is_ready(self) -> bool:
        return all(self.client.is_ready(self.model_of(node)) for node in self.specification.order)

    def uses(self, name: str) -> bool:
        return any(name == self.model_of(node) for node in self.specification.order)

    def worker_counts(self) -> dict[str, int]:
        rules = self.specification.rules
        return {self.model_of(node): rules[node].workers for node in self.specification.order}

    def model_of(self, node: str) -> str:
        """Return the name of a node's model."""
        return model_of(self.name, node)

    def describe_graph(self) -> dict[str, Any]:
        nodes = [
            {
                "name": node,
                "model": self.model_of(node),
                "state": "READY" if self.client.is_ready(self.model_of(node)) else "UNREADY",
                "next": self.specification.successors.get(node, []),
            }
            for node in self.specification.order
        ]
        return {
            "state": "READY" if self.is_ready else "UNREADY",
            "runningRequests": self.running,
            "nodes": nodes,
        }

    def describe_workflow(self) -> dict[str, Any]:
        """Return TorchServe's members in its order."""
        numbers = self.specification.numbers
        return {
            **self.row(),
            "minWorkers": numbers["min-workers"],
            "maxWorkers": numbers["max-workers"],
            "batchSize": numbers["batch-size"],
            "maxBatchDelay": numbers["max-batch-delay"],
            "workflowDag": self.specification.dag_text,
        }

    def row(self) -> dict[str, str]:
        """Return what a list has of it. An archive of the store is known by its name."""
        parts = urlsplit(self.url)
        url = PurePosixPath(unquote(parts.path)).name if parts.scheme == "file" else self.url
        return {"workflowName": self.name, "workflowUrl": url}

    async def answer(self, request: Request) -> None:
        async def ask(node: str, given: Input) -> ModelAnswer:
            return await self.client.ask(
                self.model_of(node),
                None,
                id=request.id,
                headers=request.headers,
                content_type=given.content_type,
                body=given.body,
                deadline=request.deadline,
            )

        try:
            first = Input(request.content_type, request.body)
            request.answer(200, b"", _JSON_LINE, await run(self.specification, first, ask))
        except asyncio.CancelledError:
            # Whoever cancelled it has answered the client, or knows that it has gone.
            request.is_done = True
        except ServerError as error:
            request.fail(error)


def model_of(workflow: str, node: str) -> str:
    """Return the name of the model of a node, as TorchServe has it."""
    return f"{workflow}__{node}"
