"""Graphs in this process, asked as a server asks them, and step classes that many tests need."""

from __future__ import annotations

import copy
from types import TracebackType
from typing import Any

from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent
from mms.interfaces.mlrun.model.model_server import V2ModelServer
from mms.interfaces.mlrun.model.running import run_event

WAIT_S = 30.0


class Echo:
    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def do(self, x: Any) -> Any:
        return x


class RespName:
    def __init__(self, **kwargs: Any) -> None:
        self.name = kwargs.get("name")

    def do(self, x: Any) -> Any:
        return [x, self.name]


class Chain:
    """Appends its name to a copy of the list; counts its visits on the context."""

    def __init__(self, context: Any, name: str | None = None) -> None:
        self.context = context
        self.name = name

    def do(self, x: Any) -> Any:
        visits = self.context.__dict__.setdefault("visits", {})
        visits[self.name] = visits.get(self.name, 0) + 1
        return [*copy.copy(x), self.name]


class Raiser:
    def __init__(self, msg: str = "", context: Any = None, name: str | None = None) -> None:
        self.msg = msg

    def do(self, x: Any) -> Any:
        raise ValueError(f"this is an error, {x}")


class EchoError:
    """Takes whole events."""

    def do(self, event: Any) -> Any:
        event.body = {
            "body": event.body,
            "origin_state": event.origin_state,
            "error": event.error,
        }
        return event


class Mul(V2ModelServer):
    def load(self) -> None:
        """There is nothing to load."""

    def predict(self, request: Any) -> Any:
        return request["inputs"][0] * self.get_param("multiplier")


class MulList(Mul):
    def predict(self, request: Any) -> Any:
        return [row[0] * self.get_param("multiplier") for row in request["inputs"]]


class Served:
    """A graph that was made, with the names of this module and others."""

    def __init__(self, graph: Any, *namespace: Any, context: GraphContext | None = None) -> None:
        self.context = context or GraphContext(is_mock=True)
        self.graph = graph
        self.events: list[Any] = []
        graph.init_object(self.context, [*namespace, globals()])

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.graph.wait_for_completion(WAIT_S)

    def run(self, body: Any = None, path: str = "/", **event: Any) -> Any:
        """The body of the reply; errors are raised."""
        return self.graph.run(MockEvent(body=body, path=path, method="POST", **event)).body

    def test(self, body: Any = None, path: str = "/", **event: Any) -> Any:
        """The reply as a client gets it; a Response for errors."""
        asked = MockEvent(body=body, path=path, method="POST", **event)
        return run_event(self.graph.run, asked, self.context, get_body=True)


class Records:
    """A stream that keeps what it gets."""

    enabled = True

    def __init__(self) -> None:
        self.records: list[Any] = []

    def push(self, record: Any) -> None:
        self.records.append(record)
