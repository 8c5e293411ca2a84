"""The routes of workflows, as TorchServe has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mms.errors import BadRequest
from mms.http.apis.model_asker import ModelAsker
from mms.http.lane.head import LaneRoute
from mms.http.parameters import ParameterRule, Parameters
from mms.http.routing import ANY_METHOD, INFERENCE_ROLE, MANAGEMENT_ROLE, Route
from mms.http.web.request import state_of
from mms.http.web.response import json_response
from mms.interfaces.torchserve.front.calls import as_own
from mms.interfaces.torchserve.front.paging import page_of
from mms.interfaces.torchserve.front.workflows.registered import Workflows
from mms.interfaces.torchserve.settings import TorchServeSettings

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings

_WORKFLOWS = "/workflows"


class WorkflowRoutes:
    """The rows of both listeners. `check_may_register`: raises where clients may not bring code."""

    def __init__(
        self,
        settings: Settings,
        host: ModelHost,
        asker: ModelAsker,
        rule: ParameterRule,
        check_may_register: Callable[[], None],
    ) -> None:
        store = settings.of(TorchServeSettings).workflow_store or settings.model_store
        self._workflows = Workflows(host, Path(store) if store else None)
        self._host = host
        self._asker = asker
        self._rule = rule
        self._check_may_register = check_may_register

    def __repr__(self) -> str:
        return f"<WorkflowRoutes of {self._workflows!r}>"

    def management(self) -> list[Route]:
        one = f"{_WORKFLOWS}/{{workflow}}"
        return [
            Route(("GET",), _WORKFLOWS, self._list, MANAGEMENT_ROLE),
            Route(("POST",), _WORKFLOWS, self._register, MANAGEMENT_ROLE),
            Route(("GET",), one, self._describe, MANAGEMENT_ROLE),
            Route(("DELETE",), one, self._unregister, MANAGEMENT_ROLE),
        ]

    def inference(self) -> list[Route]:
        return [Route(ANY_METHOD, "/wfpredict/{workflow}", self._predict, INFERENCE_ROLE)]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        rows = [each.row() for each in self._workflows.all()]
        given = state_of(request).parameters()
        document = page_of(rows, "workflows", given)
        self._rule.check(state_of(request), given)
        return json_response(document)

    async def _register(self, request: web.Request) -> web.StreamResponse:
        self._check_may_register()
        given = state_of(request).parameters()
        url, name = given.get("url"), given.get("workflow_name") or None
        if url is None:
            raise BadRequest("Parameter url is required.")
        given.know(("synchronous", "response_timeout", "startup_timeout", "s3_sse_kms"))
        self._rule.check(state_of(request), given)
        own = as_own(given)
        own.know(tuple(own))
        self._rule.check(state_of(request), own)
        times = [_seconds(own, key) for key in ("response_timeout", "load_timeout")]
        registering = self._workflows.register(
            url, name, response_timeout_s=times[0], load_timeout_s=times[1]
        )
        outcome = await self._host.operations.whole(registering)
        return json_response({"status": outcome.text})

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        return json_response(
            [self._workflows.get(request.match_info["workflow"]).describe_workflow()]
        )

    async def _unregister(self, request: web.Request) -> web.StreamResponse:
        self._check_may_register()
        removing = self._workflows.unregister(request.match_info["workflow"])
        outcome = await self._host.operations.whole(removing)
        return json_response({"status": outcome.text})

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        found = self._workflows.get(request.match_info["workflow"])
        return await self._asker.ask(request, LaneRoute(found.name))


def _seconds(given: Parameters, name: str) -> float | None:
    value: Any = given.get(name)
    return None if value is None or float(value) < 0 else float(value)
