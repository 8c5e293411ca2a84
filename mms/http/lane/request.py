"""A request of the lane."""

from __future__ import annotations

from mms import faults
from mms.core import Reply, Request, new_request_id
from mms.core.request import Buffer
from mms.errors import ModelNotFound, ServerError, UnexpectedError
from mms.http.lane.head import LaneHead


class LaneRequest(Request):
    """A request with what its answer and its log line need."""

    __slots__ = ("answered", "is_kept_alive", "is_known", "lane_head")

    def __init__(self, head: LaneHead, reply: Reply, now: float) -> None:
        # The base's __init__ is not called: on the hot path it would cost a third of what this does.
        self.id = head.request_id or new_request_id()
        self.name = head.name
        self.version = head.version
        self.head = self.lane_head = head
        self.body = b""
        self.reply = reply
        self.received_at = now
        self.deadline = now + head.timeout_s if head.timeout_s else 0.0
        self.priority = head.priority
        self.is_done = False
        self.deaths = ()
        self.is_solo = False
        self.span = None
        self.sequence = None
        self.is_kept_alive = head.is_kept_alive
        #: The model is registered: its name may become a label of metrics.
        self.is_known = True
        #: The finished answer, while it must wait for those of earlier requests.
        self.answered: list[Buffer] | None = None

    def refuse(self, error: Exception) -> None:
        """Answer it: no model has taken it."""
        if isinstance(error, ModelNotFound):
            # Names that clients make up must not become labels of metrics.
            self.is_known = False
        if not isinstance(error, ServerError):
            faults.note("request", error, self.name, self.version, request_ids=(self.id,))
            error = UnexpectedError(self.id)
        self.fail(error)
