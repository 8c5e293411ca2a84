"""Run by a Python that has seldon-core: answers the calls on standard input, one JSON document, with Seldon's wrapper.

Input: a list of {"kind", ...}; output: a list of answers. Kinds: "rest" (an HTTP request to the
wrapper's app), "grpc" (a serialized message, base64, to its servicer's method).
"""

from __future__ import annotations

import base64
import json
import logging
import sys
from typing import Any

logging.disable(logging.CRITICAL)

from oracle_components import COMPONENTS  # noqa: E402
from seldon_core.metrics import SeldonMetrics  # noqa: E402
from seldon_core.proto import prediction_pb2  # noqa: E402
from seldon_core.user_model import SeldonResponse  # noqa: E402
from seldon_core.wrapper import SeldonModelGRPC, get_rest_microservice  # noqa: E402


class Metrics(SeldonMetrics):
    """In this process alone: no manager's process for each component."""

    def __init__(self) -> None:
        pass

    def __del__(self) -> None:
        pass

    def update(self, custom_metrics: Any, method: str) -> None:
        for metric in custom_metrics:
            metric.get("tags", {})["method"] = method

    def update_reward(self, reward: float) -> None:
        pass


def answer_rest(call: dict[str, Any], apps: dict[str, Any]) -> dict[str, Any]:
    name = call["component"]
    if name not in apps:
        apps[name] = get_rest_microservice(
            COMPONENTS[name](SeldonResponse), Metrics()
        ).test_client()
    headers = {"Content-Type": call["content_type"]} if call["content_type"] else {}
    found = apps[name].open(
        call["path"],
        method=call["method"],
        query_string=call["query"],
        data=base64.b64decode(call["body"]),
        headers=headers,
    )
    return {"status": found.status_code, "body": found.get_data(as_text=True)}


GRPC_REQUESTS = {
    "Predict": prediction_pb2.SeldonMessage,
    "Aggregate": prediction_pb2.SeldonMessageList,
    "SendFeedback": prediction_pb2.Feedback,
}


def answer_grpc(call: dict[str, Any]) -> dict[str, Any]:
    servicer = SeldonModelGRPC(COMPONENTS[call["component"]](SeldonResponse), Metrics())
    request = GRPC_REQUESTS[call["method"]].FromString(base64.b64decode(call["body"]))
    try:
        found = getattr(servicer, call["method"])(request, None)
    except Exception as error:
        return {"error": type(error).__name__, "message": getattr(error, "message", str(error))}
    return {"body": base64.b64encode(found.SerializeToString()).decode()}


def main() -> None:
    apps: dict[str, Any] = {}
    answers = [
        answer_rest(call, apps) if call["kind"] == "rest" else answer_grpc(call)
        for call in json.load(sys.stdin)
    ]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
