"""What an event carries of the step that failed on it."""

from __future__ import annotations

from typing import Any

from mms.bodies.error_message import error_message
from mms.interfaces.mlrun.graph.steps import BaseStep


def mark_failed(event: Any, step: BaseStep, error: BaseException) -> None:
    """For the step that handles it: `event.error` is the exception, `event.origin_state` the step's name.

    So it is with the engine `async`, which in MLRun is storey's.
    """
    event.error = error
    event.origin_state = step.name


def mark_failed_by_name(event: Any, step: BaseStep, error: BaseException) -> None:
    """As MLRun's own engine `sync` does: `event.error` is {step: message}, `event.origin_state` the full name."""
    earlier = getattr(event, "error", None)
    errors = earlier if isinstance(earlier, dict) else {}
    event.error = {**errors, step.name: error_message(error)}
    event.origin_state = step.fullname


def report_failure(event: Any, step: BaseStep, error: BaseException, context: Any) -> None:
    """Log what no client is told, and send it to the error stream. Fails nobody."""
    if context is None:
        return
    import traceback

    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
    context.logger.error("step %s failed: %s\n%s", step.fullname, error_message(error), trace)
    context.push_error(event, f"{error_message(error)}\n{trace}", source=step.fullname)
