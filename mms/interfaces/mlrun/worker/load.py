"""The load of a model of MLRun's contract: at once, or beside its first requests."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from mms.worker.log_records.tracebacks import last_line, model_traceback

_POLL_S = 0.05


class ModelLoad:
    """Has a model load when its process serves, and tells how it went. Owns the thread that waits for it."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._end = threading.Event()

    def __repr__(self) -> str:
        return f"<ModelLoad of {self._server!r}>"

    @property
    def is_ready(self) -> bool:
        return bool(self._server.ready)

    def start(self, tell: Callable[[bool, str], None]) -> None:
        """Start the load. `tell`: whether the model is ready, and why it is not. Called once, when that is known."""
        # Not before: a process that is forked takes no thread along.
        try:
            load_now(self._server, "async")
        except Exception as error:
            sys.stderr.write(model_traceback(error))
            tell(False, last_line(error))
            return
        threading.Thread(target=self._watch, args=(tell,), name="mlrun-load", daemon=True).start()

    def _watch(self, tell: Callable[[bool, str], None]) -> None:
        server = self._server
        thread = getattr(server, "_load_thread", None)
        if isinstance(thread, threading.Thread):
            thread.join()
        while not server.ready and not server.error and not self._end.wait(_POLL_S):
            pass
        if server.ready:
            tell(True, "")
            return
        error = server.error
        reason = last_line(error) if isinstance(error, BaseException) else str(error)
        tell(False, reason)


def load_now(server: Any, mode: str) -> None:
    """Have a server load as MLRun does. Raises whatever its code raises."""
    post_init = getattr(server, "post_init", None)
    if callable(post_init):
        post_init(mode)
    else:
        server.load()
