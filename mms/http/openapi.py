"""The API descriptions: OpenAPI 3.0.1 documents, of MMS's structure.

Defaults are texts, also of integers and booleans, as in MMS's documents.
"""

from __future__ import annotations

from typing import Any

_JSON = "application/json"
_STRING = {"type": "string"}
_BINARY = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


def _object(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _described(type_: str, description: str) -> dict[str, Any]:
    return {"type": type_, "description": description}


_ERROR = _object(
    ["code", "type", "message"],
    {
        "code": _described("integer", "HTTP status."),
        "type": _described("string", "Kind of the error."),
        "message": _described("string", "What is wrong."),
    },
)
_STATUS = _object(["status"], {"status": _described("string", "What was done.")})
_DOCUMENT = _object(
    ["openapi", "info", "paths"],
    {"openapi": _STRING, "info": {"type": "object"}, "paths": {"type": "object"}},
)


def _answer(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


_ERRORS = {
    "400": "Bad request",
    "404": "Model not found",
    "408": "Not done in time",
    "409": "Name and version are taken",
    "500": "Internal Server Error",
    "503": "No worker can take the request",
}


def _errors(*codes: str) -> dict[str, Any]:
    return {code: _answer(_ERRORS[code], _ERROR) for code in codes}


def _statuses(done: str, *codes: str) -> dict[str, Any]:
    texts = {"200": done, "202": "Accepted", "210": "Partial Success"}
    return {code: _answer(texts[code], _STATUS) for code in codes}


def _parameter(
    where: str,
    name: str,
    description: str,
    type_: str = "string",
    default: str | None = None,
    **schema: Any,
) -> dict[str, Any]:
    full: dict[str, Any] = {"type": type_, **schema}
    if default is not None:
        full["default"] = default
    return {
        "in": where,
        "name": name,
        "description": description,
        "required": where == "path",
        "schema": full,
    }


def _operation(
    id_: str,
    parameters: list[dict[str, Any]],
    responses: dict[str, Any],
    *,
    description: str | None = None,
    body: dict[str, Any] | None = None,
    is_deprecated: bool = False,
) -> dict[str, Any]:
    operation: dict[str, Any] = {}
    if description is not None:
        operation["description"] = description
    operation["operationId"] = id_
    operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = body
    operation["responses"] = responses
    if is_deprecated:
        operation["deprecated"] = True
    return operation


_MODEL = _parameter("path", "model_name", "Name of the model.")
_VERSION = _parameter("path", "model_version", "Version of the model.")
_INPUT = {
    "description": "The input, in the form that the model takes.",
    "content": _BINARY,
    "required": True,
}
_OUTPUT = {"200": {"description": "The output, in the model's own form.", "content": _BINARY}}


def _description_of_api(*, is_deprecated: bool = False) -> dict[str, Any]:
    responses = {"200": _answer("This document", _DOCUMENT), **_errors("500")}
    return _operation("apiDescription", [], responses, is_deprecated=is_deprecated)


def _predict(
    id_: str, parameters: list[dict[str, Any]], *, is_deprecated: bool = False
) -> dict[str, Any]:
    return _operation(
        id_,
        parameters,
        {**_OUTPUT, **_errors("404", "500", "503")},
        description="A prediction by the model.",
        body=_INPUT,
        is_deprecated=is_deprecated,
    )


def _invocations() -> dict[str, Any]:
    # MMS describes the answer by the form of the call; compared documents have it so.
    form = {
        "required": ["data"],
        "properties": {
            "model_name": _described("string", "Name of the model."),
            "data": {"type": "string", "format": "binary", "description": "The input."},
        },
    }
    return _operation(
        "invocations",
        [_parameter("query", "model_name", "Name of the model.")],
        {
            "200": {
                "description": "The output, in the model's own form.",
                "content": {"*/*": {"schema": form}},
            },
            **_errors("400", "404", "500", "503"),
        },
        description="A prediction by any model.",
        body={"content": {"multipart/form-data": {"schema": form}}, "required": True},
    )


def _inference_paths() -> dict[str, Any]:
    per_model = {"200": _answer("OK", {"type": "object"})}
    ping = _object(["status"], {"status": _described("string", "Health of the server.")})
    return {
        "/": {"options": _description_of_api()},
        "/{model_name}/predict": {"post": _predict("predict", [_MODEL], is_deprecated=True)},
        "/ping": {
            "get": _operation("ping", [], {"200": _answer("Health", ping), **_errors("500")})
        },
        "/predictions/{model_name}": {
            "post": _predict("predictions", [_MODEL]),
            "options": _operation(
                "predictionsApi", [_MODEL], per_model, description="The API of one model."
            ),
        },
        "/predictions/{model_name}/{model_version}": {
            "post": _predict("versionedPredictions", [_MODEL, _VERSION])
        },
        "/api-description": {"get": _description_of_api(is_deprecated=True)},
        "/invocations": {"post": _invocations()},
        "/models/{model_name}/invoke": {"post": _invocations()},
    }


def _list_operation() -> dict[str, Any]:
    entry = _object(
        ["modelName", "modelUrl"],
        {
            "modelName": _described("string", "Name of the model."),
            "modelUrl": _described("string", "Where its archive came from."),
        },
    )
    page = _object(
        ["models"],
        {
            "nextPageToken": _described("string", "The token of the next page, if there is one."),
            "models": {"type": "array", "items": entry, "description": "Registered models."},
        },
    )
    return _operation(
        "listModels",
        [
            _parameter("query", "limit", "Models of a page, at most 100.", "integer", "100"),
            _parameter("query", "next_page_token", "The token of the page before."),
            _parameter("query", "model_name_pattern", "Has no effect."),
        ],
        {"200": _answer("OK", page), **_errors("500")},
        description="Lists the registered models.",
    )


def _drift_operation() -> dict[str, Any]:
    return _operation(
        "drift",
        [
            _MODEL,
            _parameter("query", "last", "How many of the newest requests count.", "integer"),
        ],
        {**_statuses("Drift of each feature and of the model", "200"), **_errors("400", "404")},
        description="How far the requests of a tracked model lie from what it was trained on.",
    )


def _component_parameters() -> list[dict[str, Any]]:
    return [
        _parameter(
            "query",
            "interface",
            "Contract that the code is written to, in place of the manifest's.",
            enum=["auto", "seldon", "mms", "mlrun"],
        ),
        _parameter("query", "service_type", "What a Seldon component does in a graph."),
        _parameter(
            "query",
            "parameters",
            'Arguments of the constructor of a component or model server: a JSON list of {"name", "value", "type"}.',
        ),
        _parameter("query", "model_uri", "Where the model's files are fetched from."),
        _parameter(
            "query",
            "sha256",
            "SHA-256 of the archive's file, or of model_uri's where there is no archive, in hexadecimal.",
        ),
        _parameter(
            "query",
            "prepackaged",
            "Server that loads the files of model_uri, or of the archive, without a handler.",
        ),
        _parameter(
            "query",
            "tracking",
            "Where records of requests go: a file's path, http(s)://, kafka://, memory://, or a JSON object with path.",
        ),
        _parameter("query", "predictor", "Which predictor of a graph's document is served."),
        _parameter(
            "query",
            "row_batching",
            "Join the rows of a batch's numeric requests into one call of a Seldon component.",
            "boolean",
            "false",
        ),
        _parameter(
            "query",
            "validate_inputs",
            "Check requests to a Seldon component against the inputs that its metadata declare.",
            "boolean",
            "false",
        ),
        _parameter(
            "query",
            "class_args",
            "More arguments of a model server of MLRun, of any type: a JSON object.",
        ),
        _parameter(
            "query", "function_parameters", "Defaults for what get_param looks up: a JSON object."
        ),
        _parameter("query", "model_path", "What a model server of MLRun gets as its model_path."),
        _parameter(
            "query",
            "load_mode",
            "Load an MLRun model server before its first requests (sync) or beside them (async).",
            default="sync",
            enum=["sync", "async"],
        ),
        _parameter(
            "query",
            "row_wise",
            "Join the inputs of a batch's requests into one call of a model server of MLRun.",
            "boolean",
            "false",
        ),
        _parameter(
            "query", "input_path", "Where the request is in a body, as names joined by dots."
        ),
        _parameter(
            "query", "result_path", "Where the answer is put in the body, as names joined by dots."
        ),
        _parameter(
            "query",
            "nan_policy",
            "How an MLRun model server answers NaN; without it as the setting says.",
            enum=["null", "keep", "error"],
        ),
        _parameter(
            "query",
            "strict_status",
            "Whether an MLRun model server answers more exact error statuses; without it as the setting says.",
            "boolean",
        ),
    ]


def _register_operation() -> dict[str, Any]:
    def query(*of: Any, **more: Any) -> dict[str, Any]:
        return _parameter("query", *of, **more)

    url = query("model_url", "Where the archive is; the parameter that is read is `url`.")
    url["required"] = True
    return _operation(
        "registerModel",
        [
            url,
            query("model_name", "Name of the model, in place of the manifest's."),
            query("handler", "Handler, in place of the manifest's."),
            query(
                "runtime",
                "Runtime, in place of the manifest's.",
                enum=["PYTHON", "PYTHON2", "PYTHON3"],
            ),
            query("batch_size", "Most requests in a batch.", "integer", "1"),
            query("max_batch_delay", "Longest wait for a batch to fill, in ms.", "integer", "100"),
            query(
                "response_timeout",
                "Time for a batch; minutes here, seconds in a JSON body.",
                "integer",
                "2",
            ),
            query("load_timeout", "Time for a load, in seconds.", "number"),
            query(
                "request_timeout", "Time for a request in queue and worker, in seconds.", "number"
            ),
            query("max_queue_time_ms", "Longest wait for a worker, in ms.", "integer"),
            query(
                "batch_policy",
                "How batches form. Without it: what the model's code turns out to take.",
                enum=["adaptive", "fixed"],
            ),
            query("retry", "Run a request once more when its worker ends.", "boolean", "true"),
            query(
                "install_requirements",
                "Where the packages of the archive's requirements.txt are installed.",
                enum=["off", "folder", "venv"],
            ),
            query("initial_workers", "Workers to start.", "integer", "0"),
            query("synchronous", "Wait for the workers.", "boolean", "false"),
            query("preload_model", "Load once and fork the workers.", "boolean", "false"),
            *_component_parameters(),
        ],
        {
            **_statuses("Registered", "200", "202", "210"),
            **_errors("400", "404", "409", "500"),
        },
        description="Registers a model.",
    )


def _describe_operation() -> dict[str, Any]:
    worker = _object(
        ["id", "startTime", "status"],
        {
            "id": _described("string", "Id of the worker."),
            "startTime": _described("string", "When it started, UTC."),
            "gpu": _described("boolean", "Whether it has a GPU."),
            "status": {
                "type": "string",
                "description": "Where it stands.",
                "enum": ["READY", "LOADING", "UNLOADING"],
            },
        },
    )
    metrics = _object(
        ["rejectedRequests", "waitingQueueSize", "requests"],
        {
            "rejectedRequests": _described("integer", "Requests refused."),
            "waitingQueueSize": _described("integer", "Requests that wait."),
            "requests": _described("integer", "Requests served."),
        },
    )
    model = _object(
        [
            "modelName",
            "modelVersion",
            "modelUrl",
            "minWorkers",
            "maxWorkers",
            "status",
            "workers",
            "metrics",
        ],
        {
            "modelName": _described("string", "Name of the model."),
            "modelVersion": _described("string", "Version of the model."),
            "modelUrl": _described("string", "Where its archive came from."),
            "minWorkers": _described("integer", "Fewest workers."),
            "maxWorkers": _described("integer", "Most workers."),
            "batchSize": _described("integer", "Most requests in a batch."),
            "maxBatchDelay": _described("integer", "Longest wait for a batch to fill, in ms."),
            "status": _described("string", "Health of the model."),
            "workers": {"type": "array", "items": worker, "description": "Its workers."},
            "metrics": metrics,
        },
    )
    return _operation(
        "describeModel",
        [_MODEL],
        {"200": _answer("OK", model), **_errors("500")},
        description="Describes a model.",
    )


def _scale_operation() -> dict[str, Any]:
    return _operation(
        "setAutoScale",
        [
            _MODEL,
            _parameter("query", "min_worker", "Fewest workers.", "integer", "1"),
            _parameter("query", "batch_size", "Changes the most requests in a batch.", "integer"),
            _parameter(
                "query",
                "max_batch_delay",
                "Changes the longest wait for a batch to fill, in ms.",
                "integer",
            ),
            _parameter("query", "batch_policy", "Changes how batches form."),
            _parameter("query", "retry", "Changes whether requests are run again.", "boolean"),
            _parameter(
                "query", "response_timeout", "Changes the time for a batch, in minutes.", "integer"
            ),
            _parameter(
                "query", "load_timeout", "Changes the time for a load, in seconds.", "number"
            ),
            _parameter("query", "request_timeout", "Changes it, in seconds.", "number"),
            _parameter("query", "max_queue_time_ms", "Changes it, in ms.", "integer"),
            _parameter("query", "max_worker", "Most workers.", "integer", "1"),
            _parameter("query", "number_gpu", "Has no effect.", "integer", "0"),
            _parameter("query", "synchronous", "Wait for the workers.", "boolean", "false"),
            _parameter("query", "timeout", "Has no effect.", "integer", "-1"),
        ],
        {**_statuses("Scaled", "200", "202", "210"), **_errors("400", "404", "500")},
        description="Sets how many workers a model has.",
    )


def _unregister_operation() -> dict[str, Any]:
    return _operation(
        "unregisterModel",
        [
            _MODEL,
            _parameter("query", "synchronous", "Has no effect.", "boolean", "false"),
            _parameter("query", "timeout", "Has no effect.", "integer", "-1"),
        ],
        {**_statuses("Unregistered", "200", "202"), **_errors("404", "408", "500")},
        description="Unregisters a model, after answering what it has accepted.",
    )


def _of_version(operation: dict[str, Any], id_: str) -> dict[str, Any]:
    model, *others = operation["parameters"]
    return operation | {"operationId": id_, "parameters": [model, _VERSION, *others]}


def _management_paths() -> dict[str, Any]:
    exposition = {"text/plain": {"schema": _STRING}}
    return {
        "/": {"options": _description_of_api()},
        "/models": {"get": _list_operation(), "post": _register_operation()},
        "/models/{model_name}": {
            "get": _describe_operation(),
            "put": _scale_operation(),
            "delete": _unregister_operation(),
        },
        "/models/{model_name}/drift": {"get": _drift_operation()},
        "/models/{model_name}/{model_version}/drift": {
            "get": _of_version(_drift_operation(), "driftOfVersion")
        },
        "/models/{model_name}/{model_version}": {
            "get": _of_version(_describe_operation(), "describeModelVersion"),
            "put": _of_version(_scale_operation(), "setAutoScaleOfVersion"),
            "delete": _of_version(_unregister_operation(), "unregisterModelVersion"),
        },
        "/models/{model_name}/{model_version}/set-default": {
            "put": _operation(
                "setDefault",
                [_MODEL, _VERSION],
                {**_statuses("Default set", "200"), **_errors("404", "500")},
                description="Makes a version the default of its model.",
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                [],
                {"200": {"description": "Prometheus text", "content": exposition}},
                description="Metrics of the server, models and workers.",
            )
        },
    }


def of_server(*, has_inference: bool, has_management: bool) -> dict[str, Any]:
    """The document of a listener."""
    paths: dict[str, Any] = {}
    if has_inference:
        paths |= _inference_paths()
    if has_management:
        paths |= {k: v for k, v in _management_paths().items() if k not in paths}
    return {
        "openapi": "3.0.1",
        "info": {
            "title": "Model Server APIs",
            "description": "Serves model archives over HTTP",
            "version": "1.0.0",
        },
        "paths": paths,
    }


def of_model(name: str) -> dict[str, Any]:
    """The document of one model; its path is written as MMS writes it."""
    operation = _operation(
        name,
        [],
        {"200": {"description": "OK"}, **_errors("500")},
        description=f"A predict entry point for model: {name}.",
    )
    return {
        "openapi": "3.0.1",
        "info": {"title": f"RESTful API for: {name}", "version": "1.0.0"},
        "paths": {f"/prediction/{name}": {"post": operation}},
    }
