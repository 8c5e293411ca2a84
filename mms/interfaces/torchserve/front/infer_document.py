"""Tensors of TorchServe's gRPC as the JSON document that its handlers get, and the document that they answer with."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from mms.errors import BadRequest, InternalServerError
from mms.interfaces.torchserve.front.messages import CLASSES
from mms.text.brief import brief

#: Datatype -> the member of a tensor's contents that has its values.
_CONTENTS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_BYTES: Final = "BYTES"


def document_of(asked: Any) -> bytes:
    """Return a `ModelInferRequest` as JSON; bytes are in base64. Raises BadRequest for what has no such form."""
    if asked.raw_input_contents:
        raise BadRequest(
            "raw_input_contents is not read here: put the values into the contents of each input, or call "
            "inference.GRPCInferenceService."
        )
    document: dict[str, Any] = {
        "id": asked.id,
        "model_name": asked.model_name,
        "inputs": [_input_of(tensor) for tensor in asked.inputs],
    }
    if asked.parameters:
        document["parameters"] = _parameters_of(asked)
    if asked.outputs:
        document["outputs"] = [{"name": output.name} for output in asked.outputs]
    return json.dumps(document).encode()


def _input_of(tensor: Any) -> dict[str, Any]:
    contents = _CONTENTS.get(tensor.datatype)
    if contents is None:
        raise BadRequest(
            f"Input {brief(tensor.name)} has the datatype {brief(tensor.datatype)}; right are {', '.join(_CONTENTS)}."
        )
    values = list(getattr(tensor.contents, contents))
    if tensor.datatype == _BYTES:
        values = [base64.b64encode(value).decode() for value in values]
    # In TorchServe's order.
    found = {
        "shape": list(tensor.shape),
        "data": values,
        "datatype": tensor.datatype,
        "name": tensor.name,
    }
    return found | {"parameters": _parameters_of(tensor)} if tensor.parameters else found


def _parameters_of(message: Any) -> dict[str, Any]:
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "bool_param")
        for name, value in message.parameters.items()
    }


def response_of(model: str, answer: bytes) -> bytes:
    """Return the `ModelInferResponse` of a handler's JSON; elements of BYTES are JSON texts in it, as TorchServe's are.

    Raises InternalServerError for an answer that is no such document.
    """
    try:
        document = json.loads(answer)
        response = CLASSES["ModelInferResponse"](
            model_name=document["model_name"] or "",
            model_version=document["model_version"] or "",
            id=document["id"] or "",
        )
        for output in document["outputs"]:
            datatype, data = output["datatype"], output["data"]
            tensor = response.outputs.add(
                name=output["name"], datatype=datatype, shape=output["shape"]
            )
            if datatype == _BYTES:
                data = [json.dumps(value, separators=(",", ":")).encode() for value in data]
            getattr(tensor.contents, _CONTENTS[datatype]).extend(data)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"{type(error).__name__}: {brief(str(error))}"
        raise InternalServerError(
            f"Model {model} has answered with no document of the Open Inference Protocol ({reason}). A handler returns "
            "one, or service_envelope=kservev2 makes it."
        ) from None
    return bytes(response.SerializeToString())
