"""The keys of TorchServe's config.properties that MMS does not have."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import (
    BOOLEAN,
    COUNT,
    GRPC_ADDRESS,
    INFERENCE_ADDRESS,
    MODEL_STORE,
    POSITIVE,
    POSITIVE_NUMBER,
    READ_FILE,
    TEXT,
    WRITTEN_FILE,
    choice,
    option,
)
from mms.text.address import Address

_SECTION = "TorchServe"
_IDLE = "TorchServe's keys without effect"


@dataclass(slots=True)
class TorchServeSettings:
    """The values of the settings, under their names in a properties file."""

    metrics_address: Address | None = option(
        INFERENCE_ADDRESS,
        _SECTION,
        "One more listener, with metrics alone, on `/metrics`. `torchserve` has it at `http://127.0.0.1:8082`.",
        is_own=True,
    )
    grpc_management_listener: Address | None = option(
        GRPC_ADDRESS,
        _SECTION,
        "One more listener for gRPC, with TorchServe's management service alone. `torchserve` makes it of the two keys "
        "below.",
        is_own=True,
    )
    grpc_management_address: str = option(
        TEXT,
        _SECTION,
        "With `torchserve`: the host of the gRPC listener for management.",
        "127.0.0.1",
        is_own=True,
    )
    grpc_management_port: int = option(
        POSITIVE, _SECTION, "With `torchserve`: its port.", "7071", is_own=True
    )
    grpc_inference_address: str = option(
        TEXT,
        _SECTION,
        "With `torchserve`: the host of the gRPC listener.",
        "127.0.0.1",
        is_own=True,
    )
    grpc_inference_port: int = option(
        POSITIVE, _SECTION, "With `torchserve`: its port.", "7070", is_own=True
    )
    enable_grpc_ssl: bool = option(
        BOOLEAN, _SECTION, "With `torchserve`: gRPC over TLS.", "false", is_own=True
    )
    disable_token_authorization: bool = option(
        BOOLEAN,
        _SECTION,
        "With `torchserve`: requests need no token. Otherwise the server writes `key_file.json` at its start.",
        "false",
        is_own=True,
    )
    token_expiration_min: float = option(
        POSITIVE_NUMBER,
        _SECTION,
        "How long a token for inference or management counts.",
        "60",
        unit="minutes",
        is_own=True,
    )
    token_file: str | None = option(
        WRITTEN_FILE,
        _SECTION,
        "Where the tokens are. Without it: `key_file.json` in the folder that the server was started in.",
        is_own=True,
    )
    enable_model_api: bool = option(
        BOOLEAN,
        _SECTION,
        "With `torchserve`: clients may register and unregister models.",
        "false",
        is_own=True,
    )
    workflow_store: str | None = option(
        MODEL_STORE,
        _SECTION,
        "With `torchserve`: the folder of workflow archives. Without it: the model store.",
        is_own=True,
    )
    enable_metrics_api: bool = option(
        BOOLEAN,
        _SECTION,
        "With `torchserve`: there is a listener for metrics.",
        "true",
        is_own=True,
    )
    model_snapshot: str | None = option(
        TEXT,
        _SECTION,
        "The models of a snapshot of TorchServe's, as JSON; they are loaded at the start.",
        has_variable=False,
        is_own=True,
    )
    service_envelope: str | None = option(
        choice("body", "json", "kserve", "kservev2"),
        _SECTION,
        "How requests to TorchServe's handlers are unwrapped and their answers wrapped. Without it they reach handlers "
        "as they come.",
        is_own=True,
    )
    limit_max_image_pixels: bool = option(
        BOOLEAN,
        _SECTION,
        "Whether TorchServe's handlers of images refuse those that Pillow takes for attacks by their size.",
        "true",
        is_own=True,
    )
    metrics_config: str | None = option(
        READ_FILE,
        _SECTION,
        "A file of metrics in YAML. Handlers find what its `model_metrics` describes by `context.metrics.get_metric`. "
        "Whatever else a handler counts is a metric, too.",
        is_own=True,
    )
    model_metrics_auto_detect: bool = option(
        BOOLEAN,
        _IDLE,
        "Whatever a handler counts is a metric.",
        "false",
        has_effect=False,
        is_own=True,
    )
    metrics_mode: str = option(
        choice("log", "prometheus", "legacy"),
        _SECTION,
        "With `torchserve`: `prometheus` leaves the two metrics files without lines, unless `metrics` is set. With "
        "`legacy` the listener has of TorchServe's metrics those alone that begin with `ts_`; otherwise it has all.",
        "log",
        is_own=True,
    )
    use_env_allowed_urls: bool = option(
        BOOLEAN,
        _SECTION,
        "With `torchserve`: whether the variable `TS_ALLOWED_URLS` counts.",
        "false",
        has_variable=False,
        is_own=True,
    )
    system_metrics_cmd: str | None = option(
        TEXT,
        _IDLE,
        "The server measures by itself.",
        has_variable=False,
        has_effect=False,
        is_own=True,
    )
    initial_worker_port: int = option(
        COUNT, _IDLE, "Workers have no ports here.", "9000", has_effect=False, is_own=True
    )
    initial_distribution_port: int = option(
        COUNT, _IDLE, "The port of torchrun's rendezvous.", "29500", has_effect=False, is_own=True
    )
    ipex_enable: bool = option(
        BOOLEAN,
        _IDLE,
        "Handlers find it as `TS_IPEX_ENABLE`, where the server has that variable.",
        "false",
        has_effect=False,
        is_own=True,
    )
    ipex_gpu_enable: bool = option(
        BOOLEAN,
        _IDLE,
        "Handlers find it as `TS_IPEX_GPU_ENABLE`, where the server has that variable.",
        "false",
        has_effect=False,
        is_own=True,
    )
    cpu_launcher_enable: bool = option(
        BOOLEAN, _IDLE, "Workers are not pinned to cores.", "false", has_effect=False, is_own=True
    )
    cpu_launcher_args: str | None = option(
        TEXT, _IDLE, "Workers are not pinned to cores.", has_effect=False, is_own=True
    )
    cpp_log_config: str | None = option(
        TEXT, _IDLE, "There is no backend in C++.", has_effect=False, is_own=True
    )
    ts_open_inference_protocol: bool = option(
        BOOLEAN,
        _IDLE,
        "The Open Inference Protocol is always on.",
        "false",
        has_effect=False,
        is_own=True,
    )
    grpc_inference_max_connection_age_ms: int | None = option(
        COUNT,
        _IDLE,
        "Connections are not ended for their age.",
        unit="milliseconds",
        has_effect=False,
        is_own=True,
    )
    grpc_management_max_connection_age_ms: int | None = option(
        COUNT,
        _IDLE,
        "Connections are not ended for their age.",
        unit="milliseconds",
        has_effect=False,
        is_own=True,
    )
    grpc_inference_max_connection_age_grace_ms: int | None = option(
        COUNT,
        _IDLE,
        "Connections are not ended for their age.",
        unit="milliseconds",
        has_effect=False,
        is_own=True,
    )
    grpc_management_max_connection_age_grace_ms: int | None = option(
        COUNT,
        _IDLE,
        "Connections are not ended for their age.",
        unit="milliseconds",
        has_effect=False,
        is_own=True,
    )
