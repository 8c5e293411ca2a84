"""Predictions: what is sent, and what an answer that is no success means."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from mms.client.answer import Answer, Call
from mms.client.steps import Rules, Steps, answered
from mms.text.media_type import BINARY, media_type_of

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


def path_of(*segments: str | None) -> str:
    """Return a path of these segments, each of them percent-encoded; None is left out."""
    return "".join(
        f"/{quote(segment, safe='', errors='surrogateescape')}"
        for segment in segments
        if segment is not None
    )


def encoded(data: Any, content_type: str | None) -> tuple[bytes, str]:
    """Return the body and its content type: bytes and files as they are, text as text, anything else as JSON.

    Raises OSError for a file that cannot be read, TypeError for what JSON cannot hold.
    """
    if isinstance(data, os.PathLike):
        path = Path(data)
        return path.read_bytes(), content_type or media_type_of(path.name) or BINARY
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), content_type or BINARY
    if isinstance(data, str):
        return data.encode("utf-8", "surrogateescape"), content_type or TEXT
    if hasattr(data, "read"):
        content = data.read()
        name = getattr(data, "name", None)
        guessed = media_type_of(name) if isinstance(name, str) else None
        return encoded(content, content_type or guessed)
    return json.dumps(data).encode(), content_type or JSON


def prediction(
    model: str,
    data: Any,
    version: str | None,
    content_type: str | None,
    headers: Mapping[str, str] | None,
    *,
    is_repeatable: bool,
    is_streamed: bool = False,
) -> Call:
    """Return the call of a prediction. `data` as in `encoded`."""
    body, kind = encoded(data, content_type)
    return Call(
        "POST",
        "/predictions" + path_of(model, version),
        body,
        {"Content-Type": kind, **(headers or {})},
        is_repeatable=is_repeatable,
        tells_time=True,
        is_streamed=is_streamed,
    )


def predict(call: Call, rules: Rules) -> Steps[Answer]:
    """Return an answer that is no error. Raises ServerRefused, DeadlineExceeded, ServerUnreachable."""
    return (yield from answered(call, rules)).check()


def ping(rules: Rules) -> Steps[str]:
    """Return the health that the server tells, whatever the status of its answer."""
    found = (yield from answered(Call("GET", "/ping", is_repeatable=True), rules)).json()
    # An interface's listener may have another name for it.
    text = found.get("status") or found.get("Status") or found.get("message")
    return str(text)


def is_ready(model: str | None, version: str | None, rules: Rules) -> Steps[bool]:
    """Return whether a model, or the server with all its models, takes requests."""
    path = "/readyz" if model is None else path_of("models", model, version, "ready")
    answer = yield from answered(Call("GET", path, is_repeatable=True), rules)
    if answer.status not in (200, 503):
        answer.check()
    return answer.status == 200
