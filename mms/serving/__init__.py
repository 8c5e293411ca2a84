"""The operations on models, tying decisions, workers and archives together.

The names are imported when they are used: commands need the options of a registration, and nothing of the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mms.lazy_names import lazy_name

if TYPE_CHECKING:
    from mms.serving.host import ModelHost
    from mms.serving.options import Outcome, RegisterOptions
    from mms.serving.served.served_model import ServedModel
    from mms.serving.workers.runner import WorkerEvents

__all__ = [
    "ModelHost",
    "Outcome",
    "RegisterOptions",
    "ServedModel",
    "WorkerEvents",
]

_MODULES = {
    "ModelHost": "mms.serving.host",
    "Outcome": "mms.serving.options",
    "RegisterOptions": "mms.serving.options",
    "ServedModel": "mms.serving.served.served_model",
    "WorkerEvents": "mms.serving.workers.runner",
}


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, name, _MODULES)
