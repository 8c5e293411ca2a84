"""A decorator that prints how long calls take."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])


def timeit(func: _Function) -> _Function:
    """Print, after each call of `func`, the seconds it took, by the clock and of the processor."""

    @functools.wraps(func)
    def timed(*args: Any, **kwargs: Any) -> Any:
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        result = func(*args, **kwargs)
        elapsed_s = time.perf_counter() - started_s
        cpu_s = time.process_time() - started_cpu_s
        name = getattr(func, "__name__", repr(func))
        sys.stdout.write(
            f"func: {name!r} took a total of {elapsed_s:2.4f} sec to run "
            f"and {cpu_s:2.4f} sec of CPU time\n"
        )
        return result

    return cast(_Function, timed)
