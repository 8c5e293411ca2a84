"""What TorchServe makes of results and exceptions of a handler, around its entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from mms.interfaces.torchserve.sent_values import sendable
from mms.service import PredictionException
from mms.worker.running.awaiting import is_awaitable

#: In the text of an exception: a GPU is short of memory, or as good as.
_CUDA = "CUDA"


def with_rules(entry_point: Callable[..., Any]) -> Callable[..., Any]:
    """Return an entry point that fails as the worker expects it and returns what it can send."""

    def handle(data: Any, context: Any) -> Any:
        try:
            values = entry_point(data, context)
        except Exception as error:
            translated = _translated(error)
            if translated is error:
                raise
            raise translated from error
        if is_awaitable(values):
            return _awaited(values)
        return _sendable(values)

    return handle


async def _awaited(values: Any) -> Any:
    try:
        return _sendable(await values)
    except Exception as error:
        translated = _translated(error)
        if translated is error:
            raise
        raise translated from error


def _translated(error: Exception) -> Exception:
    """Return what the worker answers as TorchServe does: its own PredictionException has a class of that name."""
    if isinstance(error, PredictionException):
        return error
    if type(error).__name__ == PredictionException.__name__:
        message = getattr(error, "message", str(error))
        return PredictionException(message, getattr(error, "error_code", 500))
    if _CUDA in str(error) and not isinstance(error, MemoryError):
        return MemoryError(str(error))
    return error


def _sendable(values: Any) -> Any:
    """Return the results, tensors of torch among them as `torch.save` writes them."""
    if not isinstance(values, list) or "torch" not in sys.modules:
        return values
    return [sendable(value) for value in values]
