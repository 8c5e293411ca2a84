"""Models and routes for tests of routers."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent
from mms.interfaces.mlrun.model.model_server import V2ModelServer
from mms.interfaces.mlrun.model.options import ServingOptions
from mms.interfaces.mlrun.model.running import run_event
from mms.interfaces.mlrun.records.model_log import StreamContext

KEYS = ("m1", "m2", "m3:v1", "m3:v2")


class Multiplying(V2ModelServer):
    def load(self) -> None:
        self.model = self.get_param("multiplier")

    def predict(self, request: Any) -> Any:
        return request["inputs"][0] * self.model

    def explain(self, request: Any) -> Any:
        return {"explained": request["inputs"][0]}

    def op_myop(self, event: Any) -> Any:
        return event.body


class MultiplyingEach(Multiplying):
    def predict(self, request: Any) -> Any:
        return {"predictions": [value * self.model for value in request["inputs"]]}


class Listing(Multiplying):
    def predict(self, request: Any) -> Any:
        return [value * self.model for value in request["inputs"]]


class Constant(V2ModelServer):
    def load(self) -> None:
        self.model = self.get_param("answer")

    def predict(self, request: Any) -> Any:
        return [self.model for _ in request["inputs"]]


class Raising(V2ModelServer):
    def load(self) -> None:
        self.model = 0

    def predict(self, request: Any) -> Any:
        raise ValueError("bad model")


class Route:
    """What a graph's step is for a router."""

    def __init__(self, run: Any) -> None:
        self.run = run


class Sink:
    def __init__(self) -> None:
        self.records: list[Any] = []

    def push(self, records: list[Any]) -> None:
        self.records.extend(records)


def context(**options: Any) -> GraphContext:
    made = GraphContext(level="error", options=ServingOptions(**options))
    made.logger.set_logger_level("critical")
    return made


def tracked() -> tuple[GraphContext, Sink]:
    sink, made = Sink(), context()
    made.stream = StreamContext(sink)
    return made, sink


def route(cls: type[V2ModelServer], key: str, where: Any = None, **parameters: Any) -> Route:
    model = cls(context=where or context(), name=key, **parameters)
    model.post_init()
    return Route(model.do_event)


def four(cls: type[V2ModelServer] = Multiplying, where: Any = None) -> dict[str, Route]:
    """Four routes that multiply by 100, 200, 300 and 400."""
    return {
        key: route(cls, key, where, multiplier=100 * (number + 1))
        for number, key in enumerate(KEYS)
    }


def constants(*answers: Any) -> dict[str, Route]:
    return {
        f"m{number + 1}": route(Constant, f"m{number + 1}", answer=answer)
        for number, answer in enumerate(answers)
    }


def made(cls: Any, routes: dict[str, Any], where: Any = None, **arguments: Any) -> Any:
    router = cls(context=where or context(), routes=routes, **arguments)
    router.post_init()
    return router


def ask(
    router: Any, path: str = "/", body: Any = None, method: str | None = None, **more: Any
) -> Any:
    """What the harness has: the body that a client reads, or a Response."""
    method = method or ("POST" if body is not None else "GET")
    event = MockEvent(body=body, path=path, method=method, **more)
    return run_event(router.do_event, event, router.context, get_body=True)
