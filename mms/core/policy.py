"""Which rule forms a model's batches: the one that was named, or what the model's code turns out to need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mms.core.config import POLICY_ADAPTIVE, POLICY_FIXED, ModelConfig
from mms.core.worker import Batch

#: Causes, as words for labels of metrics.
NAMED: Final = "named"
DEFAULT: Final = "default"
RETRY: Final = "retry"
SOURCE: Final = "source"
FAILED: Final = "failed"
ANSWERED: Final = "answered"


class BatchPolicy:
    """The rule in force, and why.

    Where nobody names one it is adaptive, which calls the model's code with what is there. Code that relies on full
    batches is found out by its source, or by its first call with fewer requests; such a call is not the clients'
    outcome, but made again by the fixed rule. A call with fewer requests that is answered settles it for good.
    """

    __slots__ = ("_fixed_since", "cause", "is_fixed", "is_open", "on_change", "reason")

    def __init__(
        self, config: ModelConfig, on_change: Callable[[BatchPolicy], None] = lambda _: None
    ) -> None:
        self.on_change = on_change
        self.is_fixed = config.batch_policy == POLICY_FIXED
        self.cause = DEFAULT if config.batch_policy is None else NAMED
        #: For people; empty where it is what was named, or the default.
        self.reason = ""
        if config.batch_policy is None and not config.has_retry:
            # To find out means to run a request twice.
            self.is_fixed, self.cause = True, RETRY
            self.reason = "retry=false, so that no request is run a second time to find out"
        #: Whether it may still change.
        self.is_open = self.cause == DEFAULT
        self._fixed_since = 0.0

    def __repr__(self) -> str:
        return f"<BatchPolicy {self.name}, {self.cause}>"

    @property
    def name(self) -> str:
        return POLICY_FIXED if self.is_fixed else POLICY_ADAPTIVE

    def require_full_batches(self, place: str, now: float) -> None:
        """The model's source relies on full batches; `place`: where it says so."""
        if self.is_open and not self.is_fixed:
            self._fix(SOURCE, f"the model's code compares a length with batch_size ({place})", now)

    def is_repeated(self, batch: Batch, batch_size: int, problem: str, now: float) -> bool:
        """Whether a call that failed, maybe for having fewer than `batch_size` requests, is made again."""
        if not self.is_open:
            return False
        if self.is_fixed:
            # What was sent before that was known.
            return batch.sent_at < self._fixed_since
        count = len(batch.requests)
        self._fix(FAILED, f"a call with {count} of {batch_size} requests failed: {problem}", now)
        return True

    def settle(self) -> None:
        """A call with fewer requests was answered."""
        self.is_open = False
        self.cause = ANSWERED
        if self.is_fixed:
            self.is_fixed = False
            self.reason = "a call with fewer requests than batch_size was answered"
            self.on_change(self)

    def _fix(self, cause: str, reason: str, now: float) -> None:
        self.is_fixed, self.cause, self.reason = True, cause, reason
        self._fixed_since = now
        self.on_change(self)
