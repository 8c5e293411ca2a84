"""What the API description says of the management API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mms import registration
from mms.http.routing.operation import (
    JSON,
    OBJECT,
    TEXT,
    Operation,
    Parameter,
    answer,
    described,
    errors,
    object_of,
    statuses,
)
from mms.registration import Options, parameters_of
from mms.serving.options import RegisterOptions


def _in_query(options: type[Options], route: str) -> tuple[Parameter, ...]:
    """Return the parameters that a route takes in its query."""
    found = []
    for declared in parameters_of(options, route):
        if not declared.is_in_query:
            continue
        schema = declared.kind.schema
        described = Parameter(
            declared.name,
            declared.text(is_json=False),
            schema["type"],
            declared.default_of(route),
            schema.get("enum", ()),
        )
        found.append(described)
        found += [
            replace(described, name=alias, text=f"The same as {declared.name}.")
            for alias in declared.aliases
        ]
    return tuple(found)


def _in_body(options: type[Options], route: str) -> dict[str, Any]:
    """Return the same parameters, and more, as members of a JSON object, which counts in place of the query."""
    members = {}
    for declared in parameters_of(options, route):
        kind = declared.kind
        schema = kind.schema if kind.json_schema is None else kind.json_schema
        default = declared.default_of(route)
        for name in (declared.name, *declared.aliases):
            members[name] = {
                **schema,
                **({} if default is None else {"default": default}),
                "description": declared.text(is_json=True),
            }
    return {
        "description": "The parameters as JSON, in place of the query.",
        "required": False,
        "content": {JSON: {"schema": object_of([], **members)}},
    }


REGISTER: Final = Operation(
    "post",
    "registerModel",
    "Registers a model.",
    {
        **statuses("Registered", "202", "210"),
        **errors("400", "404", "409", "500"),
    },
    _in_query(RegisterOptions, registration.REGISTER),
    _in_body(RegisterOptions, registration.REGISTER),
)
LIST: Final = Operation(
    "get",
    "listModels",
    "Lists the registered models.",
    {
        "200": answer(
            "OK",
            object_of(
                ["models"],
                nextPageToken=described("string", "The token of the next page, if there is one."),
                models={
                    "type": "array",
                    "description": "Registered models.",
                    "items": object_of(
                        ["modelName", "modelUrl"],
                        modelName=described("string", "Name of the model."),
                        modelUrl=described("string", "Where its archive came from."),
                        graph=described("object", "State and nodes of a graph."),
                    ),
                },
            ),
        ),
        **errors("500"),
    },
    (
        Parameter("limit", "Models of a page, at most 100.", "integer", 100),
        Parameter("next_page_token", "The token of the page before."),
    ),
)
_WORKER: Final = object_of(
    ["id", "startTime", "status"],
    id=described("string", "Id of the worker."),
    startTime=described("string", "When it started, UTC."),
    gpu=described("boolean", "Whether it has a GPU."),
    status={
        "type": "string",
        "description": "Where it stands.",
        "enum": ["READY", "LOADING", "UNLOADING"],
    },
)
_MODEL: Final = object_of(
    ["modelName", "modelUrl", "minWorkers", "maxWorkers", "workers"],
    modelName=described("string", "Name of the model."),
    modelVersion=described("string", "Version of the model."),
    modelUrl=described("string", "Where its archive came from."),
    minWorkers=described("integer", "Fewest workers."),
    maxWorkers=described("integer", "Most workers."),
    batchSize=described("integer", "Most requests in a batch."),
    maxBatchDelay=described("integer", "Longest wait for a batch to fill, in ms."),
    workers={"type": "array", "items": _WORKER, "description": "Its workers."},
)
DESCRIBE: Final = Operation(
    "get",
    "describeModel",
    "Describes a model.",
    {"200": answer("OK", _MODEL), **errors("404", "500")},
)
DESCRIBE_ALL: Final = Operation(
    "get",
    "describeModelVersions",
    "Describes all versions of a model.",
    {"200": answer("OK", {"type": "array", "items": _MODEL}), **errors("404", "500")},
)
SCALE: Final = Operation(
    "put",
    "setAutoScale",
    "Sets how many workers a model has, and changes what it was registered with.",
    {
        **statuses("Scaled", "202", "210"),
        **errors("400", "404", "500"),
    },
    (
        *_in_query(registration.ScaleParameters, registration.SCALE),
        *_in_query(RegisterOptions, registration.SCALE),
    ),
)
UNREGISTER: Final = Operation(
    "delete",
    "unregisterModel",
    "Unregisters a model, after answering what it has accepted.",
    {**statuses("Unregistered", "202"), **errors("404", "408", "500")},
)
SET_DEFAULT: Final = Operation(
    "put",
    "setDefault",
    "Makes a version the default of its model.",
    {**statuses("Default set"), **errors("404", "500")},
)
DRIFT: Final = Operation(
    "get",
    "drift",
    "How far the requests of a tracked model lie from what it was trained on.",
    {
        "200": answer("Drift of each feature and of the model.", OBJECT),
        **errors("400", "404"),
    },
    (Parameter("last", "How many of the newest requests count.", "integer"),),
)
_DECISION: Final = object_of(
    ["time", "decision", "before", "after", "wanted", "reason"],
    time=described("string", "When, UTC."),
    decision={
        "type": "string",
        "description": "What: more workers, fewer, or as many as the machine lets it have.",
        "enum": ["up", "down", "limited"],
    },
    before=described("integer", "Workers before."),
    after=described("integer", "Workers after."),
    wanted=described("integer", "Workers that would be enough."),
    reason=described("string", "Why, in words."),
    queueDelay=described("number", "How long a request had waited, in ms."),
    waitingRequests=described("integer", "Requests that waited."),
    requestsPerSecond=described("number", "Requests that came in a second."),
    workerTimePerRequest=described("number", "What a request cost a worker, in ms."),
)
_DESIRED_MODEL: Final = object_of(
    ["modelName", "status"],
    modelName=described("string", "Name of the model."),
    modelVersion=described("string", "Version of the model, once it is registered."),
    modelUrl=described("string", "Where the file says that it comes from."),
    status=described("string", "READY, LOADING, FAILED, or LEAVING: the file has it no more."),
    reason=described("string", "Why it is not ready, or not as the file says."),
    isServing=described("boolean", "Of one that has failed: whether its former model serves."),
)
DESIRED: Final = Operation(
    "get",
    "desiredModels",
    "What models_file says, and what has come of it.",
    {
        "200": answer(
            "OK",
            object_of(
                ["file", "status", "sha256", "models"],
                file=described("string", "Path of the file."),
                status=described(
                    "string", "APPLIED, or FAILED: the file cannot be what is wanted."
                ),
                reason=described("string", "Why it cannot."),
                sha256=described("string", "Digest of the text that counts."),
                appliedAt=described("string", "When it was read."),
                models={"type": "array", "items": _DESIRED_MODEL},
            ),
        ),
        **errors("404"),
    },
)
SCALING: Final = Operation(
    "get",
    "scaling",
    "How many workers a model needs by its load, and what was decided of late.",
    {
        "200": answer(
            "OK",
            object_of(
                ["modelName", "isScaledByLoad", "decisions"],
                modelName=described("string", "Name of the model."),
                modelVersion=described("string", "Version of the model."),
                isScaledByLoad=described("boolean", "Whether workers come and go by load."),
                reason=described("string", "Why they do not."),
                minWorkers=described("integer", "Fewest workers."),
                maxWorkers=described("integer", "Most workers."),
                scaleTarget=described("number", "Longest wait in the queue, in ms; 0: none."),
                idleTtl=described("number", "Seconds without a request until it rests."),
                workers=described("integer", "Workers that it has."),
                comingWorkers=described("integer", "Those that have not loaded yet."),
                wantedWorkers=described("integer", "Workers that would be enough now."),
                queueDelay=described("number", "How long a request has waited, in ms."),
                waitingRequests=described("integer", "Requests that wait."),
                requestsPerSecond=described("number", "Requests that come in a second."),
                workerTimePerRequest=described("number", "What a request costs a worker, in ms."),
                decisions={
                    "type": "array",
                    "description": "The last ones, the newest first.",
                    "items": _DECISION,
                },
            ),
        ),
        **errors("400", "404"),
    },
)
METRICS: Final = Operation(
    "get",
    "metrics",
    "Metrics of the server, models and workers.",
    {"200": answer("Prometheus text.", TEXT, "text/plain")},
)


def of_version(operation: Operation) -> Operation:
    """Return the same of one version."""
    return replace(operation, id=f"{operation.id}OfVersion")
