"""Tensors by the Open Inference Protocol: arrays are sent and taken in their binary form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mms.client.answer import Answer, Call, ServerRefused
from mms.client.predictions import path_of
from mms.tensors.binary import read_binary, write_binary
from mms.tensors.datatypes import find_datatype
from mms.tensors.errors import InferError
from mms.tensors.results import tensor_of

if TYPE_CHECKING:
    from mms.tensors.tensor import Array, Parameter

_LENGTH: Final = "inference-header-content-length"


@dataclass(frozen=True, slots=True)
class Inference:
    """What a model answers. `outputs`: arrays by their names; elements of BYTES are `bytes`."""

    outputs: dict[str, Array]
    model_name: str
    model_version: str = ""
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


def inference(
    model: str,
    inputs: Mapping[str, Any],
    version: str | None,
    outputs: Sequence[str] | None,
    parameters: Mapping[str, Parameter] | None,
    id: str,
    headers: Mapping[str, str] | None,
    *,
    is_repeatable: bool,
) -> Call:
    """Return the call. `inputs`: by name arrays, or what becomes one. Raises ValueError for what becomes none."""
    described = []
    parts = []
    for name, value in inputs.items():
        try:
            tensor = tensor_of(name, value)
            data = bytes(write_binary(tensor.array, tensor.datatype, f"input {name}"))
        except InferError as error:
            raise ValueError(f"input {name} is no tensor: {error}") from None
        parts.append(data)
        described.append(
            {
                "name": name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": {"binary_data_size": len(data)},
            }
        )
    document: dict[str, Any] = {
        "inputs": described,
        "parameters": {**(parameters or {}), "binary_data_output": True},
    }
    if id:
        document["id"] = id
    if outputs is not None:
        document["outputs"] = [
            {"name": name, "parameters": {"binary_data": True}} for name in outputs
        ]
    head = json.dumps(document).encode()
    named = ("versions", version) if version is not None else ()
    return Call(
        "POST",
        path_of("v2", "models", model, *named, "infer"),
        b"".join([head, *parts]),
        {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
            **(headers or {}),
        },
        is_repeatable=is_repeatable,
        tells_time=True,
    )


def inference_of(answer: Answer) -> Inference:
    """Read an answer. Raises ServerRefused for one that is not of the protocol."""
    try:
        length = int(answer.headers.get(_LENGTH, len(answer.body)))
        document = json.loads(answer.body[:length])
        at = length
        outputs: dict[str, Array] = {}
        for output in document["outputs"]:
            outputs[output["name"]], at = _array_of(output, answer.body, at)
        return Inference(
            outputs,
            document["model_name"],
            document.get("model_version") or "",
            document.get("id") or "",
            document.get("parameters") or {},
        )
    except (ValueError, KeyError, TypeError, InferError) as error:
        raise ServerRefused(
            f"the answer is not of the Open Inference Protocol: {error}", answer
        ) from None


def _array_of(output: dict[str, Any], body: bytes, at: int) -> tuple[Array, int]:
    """Return the array of an output, and where the next one's bytes begin."""
    import numpy as np

    what = f"output {output['name']}"
    datatype = find_datatype(output["datatype"], what)
    size = (output.get("parameters") or {}).get("binary_data_size")
    if size is None:
        data = output["data"]
        if datatype.kind == "S":
            data = [element.encode() for element in data]
        return np.array(data, datatype.numpy).reshape(output["shape"]), at
    return read_binary(body, at, size, datatype, output["shape"], what), at + size
