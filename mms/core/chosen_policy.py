"""Which rule forms a model's batches: the one that was named, or what the model's code turns out to need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mms.core.batching import POLICIES, AdaptivePolicy, BatchingPolicy, FixedPolicy
from mms.core.config import ModelConfig
from mms.core.worker import Batch
from mms.text.brief import brief

#: Causes, as words for labels of metrics.
NAMED: Final = "named"
DEFAULT: Final = "default"
RETRY: Final = "retry"
SOURCE: Final = "source"
FAILED: Final = "failed"
ANSWERED: Final = "answered"
DIED: Final = "died"


class ChosenPolicy:
    """The policy in force, and why.

    Where nobody names one it is adaptive, which calls the model's code with what is there. Code that relies on full
    batches is found out by its source, or by its first call with fewer requests, if that fails or ends the worker. Such
    a call is not the clients' outcome, but made again by the fixed rule. A call with fewer requests that is answered
    settles it for good.
    """

    __slots__ = ("_fixed_since", "cause", "is_open", "on_change", "reason", "rule")

    def __init__(
        self, config: ModelConfig, on_change: Callable[[ChosenPolicy], None] = lambda _: None
    ) -> None:
        self.on_change = on_change
        self.rule: BatchingPolicy = POLICIES[config.batch_policy or AdaptivePolicy.name]()
        self.cause = DEFAULT if config.batch_policy is None else NAMED
        #: For people; empty where it is what was named, or the default.
        self.reason = ""
        if config.batch_policy is None and not config.has_retry:
            # To find out means to run a request twice.
            self.rule, self.cause = FixedPolicy(), RETRY
            self.reason = "retry=false, so that no request is run a second time to find out"
        #: Whether it may still change.
        self.is_open = self.cause == DEFAULT
        self._fixed_since = 0.0

    def __repr__(self) -> str:
        return f"<ChosenPolicy {self.name}, {self.cause}>"

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def is_fixed(self) -> bool:
        return isinstance(self.rule, FixedPolicy)

    def require_full_batches(self, place: str, now: float) -> None:
        """The model's source relies on full batches; `place`: where it says so."""
        if self.is_open and not self.is_fixed:
            self._fix(SOURCE, f"the model's code compares a length with batch_size ({place})", now)

    def is_repeated(self, batch: Batch, batch_size: int, problem: str, now: float) -> bool:
        """Return whether a call that failed, maybe for having fewer than `batch_size` requests, is made again.

        `problem`: what went wrong, in the worker's words.
        """
        return self._repeat(batch, batch_size, FAILED, f"failed: {brief(problem)}", now)

    def is_repeated_after_death(self, batch: Batch, batch_size: int, now: float) -> bool:
        """Return whether a call that ended its worker, maybe for having few requests, is made again as such a call."""
        # One that runs alone is a suspect of an earlier end.
        return not batch.requests[0].is_solo and self._repeat(
            batch, batch_size, DIED, "ended the worker", now
        )

    def is_refuted(self, batch: Batch, batch_size: int) -> bool:
        """Return whether a full call that ended its worker shows that few requests were not why one ended before."""
        if not (self.is_open and self.cause == DIED and len(batch.requests) >= batch_size):
            return False
        self.is_open = False
        self.rule, self.cause = AdaptivePolicy(), DEFAULT
        self.reason = "calls with fewer and with batch_size requests ended the worker"
        self.on_change(self)
        return True

    def _repeat(self, batch: Batch, batch_size: int, cause: str, outcome: str, now: float) -> bool:
        count = len(batch.requests)
        if not self.is_open or count >= batch_size:
            return False
        if self.is_fixed:
            # What was sent before that was known.
            return batch.sent_at < self._fixed_since
        self._fix(cause, f"a call with {count} of {batch_size} requests {outcome}", now)
        return True

    def settle(self) -> None:
        """A call with fewer requests was answered."""
        self.is_open = False
        self.cause = ANSWERED
        if self.is_fixed:
            self.rule = AdaptivePolicy()
            self.reason = "a call with fewer requests than batch_size was answered"
            self.on_change(self)

    def _fix(self, cause: str, reason: str, now: float) -> None:
        self.rule, self.cause, self.reason = FixedPolicy(), cause, reason
        self._fixed_since = now
        self.on_change(self)
