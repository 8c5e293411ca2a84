"""Requests to models and ensembles, asked of MLRun's mock server or of ours: `python mlrun_scenarios.py FILE`.

Runs under a Python that has mlrun and under ours alike; the answers go to the file as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from mlrun import new_function
    from mlrun.serving import V2ModelServer
else:
    from mms.interfaces.mlrun.authoring.functions import new_function
    from mms.interfaces.mlrun.model.model_server import V2ModelServer

MODELS = "/v2/models/"
FOUR = {"m1": 100, "m2": 200, "m3:v1": 300, "m3:v2": 400}
THREE = {"m1": 1, "m2": 2, "m3": 4}
HALVES = {"m1": 0.5, "m2": 0.25, "m3": 0.25}


class Multiplies(V2ModelServer):
    def load(self) -> None:
        self.multiplier = self.get_param("multiplier")

    def predict(self, request: dict) -> Any:
        return request["inputs"][0] * self.multiplier

    def explain(self, request: dict) -> Any:
        return {"explained": request["inputs"][0]}

    def op_myop(self, event: Any) -> Any:
        return event.body

    def op_own(self, event: Any) -> Any:
        return self.context.Response(body="x", status_code=201, headers={"a": "b"})


class MultipliesEach(Multiplies):
    def predict(self, request: dict) -> Any:
        return {"predictions": [value * self.multiplier for value in request["inputs"]]}


class Lists(Multiplies):
    def predict(self, request: dict) -> Any:
        return [value * self.multiplier for value in request["inputs"]]


class Raises(Multiplies):
    def predict(self, request: dict) -> Any:
        try:
            raise OSError("disk")
        except OSError as error:
            raise RuntimeError("outer") from error


class Refuses(Multiplies):
    def validate(self, request: dict, operation: str) -> Any:
        raise ValueError("")


def asked(path: str, body: Any = None, method: str = "", **more: Any) -> dict[str, Any]:
    return {
        "path": MODELS + path.lstrip(":") if path.startswith(":") else path,
        "body": body,
        "method": method,
        **more,
    }


INPUTS = {"inputs": [5]}
ROUTER_CALLS = [
    asked("/"),
    asked("/v2/health"),
    asked("/v2/health/ready"),
    asked(":"),
    asked("/v2/models", {"a": 1}),
    asked(":m1/infer", INPUTS),
    asked(":m1/infer", {**INPUTS, "id": "abc"}),
    asked(":m1/infer", INPUTS, headers={"MLRUN-EVENT-ID": "from the header"}),
    asked(":m1/infer", INPUTS, "PUT"),
    asked(":m3/versions/v1/infer", INPUTS, event_id="E"),
    asked(":m3:v2/predict", INPUTS),
    asked(":m1", INPUTS),
    asked(":m1", None, "GET"),
    asked(":m1/", None, "GET"),
    asked(":m3/versions/v2"),
    asked(":m1/explain", INPUTS),
    asked("/", INPUTS),
    asked("/", {**INPUTS, "model": "m2"}),
    asked("", {**INPUTS, "model": "m1", "operation": "explain"}),
    asked("/", {**INPUTS, "model": "nobody"}),
    asked(":m1/infer", {**INPUTS, "model": "m2"}),
    asked(":m1", {**INPUTS, "operation": "explain"}),
    asked(":m1/myop", {"test": "ok"}),
    asked(":m1/myop", None, "GET"),
    asked(":m1/own", {"test": "ok"}),
    asked(":m1/xx", {"test": "ok"}),
    asked(":m1/infer/x", INPUTS),
    asked(":m1/ready", event_id="E"),
    asked(":m1/ready", {"a": 1}),
    asked(":m5/infer", INPUTS),
    asked(":m3/infer", INPUTS),
    asked("/foo", INPUTS),
    asked(":m1/infer", {"x": 1}),
    asked(":m1/infer", {"inputs": 5}),
    asked(":m1/infer", {"inputs": []}),
    asked(":m1/infer", None, "POST"),
    asked(":m1/infer", None, "GET"),
    asked(":m1/infer", "[1,", content_type="application/json"),
    asked(":m1/infer", '{"inputs":[5]}'),
    asked(":m1/infer", '{"inputs":[5]}', content_type="text/plain"),
    asked(":raises/infer", INPUTS),
    asked(":refuses/infer", INPUTS),
]
ENSEMBLE_CALLS = [
    asked(":"),
    asked(":m1"),
    asked(":VotingEnsemble"),
    asked(":infer", {"inputs": [5, 5]}),
    asked(":VotingEnsemble/infer", INPUTS),
    asked(":VotingEnsemble", INPUTS),
    asked("/", INPUTS),
    asked("/", {**INPUTS, "model": "m1"}),
    asked(":m3/versions/v1/infer", INPUTS),
    asked(":m5/infer", INPUTS),
    asked(":infer", {"x": 1}),
    asked(":infer", {"inputs": 3}),
    asked(":m1/ready", event_id="E"),
    asked("/v2/health"),
]
VOTES = [asked(":infer", {"inputs": [5]}), asked(":infer", {"inputs": [1, 2]})]


def server(class_name: str | None, models: list[tuple[str, str, int]], **arguments: Any) -> Any:
    function = new_function("scenarios", kind="serving")
    function.set_topology("router", *([class_name] if class_name else []), **arguments)
    for key, model_class, multiplier in models:
        function.add_model(key, ".", class_name=model_class, multiplier=multiplier)
    return function.to_mock_server(namespace=globals())


def servers() -> list[tuple[str, Any, list[dict[str, Any]]]]:
    """(name, server, requests)."""
    plain = [(key, "Multiplies", number) for key, number in FOUR.items()]
    plain += [("raises", "Raises", 1), ("refuses", "Refuses", 1)]
    each = [(key, "MultipliesEach", number) for key, number in FOUR.items()]
    lists = [(key, "Lists", number) for key, number in THREE.items()]
    ensemble = "mlrun.serving.VotingEnsemble"
    columns = {"prediction_col_name": "predictions", "format_response_with_col_name_flag": True}
    made = [
        ("router", server(None, plain), ROUTER_CALLS),
        ("ensemble", server(ensemble, each, vote_type="regression", **columns), ENSEMBLE_CALLS),
    ]
    for vote_type in (None, "classification", "regression"):
        for weights in (None, HALVES, {"m1": 0.5, "m2": 0.5}):
            if vote_type is None and weights is not None:
                continue
            voting = server(ensemble, lists, vote_type=vote_type, weights=weights)
            made.append((f"votes {vote_type} {weights}", voting, VOTES))
    return made


def answer_of(tested: Any, call: dict[str, Any]) -> Any:
    found = tested.test(silent=True, **json.loads(json.dumps(call)))
    if not hasattr(found, "status_code"):
        return found
    body = found.body.decode() if isinstance(found.body, bytes) else found.body
    return [found.status_code, found.content_type, dict(found.headers or {}), body]


def answers() -> list[tuple[str, Any]]:
    """(what was asked, the answer)."""
    return [
        (f"{name}: {json.dumps(call)}", answer_of(tested, call))
        for name, tested, calls in servers()
        for call in calls
    ]


def documents() -> list[Any]:
    """Objects of classes as parts of a graph's document."""
    return [
        V2ModelServer(name="ms", model_path="./xx", multiplier=7).to_dict(),
        V2ModelServer(name="ms", input_path="a", result_path="b").to_dict(),
    ]


if __name__ == "__main__":
    import mlrun

    found = {"version": mlrun.__version__, "answers": answers(), "documents": documents()}
    Path(sys.argv[1]).write_text(json.dumps(found))
