"""KServe's own server with a model that gives back its inputs. Run: python kserve_server.py <HTTP port> <gRPC port>."""

from __future__ import annotations

import sys
import uuid
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Echo(Model):
    def __init__(self) -> None:
        super().__init__("echo")
        self.ready = True

    async def predict(
        self, payload: InferRequest, headers: Any = None, response_headers: Any = None
    ) -> InferResponse:
        outputs = []
        for each in payload.inputs:
            array = each.as_numpy()
            output = InferOutput("out_" + each.name, list(array.shape), each.datatype)
            output.set_data_from_numpy(array, binary_data=bool(payload.use_binary_outputs))
            outputs.append(output)
        return InferResponse(
            # As KServe's own models do: there must be one.
            payload.id or str(uuid.uuid4()),
            self.name,
            outputs,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


if __name__ == "__main__":
    http_port, grpc_port = map(int, sys.argv[1:])
    ModelServer(http_port=http_port, grpc_port=grpc_port, workers=1).start([Echo()])
