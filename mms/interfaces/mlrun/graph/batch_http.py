"""A step that calls another server about each member of a list."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.graph.remote_request import RemoteRequests
from mms.interfaces.mlrun.paths import get_path, put_path

_MAX_AT_A_TIME = 8


class BatchHttpRequests(RemoteRequests):
    """The answers to a list's members, in their order, asked `max_in_flight` (8 by default) at a time.

    The options are those of RemoteRequests; expressions are over a member as `event`. One that fails fails the step.
    """

    _CLASS_NAME = "mlrun.serving.remote.BatchHttpRequests"

    def do_event(self, event: Any) -> Any:
        members = get_path(event.body, self._input_path)
        if not isinstance(members, list | tuple):
            raise TypeError(
                f"step {self.name}: the body must be a list, but is of type {type(members).__name__}"
            )
        event.body = put_path(event.body, self._result_path, self._ask_all(event, members))
        return event

    def _ask_all(self, event: Any, members: Any) -> list[Any]:
        if len(members) < 2:
            return [self.ask(event, member) for member in members]
        from concurrent.futures import ThreadPoolExecutor

        at_a_time = min(self.max_in_flight or _MAX_AT_A_TIME, len(members))
        with ThreadPoolExecutor(at_a_time, "mlrun-requests") as pool:
            asked = [pool.submit(self.ask, event, member) for member in members]
            try:
                return [future.result() for future in asked]
            except BaseException:
                # Those that were not begun are not asked any more.
                pool.shutdown(wait=False, cancel_futures=True)
                raise
