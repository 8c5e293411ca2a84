"""Where the answers of requests come in tests, and requests with all that a test does not care about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from mms.core import Request, new_request_id
from mms.core.request import Buffer
from mms.errors import ServerError


class AwaitedReply:
    """The reply of one request: `done` has its status and body, as `read` makes it of bytes. A second answer raises.

    A request that fails has its error's status and message there, or with `raises` the error itself.
    """

    def __init__(self, read: Callable[[bytes], Any] = bytes, *, raises: bool = False) -> None:
        self.done: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self._read = read
        self._raises = raises

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self.done.set_result((status, self._read(bytes(body))))

    def fail(self, request: Request, error: ServerError) -> None:
        if self._raises:
            self.done.set_exception(error)
        else:
            self.done.set_result((error.http_status, self._read((error.message or "").encode())))


def make_request(name: str, reply: Any, body: Buffer = b"", **members: Any) -> Request:
    """`members`: of Request, where they are not what they are for a plain text that has just come."""
    return Request(
        **{
            "id": new_request_id(),
            "name": name,
            "version": None,
            "passes_query": False,
            "content_type": b"text/plain",
            "query": b"",
            "headers": b"",
            "body": body,
            "reply": reply,
            "received_at": time.monotonic(),
            **members,
        }
    )
