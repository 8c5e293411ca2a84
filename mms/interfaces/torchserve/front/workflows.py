"""What clients of TorchServe's workflows are told: there are none here, and graphs do what they do."""

from __future__ import annotations

from aiohttp import web

from mms.errors import ModelNotFound, NotImplementedHere
from mms.http.routing import ANY_METHOD, INFERENCE_ROLE, MANAGEMENT_ROLE, Route
from mms.http.web.response import json_response

_OF_WORKFLOWS = "/workflows"


class WorkflowNotFound(ModelNotFound):
    """There is no workflow of that name."""

    type_name = "WorkflowNotFoundException"


def management_routes() -> list[Route]:
    """Return the rows of the management API."""
    return [
        Route(("GET",), _OF_WORKFLOWS, _list, MANAGEMENT_ROLE),
        Route(("POST",), _OF_WORKFLOWS, _register, MANAGEMENT_ROLE),
        Route(("GET", "DELETE"), f"{_OF_WORKFLOWS}/{{workflow}}", _not_found, MANAGEMENT_ROLE),
    ]


def inference_routes() -> list[Route]:
    """Return the rows of the inference API."""
    return [Route(ANY_METHOD, "/wfpredict/{workflow}", _not_found, INFERENCE_ROLE)]


async def _list(request: web.Request) -> web.StreamResponse:
    return json_response({"workflows": []})


async def _register(request: web.Request) -> web.StreamResponse:
    raise NotImplementedHere(
        "This server runs no workflows (.war); a graph has several models answer as one."
    )


async def _not_found(request: web.Request) -> web.StreamResponse:
    raise WorkflowNotFound(f"Workflow not found: {request.match_info['workflow']}")
