"""A worker as the decisions see it: a state, the batches it has been sent, and how fast it is."""

from __future__ import annotations

import secrets
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

from mms.core.streams.open_stream import WorkerStreams

if TYPE_CHECKING:
    from mms.core.request import Request


class WorkerState(str, Enum):
    """Where a worker stands in its life. Visible in describe and metrics."""

    STARTING = "STARTING"
    LOADING = "LOADING"
    READY = "READY"
    BUSY = "BUSY"
    DRAINING = "DRAINING"
    BACKOFF = "BACKOFF"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


#: How far ahead a worker is sent work, in seconds of its own time: enough to hide the way to the front and back.
_AHEAD_S = 0.001
_MAX_CREDITS = 32
#: What a batch costs a worker besides the entry point: reading, decoding, encoding.
_OVERHEAD_S = 0.00002
#: Weight of a new batch in the moving estimate.
_ESTIMATE_WEIGHT = 0.2

#: Seconds before a restart, by the number of failures in a row. MMS's own table as its users see it.
_BACKOFF_S = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597)
#: A process that served for so long and ended was no failure of its start, whether it was asked anything or not.
_SETTLED_S = 60.0


def backoff_s(failures: int) -> int:
    """Return how long to wait for the next start, in seconds, after so many failures before the last one."""
    return _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]


class Batch:
    """Requests that one entry-point call receives. `sequence` numbers the batches of one worker."""

    __slots__ = ("requests", "sent_at", "sequence")

    def __init__(self, sequence: int, requests: list[Request], sent_at: float) -> None:
        self.sequence = sequence
        self.requests = requests
        self.sent_at = sent_at

    def __repr__(self) -> str:
        return f"<Batch {self.sequence} of {len(self.requests)}>"


class Worker:
    """A place for a process that runs one model version. The place outlives the processes that fill it.

    Only the model's own decisions change `in_flight`, `credits` and `state`; all run on the event loop.
    """

    __slots__ = (
        "_is_measured",
        "asked_since",
        "batch_size",
        "backoff_s",
        "coding_s",
        "credits",
        "failures",
        "gpu_id",
        "has_model_failed",
        "has_stream_room",
        "head_since",
        "id",
        "in_flight",
        "index",
        "is_continuous",
        "is_model_ready",
        "link",
        "load_code",
        "load_error",
        "load_times",
        "memory_bytes",
        "name",
        "next_sequence",
        "node",
        "oom_kills",
        "pid",
        "ready_at",
        "reason",
        "replaces",
        "restarts",
        "running_places",
        "service_s",
        "stage",
        "stage_at",
        "started_at",
        "state",
        "streams",
        "unresponsive",
        "was_timed_out",
    )

    def __init__(self, index: int, name: str, gpu_id: int | None = None) -> None:
        self.index = index
        self.name = name
        #: As MMS names workers to its clients: a number from 9000 on, and a random part.
        self.id = f"{9000 + index}-{secrets.token_hex(4)}"
        self.gpu_id = gpu_id
        self.state = WorkerState.STARTING
        #: Why it is in its state, for people.
        self.reason = ""
        #: False while its model loads on beside its first requests, and where that failed.
        self.is_model_ready = True
        #: That load failed: the process serves, and its model never will.
        self.has_model_failed = False
        self.pid = 0
        #: The node that its process runs on; empty: this machine.
        self.node = ""
        self.memory_bytes = 0
        #: Wall-clock time of the last start, in seconds since the epoch.
        self.started_at = time.time()
        self.restarts = 0
        #: What its process has been told that a batch has at most.
        self.batch_size = 1
        #: And what its running batch has at most, where its model has one.
        self.running_places = 1
        #: Why its last try to load failed, in one line; empty where it did not.
        self.load_error = ""
        #: What its load is doing: `turn`, `packages`, `process`, `import`, `load`. Empty: it does not load. And since
        #: when, of `time.monotonic()`.
        self.stage = ""
        self.stage_at = 0.0
        #: What its load has taken so far, in seconds by what was done.
        self.load_times: dict[str, float] = {}
        #: The status that stands for it: 507 where memory was short.
        self.load_code = 200
        #: How many of its processes the kernel has killed because memory was used up.
        self.oom_kills = 0
        #: How long it waits for its next start, in seconds.
        self.backoff_s = 0
        #: Failed loads, and ends before anything was answered, without a process in between that did its work.
        self.failures = 0
        #: Since when, of `time.monotonic()`, this process has served; 0: it does not.
        self.ready_at = 0.0
        #: The worker that leaves once this one serves.
        self.replaces: Worker | None = None
        #: Batches in a row that took longer than the response timeout.
        self.unresponsive = 0
        #: The connection to the process; opaque to the decisions.
        self.link: Any = None
        self.was_timed_out = False
        self.in_flight: deque[Batch] = deque()
        #: Answers that go on behind their batches.
        self.streams = WorkerStreams()
        #: Fewer of them are open than there may be.
        self.has_stream_room = True
        #: Its model runs one batch, which requests join and leave.
        self.is_continuous = False
        #: Since when the batch at the head is running.
        self.head_since = 0.0
        #: Of the head whose answer was asked for, in case it is held back behind the next batch.
        self.asked_since = 0.0
        self.next_sequence = 0
        self.credits = 1
        #: Moving estimate of the time of a batch in the entry point, in seconds.
        self.service_s = 0.0
        #: How long it took to read the tensors of the last batch that had some, and to write those of its answers, in
        #: seconds, which is no part of the time in the entry point.
        self.coding_s = 0.0
        self._is_measured = False

    def __repr__(self) -> str:
        return f"<Worker {self.name} {self.shown_state.value}, {len(self.in_flight)} in flight>"

    @property
    def shown_state(self) -> WorkerState:
        if self.state is WorkerState.READY and self.has_model_failed:
            return WorkerState.FAILED
        if self.state is WorkerState.READY and (self.in_flight or self.streams):
            return WorkerState.BUSY
        return self.state

    @property
    def is_running(self) -> bool:
        """Counts as running for health: serving, or on its way there for the first time since it last failed."""
        return self.state in (WorkerState.READY, WorkerState.STARTING, WorkerState.LOADING)

    @property
    def places(self) -> int:
        """How many more requests its running batch can take, where it has one."""
        taken = len(self.streams) + sum(len(batch.requests) for batch in self.in_flight)
        return max(self.running_places - taken, 0)

    def observe_service(self, duration_s: float) -> None:
        """Take a measured time in the entry point into the estimate that the credits follow.

        A batch that took longer than expected counts at once, one that took less bit by bit: a wrong guess of work to
        send ahead holds requests behind a slow one.
        """
        self.unresponsive = 0
        if self._is_measured and duration_s < self.service_s:
            self.service_s += (duration_s - self.service_s) * _ESTIMATE_WEIGHT
        else:
            self.service_s = duration_s
            self._is_measured = True
        credits = int(_AHEAD_S / (self.service_s + _OVERHEAD_S))
        # Comparisons: calls of min and max would cost more than all the rest here.
        self.credits = 1 if credits < 1 else credits if credits < _MAX_CREDITS else _MAX_CREDITS

    def reset(self, batch_size: int, running_places: int) -> None:
        """A new process fills this place: nothing is known of its speed."""
        self.batch_size = batch_size
        self.running_places = running_places
        self.credits = 1
        self._is_measured = False
        self.coding_s = 0.0
        self.load_times = {}
        self.ready_at = 0.0
        self.is_model_ready = True
        self.has_model_failed = False
        self.was_timed_out = False
        self.next_sequence = 0
        self.head_since = 0.0
        self.memory_bytes = 0
        self.node = ""
        self.has_stream_room = True
        self.is_continuous = False

    def next_backoff_s(self, now: float) -> int:
        """Return how long to wait before the next start. Call once for each end and each failed load.

        A process that did its work is no crash loop, whatever ended it: the next one starts at once. So does the first
        one after a process that served and ended before it had answered anything, as the request that ended it is
        then tried a second time.
        """
        if self._is_measured or (self.ready_at and now - self.ready_at >= _SETTLED_S):
            self.failures = 0
            return 0
        failures = self.failures
        self.failures += 1
        if self.ready_at:
            if not failures:
                return 0
            failures -= 1
        return backoff_s(failures)
