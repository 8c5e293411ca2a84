"""What MLRun's function for Nuclio does, as ASGI: `v2_serving_init` once, `v2_serving_handler` a request.

One request at a time, as in a worker of Nuclio.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType, SimpleNamespace
from typing import Any

# MLRun imports these names at its start, and serving never calls them.
for _name, _class in (("v3io_frames", "Client"), ("v3io_frames.client", "ClientBase")):
    sys.modules[_name] = ModuleType(_name)
    setattr(sys.modules[_name], _class, object)

from mlrun.serving.server import (  # noqa: E402
    MockEvent,
    Response,
    v2_serving_handler,
    v2_serving_init,
)
from mlrun.utils import create_logger  # noqa: E402

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

logging.disable(logging.INFO)
_context = SimpleNamespace(
    logger=create_logger("warning"),
    Response=Response,
    trigger=SimpleNamespace(kind="http"),
    worker_id=0,
)
v2_serving_init(_context, vars(importlib.import_module(os.environ["BENCH_MODULE"])))


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    parts, has_more = [], True
    while has_more:
        message = await receive()
        parts.append(message.get("body", b""))
        has_more = message.get("more_body", False)
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    event = MockEvent(
        body=b"".join(parts),
        content_type=headers.get("content-type"),
        headers=headers,
        method=scope["method"],
        path=scope["path"],
    )
    answer = v2_serving_handler(_context, event)
    status, content_type, body = 200, "text/plain", answer
    if isinstance(answer, Response):
        status, content_type, body = answer.status_code, answer.content_type, answer.body
    data = body.encode() if isinstance(body, str) else body or b""
    head = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": data})
