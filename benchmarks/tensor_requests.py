"""What is asked of a model that gives back its tensor, by the Open Inference Protocol in JSON and in binary form."""

from __future__ import annotations

import json
import struct
from typing import Final

from benchmarks.deployment import MODEL_NAME, Answer, PeerRequest, WorkKind

PATH: Final = f"/v2/models/{MODEL_NAME}/infer"
COLUMNS: Final = 64
ROW: Final = [column / 64 + 0.25 for column in range(COLUMNS)]
_ROW_BYTES: Final = struct.pack(f"<{COLUMNS}f", *ROW)
TENSORS: Final[tuple[WorkKind, ...]] = ("tensor-json", "tensor-binary")
_LENGTH_HEADER: Final = "Inference-Header-Content-Length"


def tensor_request(kind: WorkKind, body_bytes: int) -> PeerRequest:
    """Return a request with an FP32 tensor of so many bytes in binary form, one row at least."""
    rows = max(1, body_bytes // len(_ROW_BYTES))
    tensor = {"name": "x", "shape": [rows, COLUMNS], "datatype": "FP32"}
    if kind == "tensor-json":
        body = json.dumps({"inputs": [{**tensor, "data": ROW * rows}]}).encode()
        return PeerRequest((PATH,), body, {"Content-Type": "application/json"})
    data = _ROW_BYTES * rows
    head = json.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"Content-Type": "application/octet-stream", _LENGTH_HEADER: str(len(head))}
    return PeerRequest((PATH,), head + data, headers)


def is_tensor(kind: WorkKind, answer: Answer) -> bool:
    """Check that the rows have come back."""
    if kind == "tensor-json":
        data = json.loads(answer.body)["outputs"][0]["data"]
        return bool(data[:COLUMNS] == ROW)
    return answer.body.endswith(_ROW_BYTES)
