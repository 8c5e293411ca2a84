"""Every call of open-inference-grpc. Run: python grpc_calls.py host:port."""

from __future__ import annotations

import json
import sys
from typing import Any

import grpc
import open_inference.grpc.protocol as messages
from google.protobuf.json_format import MessageToDict
from open_inference.grpc.service import GRPCInferenceServiceStub


def request(model: str, name: str) -> Any:
    made = messages.ModelInferRequest(model_name=model, id="7")
    tensor = made.inputs.add(name=name, datatype="FP32", shape=[2])
    tensor.contents.fp32_contents.extend([1.5, 2])
    made.outputs.add(name="y")
    return made


#: Name of a result, the call, its message.
CALLS = [
    ("live", "ServerLive", messages.ServerLiveRequest()),
    ("ready", "ServerReady", messages.ServerReadyRequest()),
    ("model ready", "ModelReady", messages.ModelReadyRequest(name="double", version="1")),
    ("server", "ServerMetadata", messages.ServerMetadataRequest()),
    ("model", "ModelMetadata", messages.ModelMetadataRequest(name="double")),
    ("infer", "ModelInfer", request("double", "x")),
    ("nobody ready", "ModelReady", messages.ModelReadyRequest(name="nobody")),
    ("nobody", "ModelMetadata", messages.ModelMetadataRequest(name="nobody")),
    ("nobody infer", "ModelInfer", request("nobody", "x")),
    ("wrong infer", "ModelInfer", request("double", "z")),
]


def answer(stub: GRPCInferenceServiceStub, name: str, message: Any) -> Any:
    try:
        return MessageToDict(getattr(stub, name)(message, timeout=60))
    except grpc.RpcError as error:
        return [error.code().name, error.details()]


if __name__ == "__main__":
    with grpc.insecure_channel(sys.argv[1]) as channel:
        stub = GRPCInferenceServiceStub(channel)
        print(json.dumps({name: answer(stub, call, message) for name, call, message in CALLS}))
