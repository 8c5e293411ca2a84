"""The processes that run models."""

from __future__ import annotations

from dataclasses import dataclass

from mms.core.batching import POLICIES, POLICIES_HELP
from mms.settings.confinement import WorkerUser
from mms.settings.memory_size import MemorySize
from mms.settings.option import (
    ANY_INTEGER,
    BOOLEAN,
    COUNT,
    MEMORY,
    NAMES,
    NUMBER,
    POSITIVE,
    POSITIVE_NUMBER,
    REGEX,
    RLIMITS,
    SWITCH,
    THREADS,
    USER,
    choice,
    option,
)

_WORKERS = "Workers"


@dataclass
class WorkerOptions:
    """The processes that run models."""

    default_workers_per_model: int = option(
        COUNT,
        _WORKERS,
        "Workers of a model. 0 means: a model loaded at start gets as many as there are GPUs, or else CPUs that "
        "the server may use (affinity, cgroup quota); other models get none.",
        "0",
    )
    threads_per_worker: int | None = option(
        THREADS,
        _WORKERS,
        "Threads that numeric libraries use in a worker (OpenMP, OpenBLAS, MKL, numexpr). auto: the CPUs that the "
        "server may use, divided by the model's workers; with `launcher=ray` those that Ray keeps for a worker. "
        "Variables that are set for the server, such as "
        "OMP_NUM_THREADS, stay as they are. Without it: OMP_NUM_THREADS is 1, as in MMS.",
        is_own=True,
    )
    lazy_load: bool = option(
        BOOLEAN,
        _WORKERS,
        "Start no workers before a model's first request, which waits until they have loaded. A registration may say "
        "otherwise.",
        "false",
        is_own=True,
    )
    max_concurrent_loads: int | None = option(
        POSITIVE,
        _WORKERS,
        "Loads at once that requests and the server's own scaling begin; more wait for their turn. Loads that a client "
        "or the start asks for never wait. Without it: as many as there are CPUs, and at least 2.",
        is_own=True,
    )
    scale_target_ms: int = option(
        COUNT,
        _WORKERS,
        "Between its minimum and maximum a model has as many workers as it takes for requests to wait no longer in the "
        "queue. 0: their number changes by calls alone. A registration may say otherwise.",
        "0",
        unit="milliseconds",
        is_own=True,
    )
    idle_ttl_s: float = option(
        NUMBER,
        _WORKERS,
        "Without a request for so long a model has no more than its minimum of workers, which may be none. 0: they "
        "stay. A registration may say otherwise.",
        "0",
        unit="seconds",
        is_own=True,
    )
    memory_limit: MemorySize | None = option(
        MEMORY,
        _WORKERS,
        "What all processes of the server may hold together, as `2G`, `1500M` or a number of bytes, or as `80%` of the "
        "memory that the server may use (of its cgroup, or of the machine). Before a load that does not fit, idle "
        "models give way whose minimum of workers is 0; one that cannot fit is refused with 507. Without it: no limit.",
        is_own=True,
    )
    min_residence_s: float = option(
        NUMBER,
        _WORKERS,
        "With `memory_limit`: how long a model stays after its load, as long as other models can give way.",
        "5",
        unit="seconds",
        is_own=True,
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
        "The same in seconds. From 1 on it replaces the other.",
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
        choice(*POLICIES),
        _WORKERS,
        f"How batches form where a registration does not say. {POLICIES_HELP}. Without it: adaptive, "
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
