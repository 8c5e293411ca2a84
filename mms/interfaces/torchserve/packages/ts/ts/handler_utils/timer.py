"""A decorator that measures the stages of a handler, where its `model-config.yaml` has `handler: {profile: true}`."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any


def timed(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method, the time of which is the metric `ts_handler_<name>` in milliseconds."""

    @functools.wraps(func)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_profiled(self.context):
            return func(self, *args, **kwargs)
        _wait_for_gpu()
        started_s = time.perf_counter()
        result = func(self, *args, **kwargs)
        _wait_for_gpu()
        elapsed_ms = (time.perf_counter() - started_s) * 1000
        self.context.metrics.add_time(f"ts_handler_{func.__name__}", elapsed_ms)
        return result

    return call


def _is_profiled(context: Any) -> bool:
    handler = (getattr(context, "model_yaml_config", None) or {}).get("handler")
    return isinstance(handler, dict) and bool(handler.get("profile"))


def _wait_for_gpu() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()
