"""Names of Seldon's tester of components."""

from __future__ import annotations

from ._elsewhere import names_elsewhere

__getattr__ = names_elsewhere(
    __name__,
    "the command is part of seldon-core alone; it works against this server",
    "SeldonTesterException",
    "gen_categorical",
    "gen_continuous",
    "generate_batch",
    "get_class_names",
    "main",
    "reconciliate_cont_type",
    "run_method",
    "run_send_feedback",
    "unfold_contract",
)
