"""Micro-batches: a batch in slices, which pass through the stages of a handler side by side."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from mms.text.brief import brief

HANDLER_METHODS: Final = ["preprocess", "inference", "postprocess"]
#: How long a thread waits for work until it looks whether it is still wanted.
_LOOK_S = 0.5


class WorkerThread(NamedTuple):
    """A thread of a stage. `event`: set when it is to end."""

    event: threading.Event
    thread: threading.Thread


class _Slice(NamedTuple):
    """A slice on its way. `replies`: takes it at the end. `error`: of a stage; the later ones are left out."""

    place: int
    data: Any
    replies: queue.SimpleQueue[_Slice]
    error: BaseException | None = None


class MicroBatching:
    """Takes the place of a handler's `handle`: `self.handle = MicroBatching(self, micro_batch_size=4)`.

    Each stage has threads of its own, one unless `parallelism` says more of it. An exception of a stage is raised by
    the batch that it belongs to.
    """

    def __init__(
        self,
        parent_handler: Any,
        micro_batch_size: int = 1,
        parallelism: Mapping[str, int] | None = None,
    ) -> None:
        """`parallelism`: threads by stage. Raises ValueError for a size or a number below 1, and for another stage."""
        if micro_batch_size < 1:
            raise ValueError(f"micro_batch_size is {micro_batch_size}; it should be at least 1")
        self.handler = parent_handler
        self.micro_batch_size = micro_batch_size
        self.thread_groups: dict[str, list[WorkerThread]] = {name: [] for name in HANDLER_METHODS}
        self._queues = [queue.SimpleQueue[_Slice]() for _ in HANDLER_METHODS]
        self._local = threading.local()
        self._parallelism: dict[str, int] = {}
        self.parallelism = dict(parallelism or {})

    def __repr__(self) -> str:
        return f"<MicroBatching of {self.micro_batch_size}, {self._parallelism}>"

    def __del__(self) -> None:
        for group in getattr(self, "thread_groups", {}).values():
            for worker in group:
                worker.event.set()

    @property
    def parallelism(self) -> dict[str, int]:
        """Threads by stage, as far as somebody said. What is set is added to it."""
        return dict(self._parallelism)

    @parallelism.setter
    def parallelism(self, parallelism: Mapping[str, int]) -> None:
        for name, count in parallelism.items():
            if name not in HANDLER_METHODS:
                raise ValueError(
                    f"parallelism names {brief(name)}, which is none of {', '.join(HANDLER_METHODS)}"
                )
            if count < 1:
                raise ValueError(f"parallelism of {name} is {count}; it should be at least 1")
        self._parallelism.update(parallelism)
        for stage, name in enumerate(HANDLER_METHODS):
            self._adjust(stage, name)

    def shutdown(self) -> None:
        """End all threads, and wait for them."""
        for group in self.thread_groups.values():
            while group:
                _end(group.pop())

    def get_micro_batch_idx(self) -> int | None:
        """Return the place in its batch of the slice that the calling thread works on; None in other threads."""
        return getattr(self._local, "index", None)

    def handle(self, data: list[Any]) -> list[Any]:
        """Return the results of all slices, in the order of the batch. Raises what a stage raises."""
        replies = queue.SimpleQueue[_Slice]()
        starts = range(0, len(data), self.micro_batch_size)
        for index, start in enumerate(starts):
            part = data[start : start + self.micro_batch_size]
            self._queues[0].put(_Slice(index, part, replies))
        done = sorted((replies.get() for _ in starts), key=lambda reply: reply.place)
        for reply in done:
            if reply.error is not None:
                raise reply.error
        return [item for reply in done for item in reply.data]

    def __call__(self, data: list[Any], context: Any) -> Any:
        """Run a batch as the handler's own `handle` does, with its stages in slices."""
        started_s = time.perf_counter()
        handler = self.handler
        handler.context = context
        if handler._is_describe():
            output = [handler.describe_handle()]
        elif handler._is_explain():
            output = handler.explain_handle(handler.preprocess(data), data)
        else:
            output = self.handle(data)
        elapsed_ms = round((time.perf_counter() - started_s) * 1000, 2)
        context.metrics.add_time("HandlerTime", elapsed_ms, None, "ms")
        return output

    def _adjust(self, stage: int, name: str) -> None:
        group = self.thread_groups[name]
        wanted = self._parallelism.get(name, 1)
        while len(group) < wanted:
            event = threading.Event()
            following = self._queues[stage + 1] if stage + 1 < len(self._queues) else None
            # Not this object, which would never be collected while its threads run.
            arguments = (
                *(getattr(self.handler, name), self._queues[stage], following),
                *(self._local, event),
            )
            thread = threading.Thread(
                target=_work, args=arguments, name=f"{name}-{len(group)}", daemon=True
            )
            thread.start()
            group.append(WorkerThread(event, thread))
        while len(group) > wanted:
            _end(group.pop())


def _end(worker: WorkerThread) -> None:
    worker.event.set()
    if worker.thread is not threading.current_thread():
        worker.thread.join()


def _work(
    call: Callable[[Any], Any],
    waiting: queue.SimpleQueue[_Slice],
    following: queue.SimpleQueue[_Slice] | None,
    local: threading.local,
    event: threading.Event,
) -> None:
    while not event.is_set():
        try:
            part = waiting.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
        if part.error is None:
            local.index = part.place
            try:
                part = part._replace(data=call(part.data))
            except BaseException as error:
                # It is the batch's: without an answer `handle` would wait for ever.
                part = part._replace(error=error)
        (part.replies if following is None else following).put(part)
