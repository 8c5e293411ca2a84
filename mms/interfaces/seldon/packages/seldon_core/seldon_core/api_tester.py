"""Names of Seldon's tester of deployments."""

from __future__ import annotations

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(
    __name__,
    "the command is part of seldon-core alone; it works against this server",
    "generate_batch",
    "get_seldon_client",
    "main",
    "run_predict",
    "run_send_feedback",
    "unfold_contract",
)
