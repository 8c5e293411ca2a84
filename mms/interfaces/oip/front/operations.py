"""What descriptions say of the routes of the Open Inference Protocol."""

from __future__ import annotations

from typing import Any, Final

from mms.http.routing.operation import JSON, TEXT, Operation, answer, object_of

_TAG: Final = "Open Inference"
_BOOLEAN: Final = {"type": "boolean"}
_WHOLE: Final = {"type": "integer"}
_TEXTS: Final = {"type": "array", "items": TEXT}
_SHAPE: Final = {"type": "array", "items": _WHOLE}
_PARAMETERS: Final = {
    "type": "object",
    "additionalProperties": {"oneOf": [TEXT, {"type": "number"}, _BOOLEAN]},
}
_ERROR: Final = object_of(["error"], error={**TEXT, "description": "What is wrong."})
_REFUSALS: Final = {
    "400": "The request is wrong.",
    "404": "There is no such model, or version of it.",
    "408": "Not answered in time.",
    "500": "The model failed.",
    "503": "The model is not ready, or no worker can take the request.",
}
_DECLARED: Final = object_of(["name", "datatype", "shape"], name=TEXT, datatype=TEXT, shape=_SHAPE)


def _tensor(*required: str) -> dict[str, Any]:
    return object_of(
        ["name", "shape", "datatype", *required],
        name=TEXT,
        shape=_SHAPE,
        datatype=TEXT,
        parameters=_PARAMETERS,
        data={"type": "array", "items": {}, "description": "Flat, or nested like the shape."},
    )


_REQUEST: Final = object_of(
    ["inputs"],
    id={**TEXT, "description": "Returned in the answer."},
    parameters=_PARAMETERS,
    inputs={"type": "array", "items": _tensor()},
    outputs={
        "type": "array",
        "items": object_of(["name"], name=TEXT, parameters=_PARAMETERS),
        "description": "Those that are wanted; all where it is left out.",
    },
)
_RESPONSE: Final = object_of(
    ["model_name", "outputs"],
    model_name=TEXT,
    model_version=TEXT,
    id=TEXT,
    parameters=_PARAMETERS,
    outputs={"type": "array", "items": _tensor()},
)
_BINARY: Final = {
    "application/octet-stream": {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "The JSON, as long as Inference-Header-Content-Length says, and tensors in binary form.",
        }
    }
}
_METADATA: Final = object_of(
    ["name", "platform", "inputs", "outputs"],
    name=TEXT,
    versions=_TEXTS,
    platform=TEXT,
    inputs={"type": "array", "items": _DECLARED},
    outputs={"type": "array", "items": _DECLARED},
)
_READY: Final = object_of(["ready"], name=TEXT, ready=_BOOLEAN)


def _refusals(*codes: str) -> dict[str, Any]:
    return {code: answer(_REFUSALS[code], _ERROR) for code in codes}


def _get(id_: str, text: str, schema: dict[str, Any], *codes: str) -> Operation:
    responses = {"200": answer("OK", schema), **_refusals(*codes)}
    return Operation("get", id_, text, responses, tag=_TAG)


def _infer(id_: str) -> Operation:
    done = {
        "description": "The outputs.",
        "content": {JSON: {"schema": _RESPONSE}, **_BINARY},
    }
    return Operation(
        "post",
        id_,
        "An inference. Models of MLRun take their own form of requests here.",
        {"200": done, **_refusals("400", "404", "408", "500", "503")},
        body={"required": True, "content": {JSON: {"schema": _REQUEST}, **_BINARY}},
        tag=_TAG,
    )


_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = f"{_MODEL}/versions/{{model_version}}"
#: By pattern.
OPERATIONS: Final = {
    "/v2": _get(
        "serverMetadata",
        "What the server is, and which extensions it has.",
        object_of(["name", "version", "extensions"], name=TEXT, version=TEXT, extensions=_TEXTS),
    ),
    "/v2/health/live": _get(
        "serverLive", "Whether the server answers.", object_of(["live"], live=_BOOLEAN)
    ),
    "/v2/health/ready": _get("serverReady", "Whether all models are ready.", _READY, "503"),
    f"{_MODEL}/infer": _infer("infer"),
    f"{_VERSION}/infer": _infer("inferOfVersion"),
    f"{_MODEL}/ready": _get("isModelReady", "Whether a model is ready.", _READY, "404", "503"),
    f"{_VERSION}/ready": _get(
        "isVersionReady", "Whether a version of a model is ready.", _READY, "404", "503"
    ),
    _MODEL: _get("describeModelTensors", "What a model takes and gives.", _METADATA, "404"),
    _VERSION: _get(
        "describeVersionTensors", "What a version of a model takes and gives.", _METADATA, "404"
    ),
}
