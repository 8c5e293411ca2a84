"""Every call of open-inference-openapi, blocking and async. Run: python openapi_calls.py http://host:port."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from typing import Any

from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.types import InferenceRequest


def request(name: str) -> InferenceRequest:
    tensor = {"name": name, "datatype": "FP32", "shape": [2], "data": [1.5, 2]}
    return InferenceRequest.parse_obj({"id": "7", "inputs": [tensor], "outputs": [{"name": "y"}]})


#: Name of a result, the client's method, what it is given.
CALLS: list[tuple[str, str, tuple[str, ...], dict[str, Any]]] = [
    ("live", "check_server_liveness", (), {}),
    ("ready", "check_server_readiness", (), {}),
    ("model ready", "check_model_readiness", ("double",), {}),
    ("version ready", "check_model_version_readiness", ("double", "1"), {}),
    ("server", "read_server_metadata", (), {}),
    ("model", "read_model_metadata", ("double",), {}),
    ("version", "read_model_version_metadata", ("double", "1"), {}),
    ("infer", "model_infer", ("double",), {"request": request("x")}),
    ("version infer", "model_version_infer", ("double", "1"), {"request": request("x")}),
    ("nobody ready", "check_model_readiness", ("nobody",), {}),
    ("nobody", "read_model_metadata", ("nobody",), {}),
    ("nobody infer", "model_infer", ("nobody",), {"request": request("x")}),
    ("wrong infer", "model_infer", ("double",), {"request": request("z")}),
]


async def answers(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, method, arguments, keywords in CALLS:
        try:
            answer = getattr(client, method)(*arguments, **keywords)
            answer = await answer if inspect.isawaitable(answer) else answer
            found[name] = answer if answer is None else json.loads(answer.json())
        except ApiError as error:
            body = error.body.dict() if hasattr(error.body, "dict") else error.body
            found[name] = [error.status_code, body]
    return found


async def both(base_url: str) -> list[dict[str, Any]]:
    return [
        await answers(OpenInferenceClient(base_url=base_url)),
        await answers(AsyncOpenInferenceClient(base_url=base_url)),
    ]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(both(sys.argv[1]))))
