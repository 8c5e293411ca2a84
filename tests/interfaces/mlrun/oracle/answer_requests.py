"""Run by a Python with MLRun's package or with this server's stand-in: answers the requests on standard input.

Input: [{"function", "path", "body", "method", "headers", "content_type"}]; output, on the file that the first argument
names: [{"status", "content_type", "body"}], times and drawn ids made equal.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

import mlrun  # noqa: E402
from mlrun.serving import V2ModelServer  # noqa: E402

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+00:00")


class Echo(V2ModelServer):
    def load(self) -> None:
        self.model = True

    def predict(self, request: Any) -> Any:
        return request["inputs"]

    def explain(self, request: Any) -> Any:
        return {"explained": request["inputs"], "parameters": request.get("parameters")}

    def op_info(self, event: Any) -> Any:
        return {
            "method": event.method,
            "path": event.path,
            "multiplier": self.get_param("multiplier", 1),
        }

    def op_created(self, event: Any) -> Any:
        return self.context.Response(body="made", status_code=201, headers={"x": "y"})


class Multiply(Echo):
    def predict(self, request: Any) -> Any:
        factor = self.get_param("multiplier", 1)
        return [value * factor for value in request["inputs"]]


class Failing(Echo):
    def predict(self, request: Any) -> Any:
        try:
            request["nothing"]
        except KeyError as error:
            raise ValueError("bad model") from error


class Hooks(Echo):
    def preprocess(self, request: Any, operation: str) -> Any:
        if isinstance(request, dict):
            request["seen"] = operation
        return request

    def validate(self, request: Any, operation: str) -> Any:
        if not isinstance(request, dict) or "inputs" not in request:
            raise RuntimeError(f"not valid for {operation}")
        return request

    def predict(self, request: Any) -> Any:
        return [request["seen"], request["inputs"]]

    def postprocess(self, answer: Any) -> Any:
        answer["more"] = True
        return answer


class NoPredict(V2ModelServer):
    def load(self) -> None:
        self.model = True


class Fails:
    def do(self, body: Any) -> Any:
        raise ValueError("cannot")


def tell_error(event: Any) -> Any:
    event.body = {
        "kind": type(event.error).__name__,
        "error": str(event.error),
        "origin": event.origin_state,
    }
    return event


MODELS = {
    "m1": ("Echo", {}),
    "m2": ("Multiply", {"multiplier": 3}),
    "m3:v1": ("Multiply", {"multiplier": 5}),
    "m3:v2": ("Echo", {}),
    "hooks": ("Hooks", {}),
    "failing": ("Failing", {}),
    "none": ("NoPredict", {}),
    "paths": ("Echo", {}),
}


def servers() -> dict[str, Any]:
    made = {}
    for name, topology, models, arguments in (
        ("router", None, MODELS, {}),
        ("vote", "mlrun.serving.VotingEnsemble", ("m1", "m2"), {"vote_type": "regression"}),
        (
            "classes",
            "mlrun.serving.routers.VotingEnsemble",
            ("m1", "m2", "m3:v1"),
            {"vote_type": "classification"},
        ),
    ):
        function = mlrun.new_function(name, kind="serving")
        function.set_topology("router", topology, **arguments)
        for key in models:
            class_name, class_args = MODELS[key]
            route = function.add_model(key, class_name=class_name, model_path=".", **class_args)
            if key == "paths":
                route.input_path, route.result_path = "req", "res.out"
        made[name] = function.to_mock_server(namespace=globals())
    for engine in ("sync", "async"):
        function = mlrun.new_function(engine, kind="serving")
        graph = function.set_topology("flow", engine=engine)
        last = graph.to(name="one", handler="(event)").to(name="two", handler="({'got': event})")
        if engine == "async":
            last.respond()
        made[engine] = function.to_mock_server(namespace=globals())
    # With the engine `sync` MLRun's handlers of errors get whole events back in the place of bodies.
    function = mlrun.new_function("errors", kind="serving")
    graph = function.set_topology("flow", engine="async")
    step = graph.to(name="one", handler="(event)").to("Fails", name="fails")
    step.error_handler("catch", handler="tell_error", full_event=True)
    made["errors"] = function.to_mock_server(namespace=globals())
    return made


def answer(server: Any, request: dict[str, Any]) -> dict[str, Any]:
    body = request.get("body")
    if "bytes" in request:
        body = request["bytes"].encode("latin-1")
    try:
        found = server.test(
            request["path"],
            body=body,
            method=request.get("method", ""),
            headers=request.get("headers"),
            content_type=request.get("content_type"),
            silent=True,
            get_body=False,
            event_id=request.get("event_id", "e1"),
        )
    except Exception as error:
        return {"raised": f"{type(error).__name__}: {error}"}
    content = getattr(found, "body", found)
    if isinstance(content, bytes):
        content = content.decode("latin-1")
    elif not isinstance(content, str):
        content = json.dumps(content, default=str)
    return {
        "status": getattr(found, "status_code", 200),
        "content_type": getattr(found, "content_type", None),
        "headers": getattr(found, "headers", None) or {},
        "body": TIME.sub("TIME", content),
    }


def main() -> None:
    requests = json.load(sys.stdin)
    made = servers()
    answers = [answer(made[request["function"]], request) for request in requests]
    for name in ("sync", "async", "errors"):
        made[name].wait_for_completion()
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump({"version": mlrun.__version__, "answers": answers}, file)


if __name__ == "__main__":
    main()
