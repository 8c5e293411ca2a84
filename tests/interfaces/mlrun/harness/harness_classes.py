"""The models and steps that many tests of the harness ask."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from mms.interfaces.mlrun import ServingFunction, V2ModelServer, new_function

MULTIPLIERS = {"m1": 100, "m2": 200, "m3:v1": 300, "m3:v2": 400}
#: Set by tests to let Slow load.
MAY_LOAD = threading.Event()
WAIT_S = 30.0


class Mul(V2ModelServer):
    def load(self) -> None:
        pass

    def predict(self, request: Any) -> Any:
        return request["inputs"][0] * self.get_param("multiplier")

    def explain(self, request: Any) -> Any:
        return {"explained": request["inputs"][0]}

    def op_myop(self, event: Any) -> Any:
        return event.body

    def op_created(self, event: Any) -> Any:
        return self.context.Response(
            status_code=201, body="made", headers={"X-Kind": "custom"}, content_type="text/plain"
        )


class MulList(V2ModelServer):
    def load(self) -> None:
        pass

    def predict(self, request: Any) -> Any:
        return [row[0] * self.get_param("multiplier") for row in request["inputs"]]


class Raiser(Mul):
    def predict(self, request: Any) -> Any:
        raise ValueError("no prediction today")


class Unwritable(Mul):
    def predict(self, request: Any) -> Any:
        return [object()]


class Slow(Mul):
    def load(self) -> None:
        assert MAY_LOAD.wait(WAIT_S)

    def predict(self, request: Any) -> Any:
        return request["inputs"][0]


class NeverLoads(Mul):
    def load(self) -> None:
        raise OSError("the disk is gone")


class Arr(V2ModelServer):
    def load(self) -> None:
        pass

    def predict(self, request: Any) -> Any:
        return np.array([row[0] * self.get_param("multiplier") for row in request["inputs"]])


class ArrLogged(Arr):
    def logged_results(self, request: Any, response: Any, op: Any) -> Any:
        return [[1]], [2]


class Chain:
    def __init__(self, context: Any, name: str | None = None) -> None:
        self.context = context
        self.name = name

    def do(self, body: Any) -> Any:
        return [*body, self.name]


class Echo:
    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def do(self, body: Any) -> Any:
        return body


class WithName(Echo):
    def do(self, body: Any) -> Any:
        return [body, self.name]


def routed(
    class_name: str = "Mul", topology: dict[str, Any] | None = None, **params: list[Any]
) -> ServingFunction:
    """A function with the four models m1, m2, m3:v1 and m3:v2 of a class."""
    function = new_function("tests", kind="serving", project="x")
    function.set_topology("router", **(topology or {}))
    for number, (key, multiplier) in enumerate(MULTIPLIERS.items()):
        own = {name: values[number] for name, values in params.items()}
        arguments = own or {"multiplier": multiplier}
        function.add_model(key, "", class_name=class_name, **arguments)
    return function
