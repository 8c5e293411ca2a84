"""All options, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from mms.interfaces import INTERFACES, part
from mms.limits.networks import Networks
from mms.settings.address import Address
from mms.settings.confinement import WorkerUser
from mms.settings.option import (
    ANY_INTEGER,
    BOOLEAN,
    COUNT,
    GRPC_ADDRESS,
    HANDLER,
    HEADER_WORDS,
    INFERENCE_ADDRESS,
    MANAGEMENT_ADDRESS,
    MODEL_STORE,
    MODELS,
    NAMES,
    NETWORKS,
    NUMBER,
    ORIGIN,
    PLUGIN_FOLDER,
    POSITIVE,
    POSITIVE_NUMBER,
    REGEX,
    REGEXES,
    RLIMITS,
    SWITCH,
    TEXT,
    USER,
    WRITTEN_FILE,
    WRITTEN_FOLDER,
    Option,
    choice,
    choices,
    option,
)

_LISTENERS = "Listeners"
_MODELS = "Models"
_WORKERS = "Workers"
_LIMITS = "Limits"
_TLS = "TLS"
_SECURITY = "Who may do what"
_CORS = "CORS"
_LOGS = "Logs and metrics"
_SERVER = "Server"
_JVM = "Accepted without effect"


@dataclass(slots=True)
class OptionValues:
    """The values of all options, under their names in a properties file."""

    inference_address: Address = option(
        INFERENCE_ADDRESS, _LISTENERS, "Where the inference API listens.", "http://127.0.0.1:8080"
    )
    management_address: Address = option(
        MANAGEMENT_ADDRESS,
        _LISTENERS,
        "Where the management API listens; the same address as the inference API's makes one listener for both.",
        "http://127.0.0.1:8081",
    )
    grpc_address: Address | None = option(
        GRPC_ADDRESS,
        _LISTENERS,
        "Where gRPC listens; needs the extra `grpc`. Without it there is no gRPC.",
        is_own=True,
    )
    lane: bool = option(
        SWITCH,
        _LISTENERS,
        "The fast path for predictions; it changes only the speed.",
        "on",
        is_own=True,
    )
    keep_alive_timeout_s: float = option(
        NUMBER,
        _LISTENERS,
        "A connection without a request is closed after this time; 0: after each answer.",
        "75",
        unit="seconds",
        is_own=True,
    )
    head_timeout_s: float = option(
        POSITIVE_NUMBER,
        _LISTENERS,
        "Time for a request's line and headers, from their first byte.",
        "30",
        unit="seconds",
        is_own=True,
    )
    body_timeout_s: float = option(
        POSITIVE_NUMBER,
        _LISTENERS,
        "Time for a request's body, besides a second for each 16 KiB that have come.",
        "60",
        unit="seconds",
        is_own=True,
    )
    max_connections: int = option(
        POSITIVE,
        _LISTENERS,
        "Open connections of all listeners; more are closed at once.",
        "20000",
        is_own=True,
    )
    max_connection_memory: int = option(
        POSITIVE,
        _LISTENERS,
        "What a connection may hold in memory, of requests and of answers that its client has not taken, before no "
        "more of it is read. One request with its answer may always be larger.",
        str(32 * 2**20),
        unit="bytes",
        is_own=True,
    )
    max_buffered_memory: int = option(
        POSITIVE,
        _LISTENERS,
        "What all connections may hold together. Beyond it the server reads no more of what they have begun until some "
        "of it is free, but for one of them at a time.",
        str(512 * 2**20),
        unit="bytes",
        is_own=True,
    )
    model_store: str | None = option(
        MODEL_STORE,
        _MODELS,
        "The folder of archives. Without it only urls (http, https, s3, gs) can be registered.",
    )
    load_models: str | None = option(
        TEXT,
        _MODELS,
        "Models to load at start: `[name=]location` with commas between them, or ALL. A location is an archive of the "
        "model store or a url (http, https, s3, gs).",
    )
    models: dict[str, dict[str, dict[str, Any]]] | None = option(
        MODELS,
        _MODELS,
        'How single models run: `{"name": {"version": {"minWorkers": 1, "maxWorkers": 4, '
        '"batchSize": 8, "maxBatchDelay": 50, "responseTimeout": 120}}}`. Weaker than a `model-config.yaml` in the '
        "archive and than a registration's parameters.",
        is_own=True,
    )
    default_service_handler: str | None = option(
        HANDLER, _MODELS, "The handler where neither the registration nor the manifest names one."
    )
    default_model: str | None = option(
        TEXT,
        _MODELS,
        "The model that is served at the root, of those whose interface has routes there. Without it: the only one of "
        "its interface, if there is just one.",
        is_own=True,
    )
    preload_model: bool = option(
        BOOLEAN, _MODELS, "Load each model once and fork its workers.", "false"
    )
    initialize_errors: str | None = option(
        choice("fail", "ignore"),
        _MODELS,
        "An exception in a class's `initialize` fails the load, or is ignored and tried again at requests, as MMS "
        "does. Without a value: ignore when started for SageMaker, else fail.",
        is_own=True,
    )
    allowed_urls: tuple[str, ...] | None = option(
        REGEXES,
        _MODELS,
        "Urls outside the model store that clients may name, for models, nodes of graphs and records; one must match "
        "the whole url. Without it: all where management listens on loopback or a Unix socket, else none.",
        is_own=True,
    )
    allowed_private_addresses: Networks | None = option(
        NETWORKS,
        _MODELS,
        "Addresses that such urls may lead to though they are not public: networks, and the words `loopback`, "
        "`private`, `link-local`, `any` and `none`. Without it: loopback where management listens on loopback or a "
        "Unix socket, else none.",
        is_own=True,
    )
    max_download_size: int = option(
        POSITIVE, _MODELS, "Size of one download.", str(64 * 2**30), unit="bytes", is_own=True
    )
    require_signature: bool = option(
        BOOLEAN,
        _MODELS,
        "Serve only archives that one of `trusted_keys` has signed; see docs/archive-format.md.",
        "false",
        is_own=True,
    )
    trusted_keys: str | None = option(
        TEXT,
        _MODELS,
        "Public keys of those who may sign: PEM files, and folders with files `.pub` or `.pem`, with commas between "
        "them. They are read again for each model.",
        is_own=True,
    )
    max_archive_size: int = option(
        POSITIVE,
        _MODELS,
        "Unpacked size of an archive.",
        str(128 * 2**30),
        unit="bytes",
        is_own=True,
    )
    max_archive_ratio: float = option(
        NUMBER,
        _MODELS,
        "Unpacked size of an archive for each byte of its file, where it unpacks to more than 256 MiB; 0: no limit.",
        "250",
        is_own=True,
    )
    max_archive_entries: int = option(
        POSITIVE,
        _MODELS,
        "Files and folders of an archive.",
        "100000",
        is_own=True,
    )
    download_timeout_s: float = option(
        NUMBER,
        _MODELS,
        "Time for one download, redirects included; 0: no limit.",
        "3600",
        unit="seconds",
        is_own=True,
    )
    model_cache: str | None = option(
        WRITTEN_FOLDER,
        _MODELS,
        "A folder that keeps what each `model_uri` was fetched to over restarts. Without it the files go with the "
        "last model that uses them.",
        is_own=True,
    )
    state_file: str | None = option(
        WRITTEN_FILE,
        _MODELS,
        "A file that keeps what is registered, with its workers and parameters, for the next start; its folder is made "
        "where it is missing. Without it a restart loads only `load_models`.",
        is_own=True,
    )
    default_workers_per_model: int = option(
        COUNT,
        _WORKERS,
        "Workers of a model. 0 means: a model loaded at start gets as many as there are GPUs, or else CPUs that "
        "the server may use (affinity, cgroup quota); other models get none.",
        "0",
    )
    max_workers_per_model: int = option(
        POSITIVE,
        _WORKERS,
        "The most workers that a registration or scaling may ask for. Each worker is a process.",
        "1000",
        is_own=True,
    )
    fork_server: bool = option(
        SWITCH,
        _WORKERS,
        "Workers are forked from a process that has imported what they need, in milliseconds and with shared memory. "
        "Off, and on other systems than Linux, each one is started by itself.",
        "on",
        is_own=True,
    )
    preload_modules: tuple[str, ...] | None = option(
        NAMES,
        _WORKERS,
        "Modules that fork servers import for all workers, for example numpy,sklearn.linear_model. What two models of "
        "a kind import is learned besides.",
        is_own=True,
    )
    default_response_timeout: int = option(
        COUNT,
        _WORKERS,
        "Time for a load and for one batch, in minutes as in MMS.",
        "120",
        unit="minutes",
    )
    default_response_timeout_seconds: int = option(
        ANY_INTEGER,
        _WORKERS,
        "The same in seconds. If it is 0 or more, it replaces the other.",
        "-1",
        unit="seconds",
    )
    load_timeout_s: float | None = option(
        NUMBER,
        _WORKERS,
        "Time for a load, imports included; 0: no limit. Without it: the same as for a batch.",
        unit="seconds",
        is_own=True,
    )
    unregister_model_timeout: int = option(
        COUNT,
        _WORKERS,
        "Time for a model to answer accepted requests when it is unregistered.",
        "120",
        unit="seconds",
    )
    worker_start_timeout_s: float = option(
        POSITIVE_NUMBER,
        _WORKERS,
        "Time for a worker's process to come up, before it loads its model.",
        "60",
        unit="seconds",
        is_own=True,
    )
    worker_heartbeat_timeout_s: float = option(
        NUMBER,
        _WORKERS,
        "A worker that gives no sign of life for this time, and neither computes nor reads from a disk, is "
        "killed and replaced. 0: no worker is.",
        "30",
        unit="seconds",
        is_own=True,
    )
    max_requests_per_worker: int = option(
        COUNT,
        _WORKERS,
        "A worker that has answered this many requests is replaced, for handlers that leak memory. The new one serves "
        "before the old one ends. 0: no worker is replaced.",
        "0",
        is_own=True,
    )
    worker_memory_limit: int = option(
        COUNT,
        _WORKERS,
        "A worker that holds more memory (its resident set) is replaced in the same way. 0: no limit.",
        "0",
        unit="bytes",
        is_own=True,
    )
    drain_timeout_s: float = option(
        NUMBER,
        _WORKERS,
        "Time to answer accepted requests when the server stops.",
        "30",
        unit="seconds",
        is_own=True,
    )
    batch_policy: str | None = option(
        choice("adaptive", "fixed"),
        _WORKERS,
        "How batches form where a registration does not say: adaptive, or by MMS's fixed delay. Without it: adaptive, "
        "but fixed for models whose code turns out to need full batches.",
        is_own=True,
    )
    install_requirements: str = option(
        choice("off", "folder", "venv"),
        _WORKERS,
        "Whether the packages of an archive's `requirements.txt` are installed before its workers start: into a folder "
        "that they import from, or into a venv that they run in. A registration may say otherwise.",
        "off",
        is_own=True,
    )
    install_py_dep_per_model: bool = option(
        BOOLEAN,
        _WORKERS,
        "The same as `install_requirements=folder`.",
        "false",
        is_own=True,
    )
    allowed_requirements: bool = option(
        BOOLEAN,
        _WORKERS,
        "Whether packages may be installed at all. If not, registrations that ask for it are refused.",
        "true",
        is_own=True,
    )
    requirements_timeout_s: float = option(
        POSITIVE_NUMBER,
        _WORKERS,
        "Time to install the packages of a model.",
        "900",
        unit="seconds",
        is_own=True,
    )
    number_of_gpu: int | None = option(
        COUNT, _WORKERS, "GPUs to use at most. Without it: all that nvidia-smi lists."
    )
    decode_input_request: bool = option(
        BOOLEAN,
        _WORKERS,
        "Whether workers parse JSON and decode text. If not, handlers get bytes.",
        "true",
    )
    default_response_content_type: str = option(
        choice("none", "json"),
        _WORKERS,
        "json: results that are dicts or lists get `content-type: application/json` where the handler sets none.",
        "none",
        is_own=True,
    )
    debug_errors: bool = option(
        BOOLEAN,
        _WORKERS,
        "Answers of a handler, component or model that failed carry the exception with its file and line; behind "
        "MMS's text also what a handler returned and what is right. For development: clients see parts of the code.",
        "false",
        is_own=True,
    )
    blacklist_env_vars: str = option(
        REGEX, _WORKERS, "Variables whose whole name matches are hidden from workers.", ""
    )
    worker_env_allow: str = option(
        REGEX,
        _WORKERS,
        "Without it workers get all variables of the server. With it they get only those whose whole name matches, and "
        "what programs need to run: PATH, LD_LIBRARY_PATH, PYTHONPATH, HOME, USER, LOGNAME, LANG, LC_*, TZ, "
        "TMPDIR, TEMP.",
        "",
        is_own=True,
    )
    worker_user: WorkerUser | None = option(
        USER,
        _WORKERS,
        "The user that workers run as, `name`, `name:group` or numbers; for a server that root starts. Models have to "
        "be readable for it.",
        is_own=True,
    )
    worker_rlimits: tuple[tuple[str, int], ...] = option(
        RLIMITS,
        _WORKERS,
        "Limits of each worker's process, which nothing in it can raise: as (address space), core, cpu, data, fsize, "
        "memlock, nofile, nproc, stack, as `as=4G,nofile=1024`. K, M and G are powers of 1024; cpu is in seconds; "
        "nproc counts all processes and threads of the user.",
        "",
        is_own=True,
    )
    no_new_privs: bool = option(
        BOOLEAN,
        _WORKERS,
        "Programs that the server and its workers start gain no rights, by set-user-id bits for instance (Linux).",
        "true",
        is_own=True,
    )
    job_queue_size: int = option(POSITIVE, _LIMITS, "Requests that may wait for each model.", "100")
    request_timeout_s: float = option(
        NUMBER,
        _LIMITS,
        "Time for a request in queue and worker where its model's registration names none; 0: no limit.",
        "0",
        unit="seconds",
        is_own=True,
    )
    max_queue_time_ms: int = option(
        COUNT,
        _LIMITS,
        "Requests that would wait longer than this for a worker, or have done so, get 503 at once. 0: no limit.",
        "0",
        unit="milliseconds",
        is_own=True,
    )
    max_request_size: int = option(
        COUNT, _LIMITS, "Size of a request's body.", "6553500", unit="bytes"
    )
    grpc_max_request_size: int = option(
        POSITIVE,
        _LIMITS,
        "Size of a message that a gRPC client sends; most clients take no answer over 4 MiB by default.",
        str(4 * 2**20),
        unit="bytes",
        is_own=True,
    )
    max_request_ratio: float = option(
        NUMBER,
        _LIMITS,
        "How many bytes a compressed body may have after decompression for each byte that was sent, if it has more "
        "than 1 MiB then; 0: no limit. max_request_size holds as well.",
        "100",
        is_own=True,
    )
    max_response_size: int = option(
        POSITIVE, _LIMITS, "Size of one answer of a handler.", "6553500", unit="bytes"
    )
    keystore: str | None = option(TEXT, _TLS, "A PKCS12 file with key and certificate.")
    keystore_pass: str = option(TEXT, _TLS, "Its password.", "changeit")
    keystore_type: str = option(
        TEXT, _TLS, "The type of the keystore; only PKCS12 is supported.", "PKCS12"
    )
    private_key_file: str | None = option(TEXT, _TLS, "A private key, PEM.")
    certificate_file: str | None = option(TEXT, _TLS, "Its certificate chain, PEM.")
    allow_self_signed: bool = option(
        BOOLEAN,
        _TLS,
        "Without a key and certificate the server makes a self-signed certificate on addresses other than loopback, "
        "too. No client can check it.",
        "false",
        is_own=True,
    )
    tls_client_ca: str | None = option(
        TEXT,
        _TLS,
        "Certificates, PEM. Every TLS listener demands a client certificate that one of them has signed.",
        is_own=True,
    )
    keys_file: str | None = option(
        TEXT,
        _SECURITY,
        "The file of API keys, made by `mms keys create`, read again when it changes. Requests need a key with the "
        "role for what they ask. Without it no request needs one.",
        is_own=True,
    )
    open_roles: tuple[str, ...] = option(
        choices("inference", "management", "metrics"),
        _SECURITY,
        "What needs no key even with a `keys_file`: some of inference, management and metrics, with commas.",
        "",
        is_own=True,
    )
    allow_open_management: bool = option(
        BOOLEAN,
        _SECURITY,
        "Management may listen where other machines reach it, without keys and client certificates.",
        "false",
        is_own=True,
    )
    rate_limit: float = option(
        NUMBER,
        _SECURITY,
        "Inference requests a second for each client. A client is a key or, without keys, an address. More get 429; "
        "0: no limit.",
        "0",
        unit="requests/s",
        is_own=True,
    )
    rate_limit_burst: int = option(
        COUNT,
        _SECURITY,
        "Requests that a client may send at once after a pause; 0: as many as in a second.",
        "0",
        is_own=True,
    )
    management_hosts: tuple[str, ...] | None = option(
        NAMES,
        _SECURITY,
        "Names in `Host`, besides `localhost` and addresses, that management accepts while it listens on loopback "
        "without keys: those of a proxy in front of it.",
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
    cors_allowed_origin: str | None = option(
        ORIGIN, _CORS, "`access-control-allow-origin` of every response."
    )
    cors_allowed_methods: str | None = option(
        HEADER_WORDS, _CORS, "`access-control-allow-methods` of every response."
    )
    cors_allowed_headers: str | None = option(
        HEADER_WORDS, _CORS, "`access-control-allow-headers` of every response."
    )
    metric_time_interval: int = option(
        POSITIVE,
        _LOGS,
        "Time between two measurements of host and workers.",
        "60",
        unit="seconds",
        has_variable=False,
    )
    log_to_stdout: bool = option(
        BOOLEAN, _LOGS, "All log lines go to standard output, too.", "true", is_own=True
    )
    access_log: bool = option(BOOLEAN, _LOGS, "A line for each response.", "true", is_own=True)
    metrics: bool = option(BOOLEAN, _LOGS, "Lines in the two metrics files.", "true", is_own=True)
    log_layout: str = option(
        choice("plain", "qlog"), _LOGS, "The form of the two metrics files.", "plain", is_own=True
    )
    tracking: str | None = option(
        TEXT,
        _LOGS,
        "Where records of requests go, for all models that do not say otherwise: a file, `http(s)://`, `kafka://`, or "
        'a JSON object `{"path", "sample", ...}`. `{model}` in a path is the model\'s name.',
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
    model_server_home: str | None = option(
        TEXT, _JVM, "Where MMS is installed.", has_variable=False, has_effect=False
    )
    vmargs: str | None = option(
        TEXT, _JVM, "Arguments of the Java virtual machine.", has_variable=False, has_effect=False
    )
    async_logging: bool = option(
        BOOLEAN, _JVM, "Logging is always asynchronous.", "false", has_effect=False
    )
    number_of_netty_threads: int = option(
        COUNT, _JVM, "Threads of MMS's HTTP library.", "0", has_effect=False
    )
    netty_client_threads: int = option(
        COUNT, _JVM, "Threads of MMS's HTTP library.", "0", has_effect=False
    )
    prefer_direct_buffer: bool = option(
        BOOLEAN, _JVM, "Buffers of MMS's HTTP library.", "false", has_effect=False
    )
    use_native_io: bool = option(
        BOOLEAN,
        _JVM,
        "Sockets of MMS's HTTP library.",
        "true",
        has_variable=False,
        has_effect=False,
    )
    io_ratio: int = option(
        POSITIVE, _JVM, "Threads of MMS's HTTP library.", "50", has_variable=False, has_effect=False
    )


@cache
def interface_settings() -> tuple[type, ...]:
    """Return the classes of the settings that interfaces have."""
    return tuple(part(interface.settings) for interface in INTERFACES if interface.settings)


@cache
def all_options() -> Mapping[str, Option]:
    """Return every option by its name in a properties file: the server's, the interfaces', then those without effect.

    It is a function because the interfaces' modules import this package.
    """
    found = {
        member.name: member.metadata["option"]
        for kind in (OptionValues, *interface_settings())
        for member in fields(kind)
    }
    idle = {name: option for name, option in found.items() if not option.has_effect}
    return {name: option for name, option in found.items() if option.has_effect} | idle
