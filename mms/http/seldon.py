"""Seldon's REST routes: of one component at the root, and of every model below `/seldon/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from mms.errors import MethodNotAllowed, ModelNotFound, ResourceNotFound, ServiceUnavailable
from mms.http.answers import JSON_LINE, AnswerLines
from mms.http.asking import ModelAsker
from mms.http.exchange import Exchange
from mms.http.lane_head import LaneRoute
from mms.http.seldon_form import error_form, make_answer_lines, refusal_of
from mms.http.seldon_routes import Answerer, SeldonPath, Tail, find_prefixed, find_tail
from mms.seldon.document import document, page

if TYPE_CHECKING:
    from mms.serving import ModelHost

_TEXT_LINE = b"content-type: text/html; charset=utf-8\r\n"
_INTERFACE = "seldon"
_UNKNOWN_INTERFACE = "auto"


class SeldonApi:
    """Answers Seldon's clients."""

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

    def __repr__(self) -> str:
        return f"<SeldonApi, at the root: {self.root_model()}>"

    def root_model(self) -> str | None:
        """The model whose routes are at the root: the default one, else the only component there is."""
        host = self._host
        name = self._default_model
        if name is None:
            names = host.names_of_interface(_INTERFACE)
            return names[0] if len(names) == 1 else None
        if host.has_model(name) and host.interface_of(name) in (_INTERFACE, _UNKNOWN_INTERFACE):
            return name
        return None

    def find(self, path: bytes, segments: list[str], *, is_alone: bool) -> SeldonPath | None:
        """What a path means to Seldon's clients; None for a path that is not Seldon's.

        `is_alone`: the listener has no other API, so that all paths are.
        """
        found = find_prefixed(segments)
        if found is None:
            tail = find_tail(segments)
            is_ours = is_alone or (
                (tail is not None or segments[:1] == ["api"]) and self.root_model() is not None
            )
            if not is_ours:
                return None
            found = SeldonPath(None, tail)
        if self._is_strict and path.endswith(b"/") and found.tail is not None:
            is_page = found.tail.answerer is Answerer.PAGE
            return found if is_page else found._replace(tail=None)
        return found

    def mark(self, exchange: Exchange, found: SeldonPath) -> None:
        """Give all answers of an exchange the form of Seldon's."""
        exchange.error_form = error_form
        model = found.model or self.root_model() or ""
        path = exchange.path.decode("latin-1")
        make_lines = self._make_lines(model, found, path)
        exchange.answer_lines = make_lines(exchange.header_block())

    def lane_route(self, path: bytes, found: SeldonPath) -> LaneRoute | None:
        """The route where the lane can serve it."""
        tail = found.tail
        model = found.model or self.root_model()
        if tail is None or tail.answerer is not Answerer.WORKER or model is None or tail.node:
            return None
        if not self._host.has_model(model) or self._host.interface_of(model) != _INTERFACE:
            return None
        return self._route(model, tail)._replace(
            methods=frozenset(method.encode() for method in tail.methods),
            make_lines=self._make_lines(model, found, path.decode("latin-1")),
        )

    async def serve(self, exchange: Exchange, found: SeldonPath) -> web.StreamResponse:
        """The response. Raises the errors of the front."""
        try:
            return await self._serve(exchange, found)
        except (ResourceNotFound, MethodNotAllowed) as error:
            raise refusal_of(error) if self._is_strict else error from None

    async def _serve(self, exchange: Exchange, found: SeldonPath) -> web.StreamResponse:
        tail = found.tail
        if tail is None:
            raise ResourceNotFound
        method = exchange.method
        if method == "OPTIONS":
            return self._options(exchange, tail)
        if ("GET" if method == "HEAD" else method) not in tail.methods:
            raise MethodNotAllowed
        model = found.model or self.root_model()
        if found.model is not None:
            self._host.check_model(found.model)
        if tail.answerer is Answerer.WORKER:
            return await self._ask(exchange, model, tail)
        if tail.answerer is Answerer.READY:
            if model is None or not self._host.is_ready(model):
                raise ServiceUnavailable("No worker has loaded the model yet.", retry_after_s=1)
            return exchange.respond(200, None, _TEXT_LINE, b"")
        if tail.answerer is Answerer.DOCUMENT:
            return exchange.respond(200, None, JSON_LINE, document(found.base))
        if tail.answerer is Answerer.PAGE:
            return exchange.respond(200, None, _TEXT_LINE, page(found.base))
        body = b"pong" if tail.answerer is Answerer.PING else b""
        return exchange.respond(200, None, _TEXT_LINE, body)

    async def _ask(self, exchange: Exchange, model: str | None, tail: Tail) -> web.StreamResponse:
        if model is None:
            raise ModelNotFound(
                "No model is at the root: set default_model, or register just one Seldon component."
            )
        interface = self._host.interface_of(model)
        if interface == _UNKNOWN_INTERFACE:
            raise self._host.not_loaded(model)
        if interface != _INTERFACE:
            raise ModelNotFound(
                f"Model {model} is not a Seldon component; it is served on /predictions/{model}."
            )
        route = self._route(model, tail)
        if tail.node not in ("", model):
            # A line feed would end the value, where the worker or the graph reads it.
            if not self._host.is_graph(model) or "\n" in tail.node:
                raise ModelNotFound(f"Model {model} has no node {tail.node}.")
            unit = f":unit\n{tail.node}\n".encode("utf-8", "replace")
            route = route._replace(pseudo_headers=route.pseudo_headers + unit)
        return await self._asker.ask(exchange, route)

    def _options(self, exchange: Exchange, tail: Tail) -> web.StreamResponse:
        lines = f"Allow: {tail.allowed}\r\n"
        if self._has_cors:
            lines += f"Access-Control-Allow-Methods: {tail.allowed}\r\n"
            asked = exchange.request.headers.get("Access-Control-Request-Headers")
            if asked:
                lines += f"Access-Control-Allow-Headers: {asked}\r\n"
        return exchange.respond(200, None, lines.encode("utf-8", "surrogateescape"), b"")

    def _route(self, model: str, tail: Tail) -> LaneRoute:
        return LaneRoute(
            model,
            passes_query=True,
            pseudo_headers=f":operation\n{tail.operation}\n".encode(),
            error_form=error_form,
        )

    def _make_lines(
        self, model: str, found: SeldonPath, path: str
    ) -> Callable[[bytes], AnswerLines]:
        return make_answer_lines(
            has_cors=self._has_cors,
            is_gateway=found.tail is not None and found.tail.is_gateway,
            model=model,
            namespace=found.namespace,
            path=path,
        )
