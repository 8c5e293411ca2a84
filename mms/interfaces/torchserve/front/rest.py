"""TorchServe's REST APIs: what its models have on every server, and all of it on one that `torchserve` started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import web

from mms.errors import ModelNotFound
from mms.http.apis.model_asker import ModelAsker
from mms.http.interface_api import InterfaceApi
from mms.http.lane.head import LaneRoute
from mms.http.parameters import ParameterRule
from mms.http.routing import ANY_METHOD, INFERENCE_ROLE, Match, Route
from mms.http.web.request import state_of
from mms.interfaces.torchserve.front.management import ManagementRoutes
from mms.interfaces.torchserve.front.workflows.routes import WorkflowRoutes
from mms.interfaces.torchserve.operations import EXPLAIN, PREDICT
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.security.guard import Guard
    from mms.serving import ModelHost
    from mms.settings import Settings

NAME: Final = "torchserve"
_EXPLAIN: Final = ModelOperation(EXPLAIN)
_VERBS: Final = ("predict", "explain")


class TorchServeApi(InterfaceApi):
    """Answers clients of TorchServe."""

    def __init__(self, settings: Settings, host: ModelHost, asker: ModelAsker) -> None:
        self._host = host
        self._asker = asker
        #: Whether the server is to be taken for TorchServe.
        self._is_all = settings.stands_for == NAME
        rule = ParameterRule(is_strict=settings.strict_parameters)
        self._management = ManagementRoutes(settings, host, asker, rule)
        self._workflows = WorkflowRoutes(
            settings, host, asker, rule, self._management.management.check_model_api
        )

    @classmethod
    def of(cls, settings: Settings, host: ModelHost, asker: ModelAsker) -> TorchServeApi:
        return cls(settings, host, asker)

    def __repr__(self) -> str:
        return f"<TorchServeApi of {self._host!r}>"

    def use_guard(self, guard: Guard) -> None:
        self._management.guard = guard

    # Rows

    def shared_routes(self) -> list[Route]:
        """Those below `/v1` and `/v2` whose bodies go to handlers of TorchServe as they come."""
        if not self._is_all:
            return []
        return [
            self._instances_row(),
            self._row("/v2/models/{model}/infer", LaneRoute("")),
            self._row("/v2/models/{model}/explain", LaneRoute("", operation=_EXPLAIN)),
        ]

    def routes(self) -> list[Route]:
        rows = [
            self._row("/explanations/{model}", LaneRoute("", operation=_EXPLAIN)),
            self._row("/explanations/{model}/{model_version}", LaneRoute("", operation=_EXPLAIN)),
            Route(
                ANY_METHOD,
                "/predictions/{model_name}/{model_version}/{tail:.*}",
                self._predict_below,
                INFERENCE_ROLE,
                fast_path=_below,
                concerns=self._concerns_below,
            ),
        ]
        if self._is_all:
            rows += self._workflows.inference()
            rows.append(
                self._row("/{model}/{model_version}/predict", LaneRoute("", passes_query=True))
            )
        return rows

    def management_routes(self) -> list[Route]:
        if not self._is_all:
            return []
        return [*self._management.routes(), *self._workflows.management()]

    def _row(self, pattern: str, form: LaneRoute) -> Route:
        """Return the row of a prediction that is asked of a model with its body as it comes."""

        def route_of(match: Match) -> LaneRoute:
            values = match.values
            return form._replace(model=values["model"], version=values.get("model_version"))

        async def ask(request: web.Request) -> web.StreamResponse:
            return await self._asker.ask(request, route_of(state_of(request).match))

        return Route(
            ANY_METHOD,
            pattern,
            ask,
            INFERENCE_ROLE,
            fast_path=route_of,
            concerns=self._concerns,
        )

    def _instances_row(self) -> Route:
        """Return that of `/v1/models/{model}:predict` and `:explain`."""

        def route_of(match: Match) -> LaneRoute:
            name, _, verb = match.values["target"].rpartition(":")
            return LaneRoute(name, operation=_EXPLAIN if verb == "explain" else None)

        def concerns(values: Mapping[str, str]) -> bool:
            name, _, verb = values["target"].rpartition(":")
            return verb in _VERBS and self._concerns({"model": name})

        async def ask(request: web.Request) -> web.StreamResponse:
            return await self._asker.ask(request, route_of(state_of(request).match))

        return Route(
            ("POST",),
            "/v1/models/{target}",
            ask,
            INFERENCE_ROLE,
            fast_path=route_of,
            concerns=concerns,
        )

    # Which models

    def _concerns(self, values: Mapping[str, str]) -> bool:
        """Return whether a model is TorchServe's; on its own server one that is not there is, too."""
        name, version = values.get("model") or values["model_name"], values.get("model_version")
        try:
            return self._host.registry.get(name, version).interface == NAME
        except ModelNotFound:
            return self._is_all

    def _concerns_below(self, values: Mapping[str, str]) -> bool:
        return bool(values["tail"]) and self._concerns(values)

    # Inference

    async def _predict_below(self, request: web.Request) -> web.StreamResponse:
        return await self._asker.ask(request, _below(state_of(request).match))


def _below(match: Match) -> LaneRoute:
    """Return the route of a prediction whose path goes on behind the version: handlers find the rest as `url_path`."""
    values = match.values
    operation = ModelOperation(PREDICT, path=values["tail"])
    return LaneRoute(values["model_name"], values["model_version"], operation=operation)
