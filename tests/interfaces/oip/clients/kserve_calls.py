"""Every call of kserve's clients, REST and gRPC. Run: python kserve_calls.py http://host:port host:port."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
import numpy as np
from grpc import RpcError
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(model: str, name: str = "x", *, is_binary: bool = False) -> InferRequest:
    tensor = InferInput(name, [2], "FP32")
    tensor.set_data_from_numpy(np.array([1.5, 2], np.float32), binary_data=is_binary)
    return InferRequest(
        model,
        [tensor],
        request_id="7",
        request_outputs=[RequestedOutput("y", {"binary_data": is_binary})],
    )


async def shown(answer: Awaitable[Any]) -> Any:
    try:
        found = await answer
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, error.response.json()["error"]]
    except RpcError as error:
        return [error.code().name, error.details()]
    if isinstance(found, bool | dict):
        return found
    outputs = {each.name: each.as_numpy().tolist() for each in found.outputs}
    return [found.id, found.model_name, outputs]


async def rest(url: str) -> dict[str, Any]:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        return {
            "live": await shown(client.is_server_live(url)),
            "ready": await shown(client.is_server_ready(url)),
            "model ready": await shown(client.is_model_ready(url, "double")),
            "infer": await shown(client.infer(url, request("double"), model_name="double")),
            "binary infer": await shown(
                client.infer(url, request("double", is_binary=True), model_name="double")
            ),
            "nobody ready": await shown(client.is_model_ready(url, "nobody")),
            "nobody infer": await shown(client.infer(url, request("nobody"), model_name="nobody")),
            "wrong infer": await shown(
                client.infer(url, request("double", "z"), model_name="double")
            ),
        }


async def rest_v1(url: str) -> dict[str, Any]:
    data = {"instances": [1.5, 2]}
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        return {
            "model ready": await shown(client.is_model_ready(url, "double")),
            "infer": await shown(client.infer(url, data, model_name="double")),
            "explain": await shown(client.explain(url, "double", data)),
            "why infer": await shown(client.infer(url, data, model_name="why")),
            "why": await shown(client.explain(url, "why", data)),
            "nobody ready": await shown(client.is_model_ready(url, "nobody")),
            "nobody infer": await shown(client.infer(url, data, model_name="nobody")),
        }


async def grpc(target: str) -> dict[str, Any]:
    async with InferenceGRPCClient(target) as client:
        return {
            "live": await shown(client.is_server_live()),
            "ready": await shown(client.is_server_ready()),
            "model ready": await shown(client.is_model_ready("double")),
            "infer": await shown(client.infer(request("double"))),
            "binary infer": await shown(client.infer(request("double", is_binary=True))),
            "nobody ready": await shown(client.is_model_ready("nobody")),
            "nobody infer": await shown(client.infer(request("nobody"))),
            "wrong infer": await shown(client.infer(request("double", "z"))),
        }


async def both(url: str, target: str) -> list[dict[str, Any]]:
    return [await rest(url), await grpc(target), await rest_v1(url)]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(both(*sys.argv[1:]))))
