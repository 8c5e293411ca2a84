"""Seldon's REST routes: of one component at the root, and of every model below `/seldon/`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from mms.errors import ModelNotFound, ResourceNotFound, ServiceUnavailable
from mms.http.answers import JSON_LINE, AnswerLines
from mms.http.apis.model_asker import ModelAsker
from mms.http.interface_api import InterfaceApi
from mms.http.lane.head import LaneRoute
from mms.http.routing import ANY_METHOD, ANY_ROLE, INFERENCE_ROLE, OPEN, Match, Route, not_found
from mms.http.routing.operation import Operation
from mms.http.web.request import header_block, state_of
from mms.http.web.response import respond
from mms.interfaces.seldon.document import document, page, paths
from mms.interfaces.seldon.front.answer_form import error_form, make_answer_lines, strict_error
from mms.interfaces.seldon.front.routes import PROBES, Answerer, Tail, tails
from mms.interfaces.seldon.settings import SeldonSettings
from mms.security import Role
from mms.wire import GraphNode, ModelOperation

if TYPE_CHECKING:
    from mms.serving import ModelHost
    from mms.settings import Settings

_TEXT_LINE = b"content-type: text/html; charset=utf-8\r\n"
_INTERFACE = "seldon"
#: Where the descriptions of the whole server have a model's routes; its other places have the same ones.
_SHOWN_BASE = "/seldon/{model}"
_UNKNOWN_INTERFACE = "auto"


class SeldonApi(InterfaceApi):
    """Answers Seldon's clients."""

    error_form = staticmethod(error_form)

    def __init__(
        self,
        host: ModelHost,
        asker: ModelAsker,
        *,
        default_model: str | None,
        is_strict: bool,
        has_cors: bool,
    ) -> None:
        """`default_model`: the one at the root. `has_cors`: pages of any origin may read answers."""
        self._host = host
        self._asker = asker
        self._default_model = default_model
        self._is_strict = is_strict
        self._has_cors = has_cors

    @classmethod
    def of(cls, settings: Settings, host: ModelHost, asker: ModelAsker) -> SeldonApi:
        return cls(
            host,
            asker,
            default_model=settings.default_model,
            is_strict=settings.of(SeldonSettings).seldon_strict,
            has_cors=settings.cors_allowed_origin is None,
        )

    def __repr__(self) -> str:
        return f"<SeldonApi, at the root: {self.root_model()}>"

    def root_model(self) -> str | None:
        """Return the model whose routes are at the root: the default one, else the only component there is."""
        host = self._host
        name = self._default_model
        if name is None:
            names = host.names_of_interface(_INTERFACE)
            return names[0] if len(names) == 1 else None
        if host.has_model(name) and host.interface_of(name) in (_INTERFACE, _UNKNOWN_INTERFACE):
            return name
        return None

    # Rows

    def routes(self) -> list[Route]:
        """Beside other APIs: below `/seldon/`, and at the root while a model has it."""

        def has_root(method: str) -> bool:
            return self.root_model() is not None

        # `/seldon/predict` is none of these: in MMS it asks a model named `seldon`.
        return [
            *self._routes("/seldon/{model}"),
            *self._routes("/seldon/{namespace}/{model}"),
            self._unknown("/seldon/{namespace}/{model}/{tail:.*}"),
            *self._routes("", has_root),
            self._unknown("/api/{tail:.*}", has_root),
        ]

    def all_routes(self) -> list[Route]:
        """Return the routes of a listener without another API: all paths are Seldon's."""
        return [
            *self._routes("/seldon/{model}"),
            *self._routes("/seldon/{namespace}/{model}"),
            self._unknown("/seldon/{namespace}/{model}/{tail:.*}"),
            *self._routes(""),
            self._unknown("/{tail:.*}"),
        ]

    def _routes(self, base: str, applies: Callable[[str], bool] | None = None) -> list[Route]:
        """Return the routes of one model, whose paths begin with `base`."""
        routes = []
        for path, tail in tails().items():
            roles: tuple[Role, ...] = INFERENCE_ROLE
            if tail.answerer in PROBES:
                roles = ANY_ROLE if base else OPEN
            can_be_fast = tail.answerer is Answerer.WORKER and not tail.is_of_node
            form = partial(self._mark, tail)
            routes += [
                Route(
                    tail.methods,
                    base + path,
                    partial(self._serve, tail),
                    roles,
                    answer_form=form,
                    fast_path=partial(self._lane_route, tail) if can_be_fast else None,
                    applies=applies,
                    operations=_operations(path) if base == _SHOWN_BASE else (),
                ),
                Route(
                    ("OPTIONS",),
                    base + path,
                    self._options,
                    OPEN,
                    answer_form=form,
                    applies=applies,
                    answers_preflights=True,
                ),
            ]
        return routes

    def _unknown(self, pattern: str, applies: Callable[[str], bool] | None = None) -> Route:
        return Route(
            ANY_METHOD,
            pattern,
            not_found,
            INFERENCE_ROLE,
            answer_form=partial(self._mark, None),
            applies=applies,
            answers_preflights=True,
        )

    def _mark(self, tail: Tail | None, request: web.Request) -> None:
        """Give all answers of a request the form of Seldon's."""
        state_of(request).error_form = error_form
        if self._is_strict:
            state_of(request).translate_error = strict_error
        make_lines = self._make_lines(tail, state_of(request).match)
        state_of(request).answer_lines = make_lines(header_block(request))

    def _lane_route(self, tail: Tail, match: Match) -> LaneRoute | None:
        """Return the route where the lane can serve it."""
        model = match.values.get("model") or self.root_model()
        if model is None or self._is_too_long(tail, match):
            return None
        if not self._host.has_model(model) or self._host.interface_of(model) != _INTERFACE:
            return None
        return self._route(model, tail)._replace(make_lines=self._make_lines(tail, match))

    def _is_too_long(self, tail: Tail, match: Match) -> bool:
        """Return whether a slash at the end makes it another path, as it does in Seldon's wrapper."""
        is_page = tail.answerer is Answerer.PAGE
        return self._is_strict and match.path.endswith(b"/") and not is_page

    # Answers

    async def _serve(self, tail: Tail, request: web.Request) -> web.StreamResponse:
        match = state_of(request).match
        if self._is_too_long(tail, match):
            raise ResourceNotFound
        named = match.values.get("model")
        model = named or self.root_model()
        if named is not None:
            self._host.check_model(named)
        if tail.answerer is Answerer.WORKER:
            return await self._ask(request, model, tail, match.values.get("node", ""))
        if tail.answerer is Answerer.READY:
            if model is None or not self._host.is_ready(model):
                raise ServiceUnavailable("No worker has loaded the model yet.", retry_after_s=1)
            return respond(200, None, _TEXT_LINE, b"")
        if tail.answerer is Answerer.DOCUMENT:
            # Of its own making: Seldon's clients read it as it is.
            return respond(200, None, JSON_LINE, document(_base(match)))
        if tail.answerer is Answerer.PAGE:
            return respond(200, None, _TEXT_LINE, page(_base(match)))
        body = b"pong" if tail.answerer is Answerer.PING else b""
        return respond(200, None, _TEXT_LINE, body)

    async def _ask(
        self, request: web.Request, model: str | None, tail: Tail, node: str
    ) -> web.StreamResponse:
        if model is None:
            raise ModelNotFound(
                "No model is at the root: set default_model, or register just one Seldon component."
            )
        interface = await self._host.learn_interface(model)
        if interface == _UNKNOWN_INTERFACE:
            raise self._host.not_loaded(model)
        if interface != _INTERFACE:
            raise ModelNotFound(
                f"Model {model} is not a Seldon component; it is served on /predictions/{model}."
            )
        route = self._route(model, tail)
        if node not in ("", model):
            if not self._host.is_graph(model):
                raise ModelNotFound(f"Model {model} has no node {node}.")
            route = route._replace(operation=ModelOperation(tail.operation, node=GraphNode(node)))
        return await self._asker.ask(request, route)

    async def _options(self, request: web.Request) -> web.StreamResponse:
        allowed = state_of(request).match.allowed
        lines = f"Allow: {allowed}\r\n"
        if self._has_cors:
            lines += f"Access-Control-Allow-Methods: {allowed}\r\n"
            asked = request.headers.get("Access-Control-Request-Headers")
            if asked:
                lines += f"Access-Control-Allow-Headers: {asked}\r\n"
        return respond(200, None, lines.encode("utf-8", "surrogateescape"), b"")

    def _route(self, model: str, tail: Tail) -> LaneRoute:
        return LaneRoute(
            model,
            passes_query=True,
            operation=ModelOperation(tail.operation),
            error_form=error_form,
        )

    def _make_lines(self, tail: Tail | None, match: Match) -> Callable[[bytes], AnswerLines]:
        return make_answer_lines(
            has_cors=self._has_cors,
            is_gateway=tail is not None and tail.is_gateway,
            model=match.values.get("model") or self.root_model() or "",
            namespace=match.values.get("namespace", ""),
            path=match.path.decode("latin-1"),
        )


def _operations(path: str) -> tuple[Operation, ...]:
    """Return what Seldon's own document says of a path, for the descriptions of the whole server: the calls by POST."""
    found = paths().get(path, {}).get("post")
    if found is None:
        return ()
    return (
        Operation(
            "post",
            "seldon" + "".join(word.capitalize() for word in found["operationId"].split("-")),
            found["summary"],
            found["responses"],
            body=found["requestBody"],
            tag="Seldon",
        ),
    )


def _base(match: Match) -> str:
    """Return what stands before the route of a model in its path, without a slash at the end."""
    if "model" not in match.values:
        return ""
    parts = ("seldon", match.values.get("namespace"), match.values["model"])
    return "".join(f"/{quote(part, safe='')}" for part in parts if part)
