"""When a model may be loaded for a request again whose loads have failed."""

from __future__ import annotations

from math import ceil

from mms.core.worker import backoff_s


class LoadBackoff:
    """The failed loads in a row of a model whose workers are started for requests. Times are of `time.monotonic()`.

    A worker that cannot load and that nobody has asked for by number is not started again by itself. It is tried again
    for the first request after a time that grows with each failure.
    """

    __slots__ = ("_failures", "_retry_at", "code", "reason", "wait_s")

    def __init__(self) -> None:
        self._failures = 0
        self._retry_at = 0.0
        #: Why the last load failed, in one line; empty where it did not.
        self.reason = ""
        #: The status that stands for it: 507 where memory was short, else 500.
        self.code = 500
        #: How long the next load had to wait when it was last asked for, in whole seconds; 0: it need not.
        self.wait_s = 0

    def __repr__(self) -> str:
        return f"<LoadBackoff after {self._failures} failures>"

    def may_load(self, now: float) -> bool:
        """Return whether a load may be tried now. Sets `wait_s`."""
        self.wait_s = max(ceil(self._retry_at - now), 0)
        return not self.wait_s

    def note_failure(self, reason: str, now: float, code: int = 500) -> None:
        """A load has failed: the next one is tried after `wait_s`. `code`: 507 where memory was short."""
        self.wait_s = backoff_s(self._failures)
        self._failures += 1
        self._retry_at = now + self.wait_s
        self.reason = reason or "no reason given"
        self.code = code

    def retry(self) -> None:
        """What the last load failed for is over: the next one need not wait."""
        self._retry_at = 0.0

    def clear(self) -> None:
        """A load has succeeded, or somebody wants the model to be tried again."""
        self._failures = 0
        self._retry_at = 0.0
        self.reason = ""
        self.wait_s = 0
