"""A step, or route, that is a call of another server."""

from __future__ import annotations

from typing import Any

from mms.interfaces.mlrun.graph.remote_request import RemoteRequests
from mms.interfaces.mlrun.paths import get_path, put_path


class RemoteStep(RemoteRequests):
    """Sends the body to an address and passes on the answer.

    The options are those of RemoteRequests. In a flow of engine async up to `max_in_flight` events (1 by default) are
    under way; answers go on in the order of their events.
    """

    _CLASS_NAME = "mlrun.serving.remote.RemoteStep"

    def do_event(self, event: Any) -> Any:
        answer = self.ask(event, get_path(event.body, self._input_path))
        event.body = put_path(event.body, self._result_path, answer)
        return event
