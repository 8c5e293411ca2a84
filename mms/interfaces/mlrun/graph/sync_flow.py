"""The engine `sync`: steps one after the other, in the thread that asks."""

from __future__ import annotations

from typing import Any

from mms.bodies.error_message import error_message
from mms.interfaces.mlrun.graph.flow_plan import FlowPlan
from mms.interfaces.mlrun.graph.steps.base import NO_EVENT, BaseStep
from mms.interfaces.mlrun.model.context import report_failure


class SyncFlow:
    """Runs a plan that has no branches. Keeps nothing between events."""

    def __init__(self, plan: FlowPlan, context: Any) -> None:
        self._plan = plan
        self._context = context

    def __repr__(self) -> str:
        return f"<SyncFlow of {self._plan!r}>"

    def run(self, event: Any) -> Any:
        """Return the event as the last step returned it; the event's id as its body where a step kept it."""
        plan = self._plan
        step: BaseStep | None = plan.starts[0]
        while step is not None:
            try:
                returned = step.run(event)
            except Exception as error:
                handler = plan.handler_of(step)
                if handler is None:
                    raise
                # As MLRun's own engine tells its handlers.
                earlier = getattr(event, "error", None)
                errors = earlier if isinstance(earlier, dict) else {}
                event.error = {**errors, step.name: error_message(error)}
                event.origin_state = step.fullname
                report_failure(self._context, event, step.fullname, error)
                step = handler
                continue
            if returned is NO_EVENT:
                event.body = {"id": event.id}
                return event
            event = returned
            if getattr(event, "terminated", False):
                return event
            following = plan.after(step)
            step = following[0] if following else None
        return event

    def wait_for_completion(self, timeout_s: float | None = None) -> None:
        """Nothing goes on after a reply."""
