"""Logs, metrics, and the start of the server."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import (
    BOOLEAN,
    NAMES,
    NUMBER,
    PLUGIN_FOLDER,
    POSITIVE,
    SHARE,
    TEXT,
    URL,
    choice,
    option,
)

_LOGS = "Logs and metrics"
_TRACES = "Traces"
_SERVER = "Server"


@dataclass
class ServerOptions:
    """Logs, metrics, and the start of the server."""

    metric_time_interval: int = option(
        POSITIVE,
        _LOGS,
        "Time between two measurements of host and workers.",
        "60",
        unit="seconds",
        has_variable=False,
    )
    disable_system_metrics: bool = option(
        BOOLEAN,
        _LOGS,
        "No metrics of the host, neither in the log nor for Prometheus.",
        "false",
        is_own=True,
    )
    log_to_stdout: bool = option(
        BOOLEAN, _LOGS, "All log lines go to standard output, too.", "true", is_own=True
    )
    access_log: bool = option(BOOLEAN, _LOGS, "A line for each response.", "true", is_own=True)
    metrics: bool = option(BOOLEAN, _LOGS, "Lines in the two metrics files.", "true", is_own=True)
    log_layout: str = option(
        choice("text", "json", "qlog"),
        _LOGS,
        "The form of the lines of all logs: MMS's text, an object of JSON each, or text with the two metrics files as "
        "MMS's query log has them.",
        "text",
        is_own=True,
    )
    log_writer: str = option(
        choice("process", "thread"),
        _LOGS,
        "What writes log files and standard output: a process of its own, which costs 11 MB and takes nothing from the "
        "event loop, or threads of the server.",
        "process",
        is_own=True,
    )
    tracking: str | None = option(
        TEXT,
        _LOGS,
        "Where records of requests go, for all models that do not say otherwise: a file, `http(s)://`, `kafka://`, or "
        'a JSON object `{"path", "sample", ...}`. `{model}` in a path is the model\'s name.',
        is_own=True,
    )
    otlp_endpoint: str | None = option(
        URL,
        _TRACES,
        "Where traces of requests go, such as `http://localhost:4318`: a collector that takes OTLP. Without a path, "
        "`/v1/traces` is added for HTTP. Without this setting no traces are made.",
        is_own=True,
    )
    otlp_protocol: str = option(
        choice("http", "grpc"),
        _TRACES,
        "What the collector speaks: OTLP over HTTP, mostly on port 4318, or over gRPC, mostly on 4317.",
        "http",
        is_own=True,
    )
    trace_sample_ratio: float = option(
        SHARE,
        _TRACES,
        "Which share of the requests is traced, from 0 to 1, of those without a valid `traceparent`. With one, the "
        "request is traced if the client traces it, unless trace_parent says otherwise.",
        "1",
        is_own=True,
    )
    trace_parent: str = option(
        choice("obey", "ignore", "limit"),
        _TRACES,
        "What a client's `traceparent` decides. `obey`: whether its request is traced, as the standard has it. "
        "`limit`: its trace goes on, but of the requests that clients trace only the share `trace_sample_ratio` is "
        "traced here. `ignore`: nothing, each request begins a trace of its own. For listeners that strangers reach.",
        "obey",
        is_own=True,
    )
    trace_access_log: bool = option(
        BOOLEAN,
        _TRACES,
        "Lines of the access log end with `trace_id=... span_id=...`, of requests that are traced.",
        "false",
        is_own=True,
    )
    trace_queue_size: int = option(
        POSITIVE,
        _TRACES,
        "How many spans wait to be sent at most. Spans that find no room are dropped and counted.",
        "8192",
        is_own=True,
    )
    trace_service_name: str = option(
        TEXT,
        _TRACES,
        "The `service.name` of the traces.",
        "marserve",
        is_own=True,
    )
    sample_requests: bool = option(
        BOOLEAN,
        _LOGS,
        "Who may manage models may look at live requests and their answers, with `mms sample`.",
        "true",
        is_own=True,
    )
    sample_redact: tuple[str, ...] | None = option(
        NAMES,
        _LOGS,
        "What is hidden then, besides credentials in headers: headers, parameters, and members of JSON with these "
        "names.",
        "password,passwd,secret,token,access_token,refresh_token,api_key,apikey",
        is_own=True,
    )
    trust_request_id: bool = option(
        BOOLEAN,
        _SERVER,
        "A client's `x-request-id` is the request's id, in its answer, in logs and for the handler, where it has 1 "
        "to 36 letters, digits and `-._~:@/+=`; else, and without this, the server makes one. For servers behind a "
        "gateway that sets another one for each request.",
        "false",
        is_own=True,
    )
    strict_parameters: bool = option(
        BOOLEAN,
        _SERVER,
        "A management call with an unknown parameter is answered with 400. Without this setting the answer has a "
        "`Warning` header, and the log a line, with the nearest known name.",
        "false",
        is_own=True,
    )
    strict_ping: bool = option(
        BOOLEAN,
        _SERVER,
        "`/ping` answers 503 unless healthy, and counts only workers that have loaded.",
        "false",
        is_own=True,
    )
    start_timeout_s: float = option(
        NUMBER,
        _SERVER,
        "Time for a server in the background to come up, downloads of its models included; after it the command "
        "stops the server and fails. 0: no limit.",
        "0",
        unit="seconds",
        is_own=True,
    )
    startup_timeout: float = option(
        NUMBER,
        _SERVER,
        "How long a start waits for the models that it named: `--start` returns when each of them "
        "has loaded or failed, or when this time is over. 0: no limit.",
        "300",
        unit="seconds",
        is_own=True,
    )
    strict_start: bool = option(
        BOOLEAN,
        _SERVER,
        "A start fails with exit code 1 unless every model that it named has loaded within `startup_timeout`.",
        "false",
        is_own=True,
    )
    plugins_path: str | None = option(
        PLUGIN_FOLDER,
        _SERVER,
        "A folder of endpoint plugins written in Python.",
        has_variable=False,
    )
    enable_envvars_config: bool = option(
        BOOLEAN,
        _SERVER,
        "Let MMS_<NAME> variables override this file.",
        "false",
        has_variable=False,
    )
    debug: bool = option(BOOLEAN, _SERVER, "One worker, and no response timeout.", "false")
