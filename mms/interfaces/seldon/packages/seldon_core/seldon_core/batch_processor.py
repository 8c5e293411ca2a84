"""Names of Seldon's batch processor."""

from __future__ import annotations

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(
    __name__,
    "the command is part of seldon-core alone; it works against this server",
    "run_cli",
    "setup_logging",
    "start_multithreaded_batch_worker",
)

SELDON_PUID_HEADER = "seldon-puid"
CHOICES_GATEWAY_TYPE = ["ambassador", "istio", "seldon"]
CHOICES_TRANSPORT = ["rest", "grpc"]
CHOICES_PAYLOAD_TYPE = ["ndarray", "tensor", "tftensor"]
CHOICES_DATA_TYPE = ["data", "json", "str", "raw"]
CHOICES_METHOD = ["predict", "feedback"]
CHOICES_LOG_LEVEL = {"debug": 10, "info": 20, "warning": 30, "error": 40}
