"""How `torchserve` is configured: TorchServe's variables, names, units and defaults."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from typing import Final

from mms.errors import ConfigurationError
from mms.interfaces.torchserve.settings.options import TorchServeSettings
from mms.interfaces.torchserve.settings.snapshots import SnapshotModels, newest_snapshot
from mms.settings.dialect import Dialect
from mms.settings.settings import Settings
from mms.text.address import Address

_METRICS: Final = "http://127.0.0.1:8082"
#: What the front imports for gRPC.
_OF_GRPC: Final = ("hpack", "google.protobuf")


def complete(settings: Settings, environ: Mapping[str, str]) -> None:
    """Put in what TorchServe makes of its settings. Raises ConfigurationError."""
    own = settings.of(TorchServeSettings)
    if own.metrics_address is None:
        own.metrics_address = Address.parse(_METRICS, is_management=False)
    if not own.enable_metrics_api:
        own.metrics_address = None
    if own.metrics_mode == "prometheus" and "metrics" not in settings.sources:
        settings.metrics = False
    _add_grpc(settings, own)
    if own.model_snapshot:
        _add_models(settings, own.model_snapshot)
    if settings.plugins_path and "*" in settings.plugins_path:
        settings.plugins_path = settings.plugins_path.rstrip("*").rstrip("/")


def is_management_safe(settings: Settings) -> bool:
    """Return whether clients need a token for management, or cannot bring code by it."""
    own = settings.of(TorchServeSettings)
    return not own.disable_token_authorization or not own.enable_model_api


def _add_grpc(settings: Settings, own: TorchServeSettings) -> None:
    names: tuple[str, ...] = ("grpc_inference_address", "grpc_inference_port")
    names += ("grpc_management_address", "grpc_management_port")
    if not all(_is_installed(name) for name in _OF_GRPC):
        level = logging.WARNING if any(name in settings.sources for name in names) else logging.INFO
        text = (
            'There is no gRPC here, as its packages are not installed: pip install "marserve[grpc]"'
        )
        settings.notices.append((level, text))
        return
    scheme = "grpcs" if own.enable_grpc_ssl else "grpc"
    if settings.grpc_address is None:
        settings.grpc_address = _address(
            settings, scheme, "grpc_inference_address", own.grpc_inference_port
        )
    if own.grpc_management_listener is None:
        own.grpc_management_listener = _address(
            settings, scheme, "grpc_management_address", own.grpc_management_port
        )


def _address(settings: Settings, scheme: str, name: str, port: int) -> Address:
    host = settings.get(name).strip()
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    try:
        return Address.parse_grpc(f"{scheme}://{host}:{port}")
    except ValueError:
        raise ConfigurationError(
            f"Invalid configuration: {settings.quoted(name)} should be the name or address of this machine, without a "
            "port"
        ) from None


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _add_models(settings: Settings, text: str) -> None:
    """Have the start load what a snapshot names, and what the command line names besides."""
    snapshot = SnapshotModels(text, settings.sources["model_snapshot"])
    others = []
    if settings.load_models and settings.sources["load_models"] == "--models":
        known = {archive for _, archive in snapshot.rows}
        others = [
            f"{name}={location}" if name else location
            for name, location in settings.startup_models
            if location not in known
        ]
        notice = (
            f"{settings.config_file} is a snapshot, whose models are loaded besides those of --models; --ncs leaves "
            "snapshots alone"
        )
        settings.notices.append((logging.WARNING, notice))
    settings.load_models = ",".join(others) or None
    settings.startup_options = snapshot.rows


DIALECT: Final = Dialect(
    variables="TS_",
    variables_win=True,
    file_variable="TS_CONFIG_FILE",
    # TorchServe's times are seconds; MMS's first one is minutes.
    names={
        "default_response_timeout": "default_response_timeout_seconds",
        "default_startup_timeout": "load_timeout_s",
        "ts_header_key_sequence_id": "sequence_id_header",
        "ts_header_key_sequence_start": "sequence_start_header",
        "ts_header_key_sequence_end": "sequence_end_header",
    },
    defaults={
        "default_response_timeout_seconds": "120",
        "load_timeout_s": "120",
        "job_queue_size": "100",
    },
    by_leave={"allowed_urls": "use_env_allowed_urls"},
    log_files={"mms_log.log": "ts_log.log", "mms_metrics.log": "ts_metrics.log"},
    model_version="1.0",
    find_file=newest_snapshot,
    complete=complete,
)
