"""The routes of the Open Inference Protocol: health, metadata and inference below `/v2`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from mms.errors import ModelNotFound, NotImplementedHere, ResourceNotFound
from mms.http.answers import JSON_LINE, message_form
from mms.http.apis.model_asker import ModelAsker
from mms.http.interface_api import InterfaceApi
from mms.http.lane.head import LaneRoute
from mms.http.routing import (
    ANY_METHOD,
    ANY_ROLE,
    INFERENCE_ROLE,
    OPEN,
    Match,
    Route,
    RouteChanged,
)
from mms.http.routing.operation import Operation
from mms.http.routing.route import Handler
from mms.http.web.request import state_of
from mms.http.web.response import respond
from mms.interfaces import AUTO
from mms.interfaces.oip.front.dialects import Dialects
from mms.interfaces.oip.front.extensions import ExtensionRoutes
from mms.interfaces.oip.front.generate import GenerateRoutes
from mms.interfaces.oip.front.instances import InstanceRoutes
from mms.interfaces.oip.front.metadata import (
    check_takes_tensors,
    model_metadata,
    server_metadata,
)
from mms.interfaces.oip.front.operations import OPERATIONS
from mms.interfaces.oip.front.repository import ModelRepository
from mms.interfaces.oip.front.requests.options import options_of_body
from mms.interfaces.oip.front.shared_memory import SharedMemory, shared_memory_of
from mms.interfaces.oip.settings import OipSettings
from mms.security import Role
from mms.text.brief import brief
from mms.wire import ModelOperation

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.serving.served.served_model import ServedModel
    from mms.settings import Settings

_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = f"{_MODEL}/versions/{{model_version}}"
_INFER: Final = ModelOperation("infer", protocol="oip-json")
_GET: Final = ("GET", "HEAD")
#: Extensions that change a server by requests of clients, and what they are about.
_REFUSED: Final = {
    "/v2/trace/setting": "trace settings",
    "/v2/logging": "log settings",
    "/v2/cudasharedmemory/{tail:.*}": "CUDA shared memory",
}


class OipApi(InterfaceApi):
    """Answers clients of the Open Inference Protocol."""

    error_form = staticmethod(message_form)

    def __init__(
        self,
        host: ModelHost,
        asker: ModelAsker,
        repository: ModelRepository,
        memory: SharedMemory,
    ) -> None:
        self._host = host
        self._asker = asker
        self._repository = repository
        self._extensions = ExtensionRoutes(host, asker, repository, memory, _mark)
        self._dialects = Dialects(host.registry)
        self._memory = memory
        self._instances = InstanceRoutes(host, asker, self._dialects, _mark)
        self._generate = GenerateRoutes(host, asker, self._dialects, _mark)

    @classmethod
    def of(cls, settings: Settings, host: ModelHost, asker: ModelAsker) -> OipApi:
        is_on = settings.of(OipSettings).oip_repository
        repository = ModelRepository(host, settings.inference_address, is_on=is_on)
        return cls(host, asker, repository, shared_memory_of(settings, host))

    def __repr__(self) -> str:
        return f"<OipApi of {self._host!r}>"

    # Rows

    def shared_routes(self) -> list[Route]:
        """Those of all models but the ones that have routes of their own there."""
        model, version = _MODEL, _VERSION
        rows: list[Route] = [
            *self._of_server("/v2", self._describe_server, INFERENCE_ROLE),
            *self._of_server("/v2/health/live", self._live, OPEN),
            *self._of_server("/v2/health/ready", self._ready, OPEN),
        ]
        rows += self._extensions.rows(self._concerns_server, self._concerns_model)
        for pattern, what in _REFUSED.items():
            rows.append(self._refused(pattern, what, concerns=self._concerns_server))
        for base in (model, version):
            rows += self._of_model(f"{base}/infer", ("POST",), self._infer)
            rows += self._of_model(f"{base}/ready", _GET, self._model_ready, ANY_ROLE)
            rows += self._of_model(base, _GET, self._describe_model)
        rows += self._generate.rows(self._concerns_model)
        rows.append(
            self._refused(f"{model}/trace/setting", "trace settings", concerns=self._concerns_model)
        )
        rows.append(
            Route(
                ANY_METHOD,
                f"{model}/{{tail:.*}}",
                _not_found,
                INFERENCE_ROLE,
                answer_form=_mark,
                concerns=self._concerns_named_model,
            )
        )
        return rows + self._instances.rows()

    def routes_beside_others(self) -> list[Route]:
        """Those for what nothing has, in this protocol's form."""
        tree = "/v2/{tail:.*}"
        return [
            Route(
                ANY_METHOD,
                tree,
                _no_path,
                INFERENCE_ROLE,
                answer_form=_mark,
                concerns=self._concerns_server,
            )
        ]

    def _of_server(self, pattern: str, handler: Handler, roles: tuple[Role, ...]) -> list[Route]:
        return [
            Route(
                _GET,
                pattern,
                handler,
                roles,
                answer_form=_mark,
                concerns=self._concerns_server,
                operations=_operations(pattern),
            )
        ]

    def _of_model(
        self,
        pattern: str,
        methods: tuple[str, ...],
        handler: Handler,
        roles: tuple[Role, ...] = INFERENCE_ROLE,
    ) -> list[Route]:
        is_inference = methods == ("POST",)
        return [
            Route(
                methods,
                pattern,
                handler,
                roles,
                answer_form=_mark,
                fast_path=self._lane_route if is_inference else None,
                concerns=self._concerns_model,
                operations=_operations(pattern),
            )
        ]

    def _refused(self, pattern: str, what: str, *, concerns: Any) -> Route:
        return Route(
            ANY_METHOD,
            pattern,
            partial(_refuse, what),
            INFERENCE_ROLE,
            answer_form=_mark,
            concerns=concerns,
        )

    def _concerns_server(self, values: Mapping[str, str]) -> bool:
        return not self._dialects.are_alone

    def _concerns_model(self, values: Mapping[str, str]) -> bool:
        # Without a name it is another tree's: more slashes may stand there before it.
        name = values["model"]
        return bool(name) and not self._dialects.concerns(name, values.get("model_version"))

    def _concerns_named_model(self, values: Mapping[str, str]) -> bool:
        """Of a path that nothing else has: a model's that is there."""
        return self._concerns_model(values) and self._host.registry.has_name(values["model"])

    # Inference

    def _lane_route(self, match: Match) -> LaneRoute | None:
        """Return the route where the lane can serve it: the model is there, and known to take tensors."""
        name, version = match.values["model"], match.values.get("model_version")
        try:
            served = self._host.registry.get(name, version)
        except ModelNotFound:
            return None
        if served.interface == AUTO or not served.takes_tensors:
            return None
        return self._route(name, version)

    def _route(self, name: str, version: str | None) -> LaneRoute:
        return LaneRoute(
            name,
            version,
            operation=self._memory.operation(_INFER),
            error_form=message_form,
            methods=frozenset((b"POST",)),
            body_options=options_of_body,
        )

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        """Raises RouteChanged where the model turns out to have routes of its own."""
        served = self._served(request)
        if served.interface == AUTO:
            await served.learn_interface()
            if self._dialects.has(served):
                raise RouteChanged
        check_takes_tensors(served)
        values = state_of(request).match.values
        route = self._route(values["model"], values.get("model_version"))
        return await self._asker.ask(request, route)

    def _served(self, request: web.Request) -> ServedModel:
        """Raises ModelNotFound and ModelVersionNotFound."""
        state = state_of(request)
        name, version = state.match.values["model"], state.match.values.get("model_version")
        served = self._host.registry.get(name, version)
        state.model, state.version = name, version or ""
        return served

    # Health

    async def _live(self, request: web.Request) -> web.StreamResponse:
        # That this is answered is the answer.
        return _respond({"live": True})

    async def _ready(self, request: web.Request) -> web.StreamResponse:
        return _tell(request, {}, self._host.problems())

    async def _model_ready(self, request: web.Request) -> web.StreamResponse:
        served = self._served(request)
        version = state_of(request).match.values.get("model_version")
        problems = self._host.problems_of(served.name, version)
        return _tell(request, {"name": served.name}, problems)

    # Metadata

    async def _describe_server(self, request: web.Request) -> web.StreamResponse:
        return _respond(
            server_metadata(
                has_repository=self._repository.is_on, has_shared_memory=self._memory.is_on
            )
        )

    async def _describe_model(self, request: web.Request) -> web.StreamResponse:
        self._served(request)
        values = state_of(request).match.values
        found = await model_metadata(self._host, values["model"], values.get("model_version"))
        return _respond(found)


def _mark(request: web.Request) -> None:
    """Give the errors of a request the protocol's form."""
    state_of(request).error_form = message_form


def _operations(pattern: str) -> tuple[Operation, ...]:
    operation = OPERATIONS.get(pattern)
    return () if operation is None else (operation,)


def _respond(document: dict[str, Any], status: int = 200, lines: bytes = b"") -> web.StreamResponse:
    return respond(status, None, JSON_LINE + lines, orjson.dumps(document))


def _tell(
    request: web.Request, document: dict[str, Any], problems: list[str]
) -> web.StreamResponse:
    if not problems:
        return _respond({**document, "ready": True})
    # The reasons name models.
    reasons = " ".join(problems) if state_of(request).is_trusted else "not ready"
    told = {**document, "ready": False, "error": reasons}
    return _respond(told, 503, b"retry-after: 1\r\n")


async def _refuse(what: str, request: web.Request) -> web.StreamResponse:
    raise NotImplementedHere(f"This server does not have the {what} of the protocol.")


async def _no_path(request: web.Request) -> web.StreamResponse:
    raise ResourceNotFound(f"The protocol has no path {brief(request.path)}.")


async def _not_found(request: web.Request) -> web.StreamResponse:
    values = state_of(request).match.values
    raise ResourceNotFound(f"The protocol has no {brief(values['tail'])} of a model.")
