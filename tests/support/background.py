"""Calls that run beside the test, and a gate that holds a handler until the test lets it go."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from .waiting import eventually

T = TypeVar("T")


class Background(Generic[T]):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._future: concurrent.futures.Future[T] = concurrent.futures.Future()
        threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], T]) -> None:
        try:
            self._future.set_result(call())
        except BaseException as error:
            self._future.set_exception(error)

    @property
    def is_done(self) -> bool:
        return self._future.done()

    def result(self, timeout_s: float = 30.0) -> T:
        """What the call returned; raises what it raised."""
        return self._future.result(timeout_s)


class Gate:
    """Put `order` into the body for the models `obey` and `batch`: the handler waits inside."""

    def __init__(self, directory: Path) -> None:
        self._reached = directory / "reached"
        self.opened = directory / "opened"

    @property
    def order(self) -> dict[str, str]:
        return {"touch": str(self._reached), "wait for": str(self.opened)}

    def wait_until_reached(self) -> None:
        eventually("the handler runs", self._reached.exists)

    def open(self) -> None:
        self.opened.touch()
