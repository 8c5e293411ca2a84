"""Answers calls on standard input, one JSON list, with components of `seldon_models`.

`python seldon_sides.py wrapper`: with Seldon's wrapper, by a Python that has it. `... worker`: with this project's
worker in strict mode. A call has `component`, `path` and, for HTTP, `content` (JSON); for gRPC `service`, `method` and
`body` (base64).
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]

Answerer = Callable[[dict[str, Any]], dict[str, Any]]

REQUESTS = {"Aggregate": "SeldonMessageList", "SendFeedback": "Feedback"}
OPERATIONS = {
    "Predict": "predict",
    "TransformInput": "transform-input",
    "TransformOutput": "transform-output",
    "Route": "route",
    "Aggregate": "aggregate",
    "SendFeedback": "send-feedback",
    "Metadata": "metadata",
}


def wrapper_answerer() -> Answerer:
    from seldon_core.metrics import SeldonMetrics  # type: ignore[import-not-found]
    from seldon_core.proto import prediction_pb2  # type: ignore[import-not-found]
    from seldon_core.wrapper import (  # type: ignore[import-not-found]
        SeldonModelGRPC,
        get_rest_microservice,
    )
    from seldon_models import COMPONENTS  # type: ignore[import-not-found]

    noted: list[Any] = []

    class Metrics(SeldonMetrics):  # type: ignore[misc]
        """In this process alone: no manager's process for each component."""

        def __init__(self) -> None:
            pass

        def __del__(self) -> None:
            pass

        def update(self, custom_metrics: Any, method: str) -> None:
            for metric in custom_metrics:
                tags = metric.get("tags", {})
                tags["method"] = method
                noted.append([metric["key"], metric.get("type", "COUNTER"), dict(tags)])

        def update_reward(self, reward: float) -> None:
            if reward:
                noted.append(["reward", "COUNTER", {}])

    apps: dict[str, Any] = {}

    def answer(call: dict[str, Any]) -> dict[str, Any]:
        noted.clear()
        name = call["component"]
        if "method" in call:
            servicer = SeldonModelGRPC(COMPONENTS[name](), Metrics())
            request_class = getattr(prediction_pb2, REQUESTS.get(call["method"], "SeldonMessage"))
            request = request_class.FromString(base64.b64decode(call["body"]))
            try:
                found = getattr(servicer, call["method"])(request, None)
                body = base64.b64encode(found.SerializeToString()).decode()
            except Exception as error:
                return {"error": repr(error), "metrics": list(noted)}
            return {"body": body, "metrics": list(noted)}
        if name not in apps:
            apps[name] = get_rest_microservice(COMPONENTS[name](), Metrics()).test_client()
        if call["path"] in ("metadata", "health/status"):
            found = apps[name].get(f"/{call['path']}")
        else:
            found = apps[name].post(f"/{call['path']}", json=call["content"])
        return {
            "status": found.status_code,
            "type": found.content_type,
            "body": found.get_data(as_text=True),
            "metrics": list(noted),
        }

    return answer


def worker_answerer() -> Answerer:
    sys.path[:0] = [
        str(ROOT),
        str(ROOT / "mms" / "interfaces" / "seldon" / "packages" / "seldon_core"),
    ]
    from seldon_models import COMPONENTS

    from mms.interfaces.seldon.load import ComponentLoad
    from mms.interfaces.seldon.worker.interface import open_component
    from mms.interfaces.seldon.worker.items import SeldonItems
    from mms.wire import ModelOperation

    known: dict[str, SeldonItems] = {}
    types = {"counter": "COUNTER", "gauge": "GAUGE", "histogram": "TIMER"}

    def answer(call: dict[str, Any]) -> dict[str, Any]:
        name = call["component"]
        if name not in known:
            component = open_component(COMPONENTS[name](), ComponentLoad(is_strict=True))
            known[name] = SeldonItems(component, name)
        items = known[name]
        is_grpc = "method" in call
        operation = OPERATIONS[call["method"]] if is_grpc else call["path"].replace("/", "-")
        content_type = b"application/x-protobuf" if is_grpc else b"application/json"
        body = base64.b64decode(call["body"]) if is_grpc else json.dumps(call["content"]).encode()
        asked = ModelOperation(operation)
        item = (b"0" * 36, 1, content_type, b"", b"Host\nh", 0, body, asked)
        ((_, flags, status, _, headers, found),) = items.serve_items([item])
        assert flags == 0
        found = bytes(found)
        metrics = []
        for series in items.take_series():
            labels = {k: v for k, v in series["labels"].items() if k in ("method", "label")}
            if series["name"].startswith("seldon_api_model_feedback"):
                if not series["name"].endswith("reward"):
                    metrics.append(["reward", "COUNTER", {}])
                continue
            metrics.append([series["name"], types[series["type"]], labels])
        if is_grpc:
            if status != 200:
                return {"error": found.decode(), "metrics": metrics}
            return {"body": base64.b64encode(found).decode(), "metrics": metrics}
        lines = dict(line.split(": ") for line in headers.decode().splitlines())
        return {
            "status": status,
            "type": lines["Content-Type"],
            "body": found.decode(),
            "metrics": metrics,
        }

    return answer


def main() -> None:
    logging.disable(logging.CRITICAL)
    # Standard output is for the answers; components and servers may print.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, str(FOLDER))
    answer = wrapper_answerer() if sys.argv[1] == "wrapper" else worker_answerer()
    json.dump([answer(call) for call in json.load(sys.stdin)], output)
    output.close()


if __name__ == "__main__":
    main()
