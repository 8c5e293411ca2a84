"""The parameters of a registration that models of every interface have, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from mms.core.batching import POLICIES, POLICIES_HELP
from mms.interfaces import AUTO, CHOICES
from mms.registration.kind import (
    ANY,
    ARGUMENTS,
    DIGEST,
    DURATION,
    GPUS,
    RUNTIME,
    TEXT,
    THREADS,
    TIMEOUT,
    TRUTH,
    WAITS,
    choice,
    count_of,
    whole,
)
from mms.registration.nodes import RESOURCES, RUNTIME_ENV
from mms.registration.options import Options
from mms.registration.parameter import (
    CODE,
    REGISTER,
    SCALE,
    WORKERS,
    Key,
    Shown,
    attribute,
    parameter,
)

_BOTH: Final = (REGISTER, SCALE)


@dataclass(frozen=True, slots=True)
class ModelParameters(Options):
    """How a model is registered. None stands for the default; times are in the units of the members' names.

    An empty `url` is a registration without an archive: of what other parameters name, or of a folder.
    """

    title: ClassVar[str] = "Of every model"

    url: str = parameter(
        "url",
        TEXT,
        "Where the archive is: a path of the model store, or an http(s), s3 or gs url.",
        "An archive or folder of the model store, also as `file://` url *(new)*, an `http://` or `https://` url "
        "(percent-encoded in a query), or *(new)* an object of an `s3://bucket/key` or `gs://bucket/key` url, under "
        "the rules of [`model_uri`](primehub.md#model-uri); objects below a key are a folder.",
        value="",
        is_shared=False,
        otherwise="required, but for `prepackaged` with `model_uri`, and for `serving_spec`",
        names_model=True,
        flag=None,
        shown=Shown("modelUrl", is_of_model=True),
    )
    copy_of: str | None = parameter(
        "copy_of",
        TEXT,
        "A registered model, of which this one is a copy under another name.",
        "Its default version, with its code, files and parameters. Beside it a registration has `model_name`, numbers "
        "of workers, and what `PUT` changes. A copy writes no records of requests, and is gone after a restart.",
        is_shared=False,
        is_new=True,
        names_model=True,
        shown=Shown("copyOf"),
    )
    runtime: str | None = parameter(
        "runtime",
        RUNTIME,
        "The runtime: python, python2, python3, or the absolute path of an interpreter.",
        otherwise="the manifest's",
        shown=Shown("runtime", is_of_model=True),
        scope=WORKERS,
    )
    batch_size: int | None = parameter(
        "batch_size",
        whole(1, in_file=1),
        "Most requests in one call of the handler.",
        "Less than 1 is 1.",
        default="1",
        routes=_BOTH,
        keys=(Key("batchSize"),),
        needs_workers=True,
        shown=Shown("batchSize"),
        scope=WORKERS,
    )
    max_batch_delay_ms: int | None = parameter(
        "max_batch_delay",
        whole(0),
        "Longest wait for a batch to fill.",
        "Less than 0 is 0.",
        default="100",
        unit="milliseconds",
        routes=_BOTH,
        keys=(Key("maxBatchDelay", "milliseconds"),),
        shown=Shown("maxBatchDelay"),
        scope=WORKERS,
    )
    job_queue_size: int | None = parameter(
        "job_queue_size",
        whole(1, count_of, in_file=1),
        "Requests that may wait.",
        setting="job_queue_size",
        routes=_BOTH,
        keys=(Key("jobQueueSize"),),
        is_new=True,
        scope=WORKERS,
    )
    job_queue_bytes: int | None = parameter(
        "job_queue_bytes",
        whole(None, count_of),
        "What the bodies of requests that wait may hold together. 0: no limit.",
        "Where neither this nor the setting is given: 268435456, and no limit where `job_queue_size` is given.",
        setting="job_queue_bytes",
        unit="bytes",
        routes=_BOTH,
        keys=(Key("jobQueueBytes"),),
        is_new=True,
        scope=WORKERS,
    )
    max_streams: int | None = parameter(
        "max_streams",
        whole(1, in_file=1),
        "Answers that a worker may be sending in parts and still get more requests.",
        default="256",
        routes=_BOTH,
        keys=(Key("maxStreams"),),
        is_new=True,
        scope=WORKERS,
    )
    response_timeout_s: float | None = parameter(
        "response_timeout",
        TIMEOUT,
        "Time for one batch, and for a load that has no time of its own.",
        "The two units are MMS's. Below 0 is the default.",
        setting="response_timeout_s",
        otherwise="the setting `default_response_timeout`",
        unit="minutes",
        json_unit="seconds",
        routes=_BOTH,
        keys=(Key("responseTimeout", "seconds"),),
        shown=Shown("responseTimeout"),
        scope=WORKERS,
    )
    load_timeout_s: float | None = parameter(
        "load_timeout",
        DURATION,
        "Time for a load, imports included. 0: no limit.",
        otherwise="the setting `load_timeout_s`, else as `response_timeout`",
        setting="load_timeout_s",
        unit="seconds",
        routes=_BOTH,
        keys=(Key("loadTimeout", "seconds"), Key("startupTimeout", "seconds")),
        is_new=True,
        shown=Shown("loadTimeout"),
        scope=WORKERS,
    )
    request_timeout_s: float | None = parameter(
        "request_timeout",
        DURATION,
        "Time for a request in queue and worker. 0: no limit.",
        "See [deadlines](operations.md#deadlines).",
        setting="request_timeout_s",
        unit="seconds",
        routes=_BOTH,
        keys=(Key("requestTimeout", "seconds"), Key("clientTimeoutInMills", "milliseconds")),
        is_new=True,
        shown=Shown("requestTimeout", unless=0),
    )
    max_queue_time_ms: int | None = parameter(
        "max_queue_time_ms",
        whole(None, count_of),
        "A request that would wait longer for a worker gets 503 at once. 0: none does.",
        setting="max_queue_time_ms",
        unit="milliseconds",
        routes=_BOTH,
        keys=(Key("maxQueueTime", "milliseconds"),),
        is_new=True,
        shown=Shown("maxQueueTime", unless=0),
        scope=WORKERS,
    )
    batch_policy: str | None = parameter(
        "batch_policy",
        choice(*POLICIES),
        f"How batches form. {POLICIES_HELP}.",
        "See [batching](batching.md#the-policies).",
        setting="batch_policy",
        otherwise="the setting `batch_policy`, else `adaptive` unless the code "
        "[needs full batches](batching.md#code-that-needs-full-batches)",
        routes=_BOTH,
        keys=(Key("batchPolicy"),),
        is_new=True,
        shown=Shown("batchPolicy", is_of_model=True),
        scope=WORKERS,
    )
    threads_per_worker: int | None = parameter(
        "threads_per_worker",
        THREADS,
        "Threads that numeric libraries use in a worker.",
        "From 1 to 1,024. It goes before variables such as OMP_NUM_THREADS that are set for the server.",
        setting="threads_per_worker",
        routes=_BOTH,
        keys=(Key("threadsPerWorker"),),
        is_new=True,
        needs_workers=True,
        shown=Shown("threadsPerWorker", unless=0),
        scope=WORKERS,
    )
    retry: bool | None = parameter(
        "retry",
        TRUTH,
        "Whether a request that was running when its worker ended is run once more.",
        "With `false` it gets 500 `Worker died.` at once, so that nothing is ever begun twice.",
        default="true",
        routes=_BOTH,
        keys=(Key("retry"),),
        is_new=True,
        shown=Shown("retry", unless=True),
        scope=WORKERS,
    )
    sha256: str | None = parameter(
        "sha256",
        DIGEST,
        "SHA-256 of the archive's file; where there is no archive, of the one file that model_uri names.",
        "Another file is refused before it is opened.",
        is_shared=False,
        is_new=True,
    )
    model_name: str | None = parameter(
        "model_name",
        TEXT,
        "Name of the model.",
        "At most 1,000 bytes of UTF-8 without control characters, neither `.` nor `..`; in a path its `/` is written "
        "`%2F` *(new)*.",
        otherwise="the manifest's",
        is_shared=False,
        flag="--name",
        shown=Shown("modelName", is_of_model=True),
    )
    handler: str | None = parameter(
        "handler",
        TEXT,
        "The handler.",
        "The model's [entry point](handler-guide.md#how-the-entry-point-is-found).",
        otherwise="the manifest's, then the setting `default_service_handler`",
        is_shared=False,
        shown=Shown("handler", is_of_model=True),
    )
    gpu_ids: Sequence[int] | None = parameter(
        "gpu_ids",
        GPUS,
        "The GPUs that its workers are spread over, such as 0,2.",
        "A list in JSON; one that is not there is 400. `deviceIds` is the same.",
        otherwise="all that the server uses",
        aliases=("deviceIds",),
        keys=(Key("deviceIds"),),
        is_new=True,
        shown=Shown("gpuIds", is_of_model=True),
        scope=WORKERS,
    )
    openai: bool | None = parameter(
        "openai",
        TRUTH,
        "Whether the model answers chats and completions of OpenAI's clients.",
        "See [clients of OpenAI's API](streaming.md#openais-clients).",
        default="false",
        keys=(Key("openai"),),
        is_new=True,
        shown=Shown("openai", unless=False),
    )
    initial_workers: int | None = parameter(
        "initial_workers",
        whole(),
        "Workers to start.",
        "At most `max_workers_per_model` (1000).",
        setting="default_workers_per_model",
        otherwise="the archive's, then the setting `default_workers_per_model`: 0",
        flag="--workers",
        idle=0,
        is_kept=False,
        shown=Shown("minWorkers", is_of_model=True),
        scope=WORKERS,
    )
    max_worker: int | None = parameter(
        "max_worker",
        whole(None, count_of),
        "Most workers that requests and load may bring the model.",
        "Not less than `initial_workers`, which is its minimum. See [scaling by load](many-models.md#scaling-by-load).",
        otherwise="`initial_workers`, or the archive's",
        flag="--max",
        is_kept=False,
        is_new=True,
        shown=Shown("maxWorkers", is_of_model=True),
        scope=WORKERS,
    )
    synchronous: bool = parameter(
        "synchronous",
        WAITS,
        "Whether the call waits until the workers have loaded.",
        "As in MMS, any text other than `true` means `false`, and a warning says so.",
        value=True,
        default="true",
        flag="--wait/--no-wait",
        is_kept=False,
    )
    preload_model: bool | None = parameter(
        "preload_model",
        TRUTH,
        "Load once, then fork the workers.",
        setting="preload_model",
        keys=(Key("preloadModel"),),
        flag="--preload/--no-preload",
        scope=WORKERS,
    )
    lazy_load: bool | None = parameter(
        "lazy_load",
        TRUTH,
        "Start no workers before the first request, which waits until they have loaded.",
        "See [load on demand](many-models.md#load-on-demand).",
        setting="lazy_load",
        keys=(Key("lazyLoad"),),
        is_new=True,
        shown=Shown("lazyLoad", unless=False),
        scope=WORKERS,
    )
    scale_target_ms: int | None = parameter(
        "scale_target_ms",
        whole(None, count_of),
        "Between its minimum and maximum the model has as many workers as it takes for requests to wait no longer in "
        "the queue. 0: their number changes by calls alone.",
        "See [scaling by load](many-models.md#scaling-by-load).",
        setting="scale_target_ms",
        unit="milliseconds",
        routes=_BOTH,
        keys=(Key("scaleTarget", "milliseconds"),),
        is_new=True,
        shown=Shown("scaleTarget", unless=0),
        scope=WORKERS,
    )
    idle_ttl_s: float | None = parameter(
        "idle_ttl_s",
        DURATION,
        "Without a request for so long the model has no more than its minimum of workers, which may be none. 0: they "
        "stay.",
        "See [scaling by load](many-models.md#scaling-by-load).",
        setting="idle_ttl_s",
        unit="seconds",
        routes=_BOTH,
        keys=(Key("idleTtl", "seconds"),),
        is_new=True,
        shown=Shown("idleTtl", unless=0),
        scope=WORKERS,
    )
    pinned: bool | None = parameter(
        "pinned",
        TRUTH,
        "Whether the model stays loaded when others need its memory.",
        "See [a limit for the memory](many-models.md#a-limit-for-the-memory).",
        default="false",
        routes=_BOTH,
        keys=(Key("pinned"),),
        is_new=True,
        shown=Shown("pinned", unless=False),
        scope=WORKERS,
    )
    launcher: str | None = parameter(
        "launcher",
        choice("process", "ray"),
        "What starts the workers: the server beside itself, or Ray on a node of its cluster.",
        "See [a cluster](cluster.md).",
        setting="launcher",
        keys=(Key("launcher"),),
        is_new=True,
        shown=Shown("launcher", unless="process"),
        scope=WORKERS,
    )
    ray_resources: Any = parameter(
        "ray_resources",
        RESOURCES,
        "With `launcher=ray`: what a worker's node has to have, a JSON object with num_cpus, num_gpus, memory (bytes) "
        "and resources.",
        'As `{"num_gpus": 1, "resources": {"fast_disk": 1}}`.',
        otherwise='`{"num_cpus": 1}`',
        keys=(Key("rayResources"),),
        is_new=True,
        shown=Shown("rayResources"),
        scope=WORKERS,
    )
    ray_strategy: str | None = parameter(
        "ray_strategy",
        choice("pack", "spread"),
        "With `launcher=ray`: which of the nodes that have room Ray takes for the workers, few of them or all in turn.",
        setting="ray_strategy",
        keys=(Key("rayStrategy"),),
        is_new=True,
        shown=Shown("rayStrategy", unless="pack"),
        scope=WORKERS,
    )
    ray_runtime_env: Any = parameter(
        "ray_runtime_env",
        RUNTIME_ENV,
        "With `launcher=ray`: what Ray installs and sets on the node for the workers, a JSON object with pip, uv, "
        "conda and env_vars.",
        'As `{"pip": ["transformers==4.57"]}`.',
        keys=(Key("rayRuntimeEnv"),),
        is_new=True,
        shown=Shown("rayRuntimeEnv", is_of_model=True),
        scope=WORKERS,
    )
    install_requirements: str | None = parameter(
        "install_requirements",
        choice("off", "folder", "venv"),
        "Where the packages of the archive's requirements.txt are installed.",
        "See [packages that the model needs](handler-guide.md#packages-that-a-model-needs).",
        setting="install_requirements",
        is_new=True,
        scope=WORKERS,
    )
    initialize_errors: str | None = parameter(
        "initialize_errors",
        choice("fail", "ignore"),
        "Whether an exception in initialize fails the load.",
        default="fail",
        otherwise="the setting `initialize_errors`",
        setting="initialize_errors",
        keys=(Key("initializeErrors"),),
        is_new=True,
        scope=WORKERS,
    )
    interface: str | None = parameter(
        "interface",
        choice(*CHOICES),
        "The contract that the code is written to.",
        "`auto`: what the handler's source shows, else what a worker finds when it has imported it.",
        otherwise="the manifest's, then `auto`",
        idle=AUTO,
        is_shared=False,
        is_new=True,
        shown=Shown("interface", is_of_model=True),
        scope=CODE,
    )
    parameters: Any = parameter(
        "parameters",
        ARGUMENTS,
        "Arguments of the constructor of a component or model server.",
        'Such as `[{"name": "n", "value": "5", "type": "INT"}]`; each takes the place of the manifest\'s of that name. '
        "Types: `INT`, `FLOAT`, `DOUBLE`, `STRING`, `BOOL`.",
        value=(),
        otherwise="the manifest's",
        is_shared=False,
        flag="--param",
        is_new=True,
        shown=Shown("parameters", is_of_model=True),
        scope=CODE,
    )
    model_uri: str | None = parameter(
        "model_uri",
        TEXT,
        "Where the model's files are fetched from.",
        "A path of the archive or the model store, an absolute path, `file://`, `http(s)://`, `s3://`, `gs://`, "
        "`models:/`; see [PrimeHub](primehub.md#model-uri).",
        otherwise="the manifest's",
        is_shared=False,
        is_new=True,
        shown=Shown("modelUri"),
        scope=CODE,
    )
    tracking: Any = parameter(
        "tracking",
        ANY,
        "Where records of requests go: a file's path, http(s)://, kafka://, memory://, or a JSON object with path.",
        "See [records](monitoring.md).",
        is_new=True,
        shown=Shown("tracking", is_of_model=True),
    )
    #: Where the archive's manifest has none.
    model_version: str | None = attribute()
    #: Named by whoever starts the server, not by a client.
    is_from_operator: bool = attribute(False, is_shared=True)
