"""What the API description says of the management API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from archiver import INTERFACES
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

_WAIT: Final = "Wait for the workers."


def _registration_parameters() -> tuple[Parameter, ...]:
    """What a registration takes, as its query does."""
    return (
        Parameter("url", "Where the archive is.", is_required=True),
        Parameter("model_name", "Name of the model, in place of the manifest's."),
        Parameter("handler", "Handler, in place of the manifest's."),
        Parameter(
            "runtime",
            "Runtime, in place of the manifest's; also the absolute path of an interpreter.",
            enum=("PYTHON", "PYTHON2", "PYTHON3"),
        ),
        *_changeable_parameters(is_change=False),
        Parameter("gpu_ids", "GPUs that its workers are spread over, such as 0,2."),
        Parameter("deviceIds", "The same as gpu_ids."),
        Parameter(
            "install_requirements",
            "Where the packages of the archive's requirements.txt are installed.",
            enum=("off", "folder", "venv"),
        ),
        Parameter(
            "initialize_errors",
            "Whether a handler's failing initialization fails the load.",
            enum=("fail", "ignore"),
        ),
        Parameter("initial_workers", "Workers to start.", "integer", 0),
        Parameter("synchronous", _WAIT, "boolean", True),
        Parameter("preload_model", "Load once and fork the workers.", "boolean", False),
        Parameter(
            "interface",
            "Contract that the code is written to, in place of the manifest's.",
            enum=INTERFACES,
        ),
        Parameter("service_type", "What a Seldon component does in a graph."),
        Parameter(
            "parameters",
            'Arguments of the constructor of a component or model server: a JSON list of {"name", "value", "type"}.',
        ),
        Parameter("model_uri", "Where the model's files are fetched from."),
        Parameter(
            "sha256",
            "SHA-256 of the archive's file, or of model_uri's where there is no archive, in hexadecimal.",
        ),
        Parameter(
            "prepackaged",
            "Server that loads the files of model_uri, or of the archive, without a handler.",
        ),
        Parameter(
            "tracking",
            "Where records of requests go: a file's path, http(s)://, kafka://, memory://, or a JSON object with path.",
        ),
        Parameter("predictor", "Which predictor of a graph's document is served."),
        Parameter(
            "row_batching",
            "Join the rows of a batch's numeric requests into one call of a Seldon component.",
            "boolean",
            False,
        ),
        Parameter(
            "validate_inputs",
            "Check requests to a Seldon component against the inputs that its metadata declare.",
            "boolean",
            False,
        ),
        *_mlrun_parameters(),
    )


def _mlrun_parameters() -> tuple[Parameter, ...]:
    return (
        Parameter(
            "class_args",
            "More arguments of a model server of MLRun, of any type: a JSON object.",
        ),
        Parameter("function_parameters", "Defaults for what get_param looks up: a JSON object."),
        Parameter("model_path", "What a model server of MLRun gets as its model_path."),
        Parameter(
            "load_mode",
            "Load an MLRun model server before its first requests (sync) or beside them (async).",
            default="sync",
            enum=("sync", "async"),
        ),
        Parameter(
            "row_wise",
            "Join the inputs of a batch's requests into one call of a model server of MLRun.",
            "boolean",
            False,
        ),
        Parameter("input_path", "Where the request is in a body, as names joined by dots."),
        Parameter("result_path", "Where the answer is put in the body, as names joined by dots."),
        Parameter(
            "nan_policy",
            "How an MLRun model server answers NaN; without it as the setting says.",
            enum=("null", "keep", "error"),
        ),
        Parameter(
            "strict_status",
            "Whether an MLRun model server answers more exact error statuses; without it as the setting says.",
            "boolean",
        ),
    )


def _changeable_parameters(*, is_change: bool) -> tuple[Parameter, ...]:
    """What a registration takes and a call that scales may change. Only the former have defaults."""

    def default(value: Any) -> Any:
        return None if is_change else value

    return (
        Parameter("batch_size", "Most requests in a batch.", "integer", default(1)),
        Parameter(
            "max_batch_delay", "Longest wait for a batch to fill, in ms.", "integer", default(100)
        ),
        Parameter("job_queue_size", "Requests that may wait.", "integer"),
        Parameter(
            "response_timeout",
            "Time for a batch; minutes in a query, seconds in a JSON body.",
            "integer",
        ),
        Parameter("load_timeout", "Time for a load, in seconds.", "number"),
        Parameter(
            "request_timeout", "Time for a request in queue and worker, in seconds.", "number"
        ),
        Parameter("max_queue_time_ms", "Longest wait for a worker, in ms.", "integer"),
        Parameter(
            "batch_policy",
            "How batches form. Without it: what the model's code turns out to take.",
            enum=("adaptive", "fixed"),
        ),
        Parameter(
            "retry", "Run a request once more when its worker ends.", "boolean", default(True)
        ),
    )


def _json_body(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The same parameters as members of a JSON object, which counts in place of the query."""
    members = {
        parameter.name: {**parameter.schema(), "description": parameter.text}
        for parameter in parameters
    }
    members["serving_spec"] = {
        **OBJECT,
        "description": "A serving function of MLRun's, or its serving spec, in place of an archive.",
    }
    for name in ("parameters", "tracking", "class_args", "function_parameters", "gpu_ids"):
        # As JSON, or as the text that a query has.
        members[name] = {"description": members[name]["description"]}
    return {
        "description": "The parameters as JSON, in place of the query.",
        "required": False,
        "content": {JSON: {"schema": object_of([], **members)}},
    }


_REGISTRATION: Final = _registration_parameters()

REGISTER: Final = Operation(
    "post",
    "registerModel",
    "Registers a model.",
    {
        **statuses("Registered", "202", "210"),
        **errors("400", "404", "409", "500"),
    },
    _REGISTRATION,
    _json_body(_REGISTRATION),
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
        Parameter("min_worker", "Fewest workers.", "integer", 1),
        Parameter("max_worker", "Most workers.", "integer", 1),
        Parameter("synchronous", _WAIT, "boolean", False),
        Parameter("model_version", "Version of the model, in place of the path's."),
        *_changeable_parameters(is_change=True),
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
METRICS: Final = Operation(
    "get",
    "metrics",
    "Metrics of the server, models and workers.",
    {"200": answer("Prometheus text.", TEXT, "text/plain")},
)


def of_version(operation: Operation) -> Operation:
    """The same of one version."""
    return replace(operation, id=f"{operation.id}OfVersion")
