"""What is asked of a model that gives back its tensor, by the Open Inference Protocol: over REST in JSON and in binary
form, and over gRPC.
"""

from __future__ import annotations

import json
import struct
from typing import Final

from benchmarks.deployment import MODEL_NAME, Answer, Call, PeerRequest, WorkKind

PATH: Final = f"/v2/models/{MODEL_NAME}/infer"
CALL: Final = "/inference.GRPCInferenceService/ModelInfer"
COLUMNS: Final = 64
ROW: Final = [column / 64 + 0.25 for column in range(COLUMNS)]
_ROW_BYTES: Final = struct.pack(f"<{COLUMNS}f", *ROW)
TENSORS: Final[tuple[WorkKind, ...]] = ("tensor-json", "tensor-binary", "tensor-grpc")
_LENGTH_HEADER: Final = "Inference-Header-Content-Length"


def tensor_request(kind: WorkKind, body_bytes: int) -> PeerRequest:
    """Return a request with an FP32 tensor of so many bytes in binary form, one row at least."""
    rows = max(1, body_bytes // len(_ROW_BYTES))
    tensor = {"name": "x", "shape": [rows, COLUMNS], "datatype": "FP32"}
    if kind != "tensor-binary":
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
    if kind != "tensor-binary":
        data = json.loads(answer.body)["outputs"][0]["data"]
        return bool(data[:COLUMNS] == ROW)
    return answer.body.endswith(_ROW_BYTES)


def tensor_call() -> Call:
    """Return a ModelInferRequest with one row in raw form; a right answer holds the very same bytes."""
    tensor = b"".join((_field(1, b"x"), _field(2, b"FP32"), _field(3, bytes((1, COLUMNS)))))
    message = b"".join((_field(1, MODEL_NAME.encode()), _field(5, tensor)))
    # Its length takes two bytes.
    length = bytes((len(_ROW_BYTES) & 0x7F | 0x80, len(_ROW_BYTES) >> 7))
    return Call(CALL, message + b"\x3a" + length + _ROW_BYTES, _ROW_BYTES)


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field of protobuf, shorter than 128 bytes."""
    return bytes((number << 3 | 2, len(content))) + content
