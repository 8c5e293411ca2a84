"""The decisions of one model version: its queue, its batches and who runs them.

Synchronous and without I/O; time is passed in. The object owns its queue and its workers' `in_flight`; every method is
called from the event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import ceil

from mms.core.availability import failed_worker, free_places, unavailable
from mms.core.batching.cost import ArrivalGap, BatchCost
from mms.core.chosen_policy import ChosenPolicy
from mms.core.config import ModelConfig, ModelStatistics
from mms.core.priority_queue import NORMAL, PriorityQueue
from mms.core.queue_bytes import QueueBytes
from mms.core.request import EXPIRED_QUEUED, Request
from mms.core.scaling.load_backoff import LoadBackoff
from mms.core.streams.open_stream import StreamCounts
from mms.core.unanswered import UnansweredCounts
from mms.core.worker import Batch, Worker, WorkerState
from mms.errors import (
    RequestTimeout,
    ServiceUnavailable,
    WorkerFailure,
)

_READY = WorkerState.READY

#: A client is told to come back after this many seconds at the most, whatever the queue holds.
_MAX_RETRY_AFTER_S = 60
#: By how much clocks and timers of clients and this server differ, for a cancellation to be one at the deadline.
_CLOCK_SLACK_S = 0.02


class ModelVersion:
    """One version of a registered model: its queue and its workers."""

    def __init__(self, name: str, version: str | None, config: ModelConfig) -> None:
        self.name = name
        self.version = version
        self.config = config
        self.policy = ChosenPolicy(config)
        self.queue: deque[Request] | PriorityQueue = deque()
        self.workers: list[Worker] = []
        #: Set by the caller of `dispatch` while it is scheduled to call it.
        self.is_scheduled = False
        #: When `dispatch` wants to be called again though nothing happened; None: only when something happens.
        self.wake_at: float | None = None
        #: No new requests are taken: the model is being unregistered or scaled to nothing.
        self.is_closed = False
        self.cost = BatchCost()
        self.arrivals = ArrivalGap()
        self._arrived = 0
        self._ahead = 0
        self.bytes = QueueBytes(config.queue_bytes)
        #: The earliest deadline of what is queued or in flight, of `time.monotonic()`; 0: none.
        self.deadline_at = 0.0
        self.unanswered = UnansweredCounts()
        self.streams = StreamCounts()
        #: Called for a request that finds no worker: where the model is loaded on demand, one is on its way then.
        self.on_demand: Callable[[], None] = lambda: None
        self.load_backoff = LoadBackoff()

    def __repr__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return (
            f"<ModelVersion {self.name}{version}, {len(self.queue)} queued, "
            f"{sum(1 for w in self.workers if w.state is WorkerState.READY)} of "
            f"{len(self.workers)} workers ready>"
        )

    def statistics(self) -> ModelStatistics:
        states: dict[str, int] = {}
        for worker in self.workers:
            state = worker.shown_state.value
            states[state] = states.get(state, 0) + 1
        return ModelStatistics(
            queue_length=self.waiting,
            queue_capacity=self.config.queue_capacity,
            in_flight=sum(
                len(w.streams) + sum(len(b.requests) for b in w.in_flight) for w in self.workers
            ),
            worker_states=states,
            batch_policy=self.policy.name,
            policy_cause=self.policy.cause,
        )

    def reconfigure(self, config: ModelConfig) -> None:
        """Have other options hold from now on, for what waits as well. `dispatch` is to be called then.

        Workers go on with the batch size that they have been told.
        """
        before, self.config = self.config, config
        self.bytes = QueueBytes(config.queue_bytes)
        if (before.batch_policy, before.has_retry, before.batch_size) != (
            config.batch_policy,
            config.has_retry,
            config.batch_size,
        ):
            # What was found out holds no longer.
            since = self.policy.rule.assembly_since
            self.policy = ChosenPolicy(config, self.policy.on_change)
            self.policy.rule.assembly_since = since

    # Requests in

    @property
    def waiting(self) -> int:
        """Requests that no worker has begun: in the queue, or sent ahead behind a running batch."""
        return len(self.queue) + self._ahead

    def oldest_wait_s(self, now: float) -> float:
        """How long the request has waited that has been in the queue for longest."""
        received = [request.received_at for request in self.queue]
        return max(now - min(received), 0.0) if received else 0.0

    @property
    def is_full(self) -> bool:
        if self.config.has_tickets:
            return len(self.queue) >= free_places(self.workers) or self.bytes.is_full(self.queue)
        waiting = len(self.queue) + self._ahead
        if self.policy.rule.assembly_since is not None:
            # What a worker is assembling counts as taken, as in MMS.
            waiting -= min(len(self.queue), self.config.batch_size)
        return waiting >= self.config.queue_capacity or self.bytes.is_full(self.queue)

    @property
    def has_active_worker(self) -> bool:
        """Some worker will take new requests, now or once it is up."""
        for worker in self.workers:
            state = worker.state
            if state is not WorkerState.DRAINING and state is not WorkerState.STOPPED:
                return True
        return False

    @property
    def has_coming_worker(self) -> bool:
        """Some worker takes requests, or is on its way to; one that failed to load and waits to be started is not."""
        return self.has_active_worker and not self.has_failed_to_load

    @property
    def has_failed_to_load(self) -> bool:
        """No worker can come up for now: each has failed to load and waits for its next start."""
        return failed_worker(self.workers) is not None

    @property
    def has_idle_worker(self) -> bool:
        for worker in self.workers:
            if (
                worker.state is _READY
                and worker.has_stream_room
                and not worker.in_flight
                and (not worker.is_continuous or worker.places)
            ):
                return True
        return False

    def unavailable(self, *, is_coming_up: bool = False) -> ServiceUnavailable:
        """Return the error for a request that cannot be queued. `is_coming_up`: workers come without an order."""
        return unavailable(
            *(self.name, self.version, self.workers, self.load_backoff, self.retry_after_s()),
            is_closed=self.is_closed,
            is_coming_up=is_coming_up,
            has_tickets=self.config.has_tickets,
        )

    def retry_after_s(self) -> int:
        """Whole seconds in which what is queued now should be done, at least 1."""
        ready = [w for w in self.workers if w.state is WorkerState.READY]
        if not ready:
            return 1
        return min(max(ceil(self.expected_wait_s(ready)), 1), _MAX_RETRY_AFTER_S)

    def expected_wait_s(self, ready: Sequence[Worker]) -> float:
        """Return how long what is queued now will take these workers, by what batches cost lately."""
        waiting, size, count = self.waiting, self.config.batch_size, len(ready)
        cost = self.cost
        if (
            waiting
            and size > 1
            and cost.has_differed
            and not (cost.is_quick or self.policy.is_fixed)
        ):
            # The policy may make smaller batches of them.
            size = cost.best_size(waiting, size, self.arrivals.mean_s, count)
            fixed_s, per_item_s = cost.fit()
            return waiting / size / count * (fixed_s + per_item_s * size)
        return waiting / size / count * max(worker.service_s for worker in ready)

    def try_enqueue(self, request: Request) -> bool:
        """Take a request, where there is a worker and room for it.

        Where there is none, `dispatch` may make some: what a worker can take at once does not count as queued.
        """
        queue = self.queue
        if (
            self.is_closed
            # `is_full` asks more, and is asked only where this does not settle it.
            or (len(queue) + self._ahead >= self.config.queue_capacity and self.is_full)
            or not (self.workers and self.workers[0].state is _READY or self.has_coming_worker)
        ):
            return False
        config = self.config
        if request.deadline or config.request_timeout_s:
            self.note_deadline(request)
        if request.priority != NORMAL and type(queue) is deque:
            queue = self.queue = PriorityQueue(queue)
        if config.max_queue_s and self._would_wait_too_long():
            return False
        size = len(request.body)
        if size > self.bytes.room and not self.bytes.has_room(size, queue):
            return False
        self.bytes.room -= size
        queue.append(request)
        self._arrived += 1
        return True

    def note_deadline(self, request: Request) -> None:
        """Give a request the deadline that the model has for it, where that is earlier than its own."""
        timeout_s = self.config.request_timeout_s
        if timeout_s:
            own = request.deadline or float("inf")
            request.deadline = min(own, request.received_at + timeout_s)
        if not self.deadline_at or request.deadline < self.deadline_at:
            self.deadline_at = request.deadline

    def _would_wait_too_long(self) -> bool:
        ready = [worker for worker in self.workers if worker.state is _READY]
        # Without a worker that has run anything nobody knows.
        return bool(ready) and self.expected_wait_s(ready) > self.config.max_queue_s

    def check_room(self) -> None:
        """Raise ServiceUnavailable where a request would be refused now, before work is put into reading it."""
        self.demand_worker()
        if (
            self.is_closed
            or not self.has_coming_worker
            or (self.is_full and not self.has_idle_worker)
        ):
            self.unanswered.refused += 1
            raise self.unavailable()

    def enqueue(self, request: Request) -> None:
        """Take a request. Raises ServiceUnavailable where there is no worker or no room."""
        self.demand_worker()
        if not self.try_enqueue(request):
            if self.config.max_queue_s and not self.is_full and self.has_coming_worker:
                self.unanswered.shed += 1
            else:
                self.unanswered.refused += 1
            raise self.unavailable()

    def demand_worker(self) -> None:
        """Have a worker started where there is none, if the model is loaded on demand."""
        if not self.is_closed and not self.has_active_worker:
            self.on_demand()

    def has(self, request: Request) -> bool:
        """Return whether a request is queued here, or with one of the workers."""
        return request in self.queue or any(
            request in worker.streams
            or any(request in batch.requests for batch in worker.in_flight)
            for worker in self.workers
        )

    def cancel(self, request: Request, now: float = 0.0) -> Worker | None:
        """Drop a request whose client is gone, or waits no longer. Return the worker that has it, if one has."""
        if request.is_done:
            return None
        request.is_done = True
        # Clients of gRPC cancel at their deadline themselves, by their own clock.
        is_late = 0.0 < request.deadline <= now + _CLOCK_SLACK_S
        for worker in self.workers:
            stream = worker.streams.of(request)
            if stream is not None:
                stream.close()
                self.streams.cancelled += 1
            if stream is not None or any(request in batch.requests for batch in worker.in_flight):
                if is_late:
                    self.unanswered.expired_running += 1
                else:
                    self.unanswered.cancelled_running += 1
                return worker
        if is_late:
            self.unanswered.expired_queued += 1
        else:
            self.unanswered.cancelled_queued += 1
        try:
            self.queue.remove(request)
        except ValueError:
            pass
        return None

    def take_all(self) -> deque[Request] | PriorityQueue:
        """Empty the queue, and return what it held."""
        queue, self.queue = self.queue, deque()
        self.policy.rule.assembly_since = None
        return queue

    # Batches out

    def dispatch(self, now: float) -> list[tuple[Worker, Batch]]:
        """Return what is to be sent now, and to whom. Sets `wake_at` where it would rather wait for more."""
        queue = self.queue
        self.wake_at = None
        if self._arrived:
            self.arrivals.observe(self._arrived, now)
            self._arrived = 0
        sends: list[tuple[Worker, Batch]] = []
        rule = self.policy.rule
        if not queue:
            rule.assembly_since = None
            return sends
        while queue:
            worker = self._pick()
            if worker is None:
                break
            size = rule.size(self, worker, now) if worker.batch_size > 1 else 1
            if worker.is_continuous:
                size = min(size, worker.places)
            if not size:
                break
            requests = self._take(size, now, may_be_solo=not worker.in_flight)
            if not requests:
                if queue and queue[0].is_solo and worker.in_flight:
                    break
                continue
            rule.assembly_since = None
            try:
                sends.append((worker, self._send(worker, requests, now)))
            except Exception:
                queue.extendleft(reversed(requests))
                raise
        return sends

    def _pick(self) -> Worker | None:
        """Return an idle worker with the fewest streams, else that with the least work that may be sent ahead."""
        idle: Worker | None = None
        best: Worker | None = None
        draining: Worker | None = None
        best_load, has_active = 0, False
        for worker in self.workers:
            if (
                worker.state is _READY
                and worker.has_stream_room
                and (not worker.is_continuous or worker.places)
            ):
                has_active = True
                load = len(worker.in_flight)
                if not load:
                    if not worker.streams:
                        return worker
                    if idle is None or len(worker.streams) < len(idle.streams):
                        idle = worker
                elif load < worker.credits and (best is None or load < best_load):
                    # What is sent ahead may have been begun when the worker ends.
                    if worker.in_flight[-1].requests[0].is_solo or not self.config.has_retry:
                        continue
                    best, best_load = worker, load
            elif worker.state is WorkerState.DRAINING:
                # One that was still loading ends at once, with whatever it was sent.
                if not worker.in_flight and worker.link is not None and worker.ready_at:
                    draining = worker
            elif worker.state is not WorkerState.STOPPED:
                has_active = True
        if best is None and not has_active:
            # What was accepted is still served by the last workers on their way out.
            return draining
        return best if idle is None else idle

    def has_more_idle_workers(self) -> bool:
        """Return whether more than one worker is ready and runs nothing."""
        idle = sum(1 for w in self.workers if w.state is WorkerState.READY and not w.in_flight)
        return idle > 1

    def _take(self, size: int, now: float, *, may_be_solo: bool) -> list[Request]:
        """Remove up to `size` live requests from the head of the queue; a solo request comes alone."""
        queue = self.queue
        taken: list[Request] = []
        left = size
        try:
            while left and queue:
                request = queue.popleft()
                if request.is_done:
                    continue
                if request.deadline and request.deadline <= now:
                    self.unanswered.expired_queued += 1
                    request.fail(RequestTimeout(EXPIRED_QUEUED))
                    continue
                if request.is_solo:
                    if not taken and may_be_solo:
                        taken.append(request)
                    else:
                        queue.appendleft(request)
                    break
                taken.append(request)
                left -= 1
        except Exception:
            # Whoever then fails the queue finds all of them there.
            queue.extendleft((request, *reversed(taken)))
            raise
        return taken

    def _send(self, worker: Worker, requests: list[Request], now: float) -> Batch:
        batch = Batch(worker.next_sequence, requests, now)
        worker.next_sequence = (worker.next_sequence + 1) & 0xFFFFFFFF
        if worker.in_flight:
            self._ahead += len(requests)
        else:
            worker.head_since = now
        worker.in_flight.append(batch)
        return batch

    # Results

    def finish_head(
        self, worker: Worker, entry_point_s: float, is_success: bool, now: float
    ) -> Batch:
        """Take the batch that a worker has answered from its head, and return it. Items that it left out fail."""
        batch = worker.in_flight.popleft()
        if worker.in_flight:
            worker.head_since = now
            self._ahead -= len(worker.in_flight[0].requests)
        worker.observe_service(entry_point_s)
        if is_success and worker.batch_size > 1:
            size = len(batch.requests)
            self.cost.observe(size, entry_point_s)
            if self.policy.is_open and size < worker.batch_size:
                self.policy.settle()
        for request in batch.requests:
            if not request.is_done and request not in worker.streams:
                request.fail(WorkerFailure("number of batch response mismatched", 503))
        return batch

    def repeat_unfilled(
        self, worker: Worker, entry_point_s: float, problem: str, now: float
    ) -> bool:
        """Take back a batch that failed as one whole, in a call with fewer requests than `batch_size`.

        Returns whether it goes back to the queue's head, to be called again by the fixed rule, whose clock starts anew;
        else it is one that failed.
        """
        batch = worker.in_flight[0]
        if not self.policy.is_repeated(batch, worker.batch_size, problem, now):
            return False
        requests = [request for request in batch.requests if not request.is_done]
        self.requeue_for_full_batch(requests)
        worker.in_flight.popleft()
        if worker.in_flight:
            worker.head_since = now
            self._ahead -= len(worker.in_flight[0].requests)
        worker.observe_service(entry_point_s)
        return True

    def requeue(self, requests: Iterable[Request]) -> None:
        """Put requests back at the head, in their order. They were accepted once: the queue's limit is not for them."""
        if self.is_closed and not self.workers:
            for request in requests:
                request.fail(self.unavailable())
            return
        self.queue.extendleft(reversed(list(requests)))

    def requeue_for_full_batch(self, requests: Iterable[Request]) -> None:
        """Put requests back, to wait for others from when a worker can take them, however old they are."""
        self.requeue(requests)
        self.policy.rule.assembly_since = None

    def recount(self) -> None:
        """Count anew what was sent ahead, after batches were taken from workers."""
        self._ahead = sum(
            len(batch.requests) for w in self.workers for batch in list(w.in_flight)[1:]
        )

    def timed_out_workers(self, now: float) -> list[Worker]:
        """Return workers whose running batch has exceeded the response timeout."""
        limit = now - self.config.response_timeout_s
        return [w for w in self.workers if w.in_flight and w.head_since <= limit]

    @property
    def is_idle(self) -> bool:
        """Nothing is queued and nothing is running."""
        return not self.queue and not any(w.in_flight or w.streams for w in self.workers)

    # Workers

    def is_releasable(self, worker: Worker) -> bool:
        """Return whether a draining worker may end: it runs nothing, and nothing queued depends on it."""
        if worker.streams:
            return False
        return not worker.in_flight and (not self.queue or self.has_active_worker)
