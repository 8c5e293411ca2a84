"""A router of MLRun's contract that the front answers, its models being models of this server."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from mms.bodies.json_text import from_json
from mms.bodies.large_json import apart, read_in_pieces
from mms.core import Request
from mms.errors import ServerError
from mms.interfaces.mlrun.errors import error_text, status_of
from mms.interfaces.mlrun.front.calls import RouteCalls, RoutedRequest
from mms.interfaces.mlrun.front.routing import FrontRouting
from mms.interfaces.mlrun.model.model_server import RETRY_AFTER_S
from mms.serving.served import CompositeModel, ServedModel
from mms.wire import Buffer

logger = logging.getLogger("mms.serving")

_TEXT_LINE = b"content-type: text/plain\r\n"
_RETRY_LINE = b"retry-after: %d\r\n" % RETRY_AFTER_S


@dataclass(slots=True, eq=False, kw_only=True, repr=False)
class MlrunRouter(CompositeModel):
    """Answers the requests to one router."""

    routing: FrontRouting
    #: Statuses say what is wrong, where MLRun has 400.
    is_strict: bool

    @property
    def calls(self) -> RouteCalls:
        return self.routing.calls

    # What it shows

    @property
    def router_class(self) -> str:
        return self.routing.router_class

    @property
    def alias(self) -> str:
        """Another name that it is asked by: the one that MLRun gives such a router. Empty for none."""
        return self.routing.name

    @property
    def is_named(self) -> bool:
        return self.routing.router.is_named

    @property
    def takes_all_bodies(self) -> bool:
        return self.routing.router.takes_all_bodies

    @property
    def is_ready(self) -> bool:
        return all(self.calls.is_ready(key) for key in self.calls.keys)

    def listing(self, keys: list[str]) -> dict[str, Any]:
        """Return what it tells of its models, with the other models of the server, `keys`, behind them."""
        found = self.routing.router.list_models()
        known = {*found["models"], self.name}
        found["models"] = [*found["models"], *(key for key in keys if key not in known)]
        return found

    @property
    def kind(self) -> str:
        return "router"

    def uses(self, name: str) -> bool:
        return any(name == model for model, _ in self.calls.targets.values())

    def describe_graph(self) -> dict[str, Any]:
        routes = []
        for key, (name, version) in self.calls.targets.items():
            state = "READY" if self.calls.is_ready(key) else "UNREADY"
            route: dict[str, Any] = {"key": key, "model": name, "state": state}
            if version is not None:
                route["version"] = version
            routes.append(route)
        return {
            "class": self.router_class,
            "name": self.routing.name or self.name,
            "state": "READY" if self.is_ready else "UNREADY",
            "runningRequests": self.running,
            **self.routing.router.describe_routing(),
            "routes": routes,
        }

    # Requests

    async def answer(self, request: Request) -> None:
        started_ns, began_ns = time.time_ns(), time.perf_counter_ns()
        asked = RoutedRequest(request)
        try:
            answer = await self.routing.answer(asked)
            request.answer(answer.status, answer.phrase, answer.headers, answer.body)
            await self._record(asked, answer.body, "", started_ns, began_ns)
        except asyncio.CancelledError:
            # Whoever cancelled it has answered the client, or knows that it has gone.
            request.is_done = True
        except ServerError as error:
            request.fail(error)
        except Exception as error:
            status = status_of(error, self.is_strict)
            if status == 500:
                logger.exception("Router %s failed a request", self.name)
            phrase, text = HTTPStatus(status).phrase.encode(), error_text(error)
            lines = _TEXT_LINE + (_RETRY_LINE if status == 503 else b"")
            request.answer(status, phrase, lines, text.encode("utf-8", "replace"))
            await self._record(asked, b"", text, started_ns, began_ns)

    async def _record(
        self, asked: RoutedRequest, body: Buffer, error: str, started_ns: int, began_ns: int
    ) -> None:
        """Tell the stream of a vote; what else a router answers, its models tell of."""
        tracking = self.tracking
        if tracking is None or not self.routing.router.has_records or asked.method == "GET":
            return
        try:
            sent = asked.request.body
            told = await apart(len(sent), read_in_pieces, sent, from_json)
        except ValueError:
            told = None
        answered = None if error else await apart(len(body), read_in_pieces, body, from_json)
        tracking.push(
            self.router_class,
            {"id": asked.event_id, **told} if isinstance(told, dict) else {"id": asked.event_id},
            answered,
            started_ns=started_ns,
            elapsed_ns=time.perf_counter_ns() - began_ns,
            error=error or None,
            model=self.routing.name,
        )


def front_router(served: ServedModel | None) -> MlrunRouter | None:
    """Return a model as the router that it is; None for any other."""
    return served if isinstance(served, MlrunRouter) else None
