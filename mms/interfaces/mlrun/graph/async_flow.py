"""The engine `async`: branches run beside each other, and the reply is that of one step."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from copy import copy
from typing import Any, NamedTuple

from mms.interfaces.mlrun.graph.flow_plan import FlowPlan
from mms.interfaces.mlrun.graph.steps.base import NO_EVENT, BaseStep, Passing
from mms.interfaces.mlrun.model.context import report_failure
from mms.interfaces.mlrun.model.event import HTTP_TRIGGERS

#: Threads of one flow: no more than can wait beside each other for other servers.
MAX_THREADS = 32


class _FlowRequest:
    """One event that somebody brought, and all copies of it that are under way."""

    __slots__ = ("error", "event", "is_replied", "under_way", "waits")

    def __init__(self, event: Any, waits: bool) -> None:
        self.event = event
        self.waits = waits
        self.under_way = 0
        self.is_replied = False
        self.error: BaseException | None = None


class _Item(NamedTuple):
    """An event before a step."""

    step: BaseStep
    event: Any
    asked: _FlowRequest
    #: Not for handlers of errors that happened beside the way to the reply.
    may_reply: bool


class _Work(NamedTuple):
    """An event that a step takes now. `number`: among those of the step."""

    item: _Item
    number: int


class _Mailbox:
    """The events that wait for a step, in their order, and how many it has.

    What it returns goes on in that order, too: of several at a time, those that are done early wait in `held`.
    """

    __slots__ = ("began", "ended", "held", "running", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Item] = deque()
        self.running = 0
        # Numbers of events: of the next one to begin, of the next one to go on.
        self.began = 0
        self.ended = 0
        self.held: dict[int, tuple[list[_Item], _FlowRequest]] = {}


class AsyncFlow:
    """Runs a plan on the threads of those who ask and on some of its own.

    A step has one event at a time (or as many as its `max_in_flight` allows), in the order in which they came. Who
    asks runs the steps on the way to the reply himself, so that a chain of steps costs no change of threads.
    """

    def __init__(self, plan: FlowPlan, context: Any) -> None:
        self._plan = plan
        self._context = context
        self._reset()

    def __repr__(self) -> str:
        return f"<AsyncFlow of {self._plan!r}, {self._under_way} events under way>"

    def _reset(self) -> None:
        self._pid = os.getpid()
        # All below is guarded by the condition, which is notified of replies, of work and when all events have ended.
        self._changed = threading.Condition(threading.Lock())
        self._boxes = {name: _Mailbox() for name in self._plan.steps}
        self._work: deque[_Work] = deque()
        self._under_way = 0
        self._threads = 0
        self._idle_threads = 0

    def run(self, event: Any) -> Any:
        """Return the event with the reply as its body.

        Without a responder that is {"id"} at once. With one it is what that step returned; {"id"} where the event
        never came to it. Raises the error of a step on the way to the reply, unless it is handled.
        """
        if self._pid != os.getpid():
            # A fork takes neither the threads along nor who held the lock.
            self._reset()
        plan = self._plan
        kind = getattr(getattr(event, "trigger", None), "kind", "") or ""
        waits = kind in HTTP_TRIGGERS and (plan.responder is not None or plan.has_replying_handler)
        asked = _FlowRequest(_without_body(event), waits)
        items = [
            _Item(step, _copied(event) if number or not waits else event, asked, True)
            for number, step in enumerate(plan.starts)
        ]
        mine: deque[_Work] = deque()
        with self._changed:
            for item in items:
                self._deliver(item, mine if waits else None, asked)
        if not waits:
            return _acknowledged(asked)
        while mine and not asked.is_replied:
            self._take(mine.popleft(), mine, asked)
        with self._changed:
            while mine:
                self._give_away(mine.popleft())
            # An event that is under way ends, and with the last of them comes the reply.
            while not asked.is_replied:
                self._changed.wait()
        if asked.error is not None:
            raise asked.error
        return asked.event

    def wait_for_completion(self, timeout_s: float | None = None) -> None:
        """Return when no event is under way. Raises TimeoutError when that takes longer than `timeout_s`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while self._under_way:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(
                        f"{self._under_way} events of the flow were still under way after "
                        f"{timeout_s} seconds"
                    )
                self._changed.wait(left)

    # With the condition held

    def _deliver(
        self, item: _Item, mine: deque[_Work] | None, own_request: _FlowRequest | None
    ) -> None:
        """Put an event before a step."""
        item.asked.under_way += 1
        self._under_way += 1
        box = self._boxes[item.step.name]
        if box.running >= item.step.max_in_flight:
            box.waiting.append(item)
            return
        self._start(box, item, mine, own_request)

    def _start(
        self,
        box: _Mailbox,
        item: _Item,
        mine: deque[_Work] | None,
        own_request: _FlowRequest | None,
    ) -> None:
        """Have a step take an event: in this thread (`mine`), or in one of the flow's.

        `own_request`: of the thread that waits for its reply, which runs nothing that does not lead to it.
        """
        work = _Work(item, box.began)
        box.began += 1
        box.running += 1
        is_for_me = mine is not None and not mine
        if is_for_me and own_request is not None:
            is_for_me = (
                item.asked is own_request and item.may_reply and self._leads_to_reply(item.step)
            )
        if is_for_me and mine is not None:
            mine.append(work)
        else:
            self._give_away(work)

    def _give_away(self, work: _Work) -> None:
        self._work.append(work)
        if self._idle_threads >= len(self._work):
            self._changed.notify_all()
        elif self._threads < MAX_THREADS:
            thread = threading.Thread(target=self._serve, name="mlrun-flow", daemon=True)
            self._threads += 1
            try:
                thread.start()
            except RuntimeError:
                # The system has no more; those that are there take the work.
                self._threads -= 1
                if not self._threads:
                    raise

    def _pass_on(
        self,
        items: list[_Item],
        asked: _FlowRequest,
        mine: deque[_Work] | None,
        own_request: _FlowRequest | None,
    ) -> None:
        """Put what a step made of an event before the next ones; with the last of an event's copies it ends."""
        for item in items:
            self._deliver(item, mine, own_request)
        asked.under_way -= 1
        if asked.under_way == 0 and not asked.is_replied:
            _acknowledged(asked)
            self._reply(asked)
        self._under_way -= 1
        if self._under_way == 0:
            self._changed.notify_all()

    def _reply(self, asked: _FlowRequest) -> None:
        asked.is_replied = True
        self._changed.notify_all()

    # Without it

    def _serve(self) -> None:
        """Run a thread of the flow as long as there is work, and a while longer."""
        mine: deque[_Work] = deque()
        while True:
            while mine:
                self._take(mine.popleft(), mine, None)
            with self._changed:
                if not self._work:
                    self._idle_threads += 1
                    self._changed.wait(_IDLE_S)
                    self._idle_threads -= 1
                if not self._work:
                    self._threads -= 1
                    return
                mine.append(self._work.popleft())

    def _take(self, work: _Work, mine: deque[_Work], own_request: _FlowRequest | None) -> None:
        """Run a step on an event, and pass on what it returns. Raises nothing, so that every event ends."""
        step, event, asked, may_reply = work.item
        items: list[_Item] = []
        try:
            returned, is_reply, items = self._run_step(work.item)
            if is_reply:
                self._answer(asked, returned, None)
        except BaseException as error:
            items = []
            is_told = may_reply and self._leads_to_reply(step) and self._answer(asked, event, error)
            if not is_told:
                self._report(event, step, error)
        with self._changed:
            box = self._boxes[step.name]
            box.running -= 1
            box.held[work.number] = items, asked
            while box.ended in box.held:
                self._pass_on(*box.held.pop(box.ended), mine, own_request)
                box.ended += 1
            while box.waiting and box.running < step.max_in_flight:
                self._start(box, box.waiting.popleft(), mine, own_request)

    def _run_step(self, item: _Item) -> tuple[Any, bool, list[_Item]]:
        """Return (what the step returned, whether that is the reply, what goes on). Raises what nobody handles."""
        step, event, asked, may_reply = item
        try:
            returned = step.run(event)
        except Exception as error:
            handler = self._plan.handler_of(step)
            if handler is None:
                raise
            # As storey, MLRun's engine of this name, tells its handlers.
            event.error, event.origin_state = error, step.name
            self._report(event, step, error)
            may_reply = may_reply and self._leads_to_reply(step)
            return event, False, [_Item(handler, event, asked, may_reply)]
        if returned is NO_EVENT:
            return event, False, []
        passing = returned if isinstance(returned, Passing) else Passing([returned])
        items: list[_Item] = []
        is_reply = False
        for passed in passing.events:
            is_terminated = bool(getattr(passed, "terminated", False))
            following = [] if is_terminated else self._plan.after(step)
            # Who replies with an event replies with the first of several.
            is_reply |= may_reply and self._is_reply(step, is_terminated or not following)
            # A reply is written while the steps after the responder go on.
            items += [
                _Item(target, _copied(passed) if number or is_reply else passed, asked, True)
                for number, target in enumerate(following)
                if passing.to is None or target.name in passing.to
            ]
        if not passing.events:
            return event, False, []
        return passing.events[0], is_reply, items

    def _report(self, event: Any, step: BaseStep, error: BaseException) -> None:
        try:
            report_failure(self._context, event, step.fullname, error)
        except Exception:
            # An exception without a text, or a logger that fails: events must end all the same.
            import traceback

            traceback.print_exc()

    def _answer(self, asked: _FlowRequest, event: Any, error: BaseException | None) -> bool:
        """Reply with an event, or with an error; whether somebody is told."""
        with self._changed:
            if asked.is_replied or not asked.waits:
                return False
            if error is None:
                asked.event = event
            asked.error = error
            self._reply(asked)
            return True

    def _is_reply(self, step: BaseStep, is_last: bool) -> bool:
        """Return whether what a step returned is the reply. `is_last`: the event goes no further."""
        plan = self._plan
        if step is plan.responder:
            return True
        if step.name in plan.handlers:
            return is_last
        # The event was ended on its way to the reply.
        return is_last and plan.responder is not None and step.name in plan.leads_to_reply

    def _leads_to_reply(self, step: BaseStep) -> bool:
        plan = self._plan
        if plan.responder is None:
            return True
        return step.name in plan.leads_to_reply or step.name in plan.handlers


#: A thread of the flow without work ends after so long.
_IDLE_S = 5.0


def _copied(event: Any) -> Any:
    """Return an event for a branch of its own: lists and dicts of its body are copied, what else they hold is not."""
    own = copy(event)
    own.body = _copied_body(event.body)
    return own


def _copied_body(body: Any) -> Any:
    if type(body) is dict:
        return {key: _copied_body(value) for key, value in body.items()}
    if type(body) is list:
        return [
            _copied_body(value) if type(value) is dict or type(value) is list else value
            for value in body
        ]
    return body


def _without_body(event: Any) -> Any:
    own = copy(event)
    own.body = None
    return own


def _acknowledged(asked: _FlowRequest) -> Any:
    """Return the event as the reply to those who get none of a step's."""
    asked.event.body = {"id": asked.event.id}
    return asked.event
