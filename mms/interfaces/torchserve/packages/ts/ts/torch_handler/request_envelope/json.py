"""The envelope `json`: requests and answers as TensorFlow Serving has them."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from .base import BaseEnvelope


class JSONEnvelope(BaseEnvelope):
    """Joins the `instances` of all requests of a batch, and gives each request its `predictions`."""

    def __init__(self, handle_fn: Any) -> None:
        super().__init__(handle_fn)
        self._lengths: list[int] = []

    def parse_input(self, data: Any) -> Any:
        batches = [_instances(row) for row in data]
        self._lengths = [len(batch) for batch in batches]
        return [instance for batch in batches for instance in batch]

    def format_output(self, data: Any) -> Any:
        answers = []
        start = 0
        for length in self._lengths:
            answers.append(json.dumps({"predictions": data[start : start + length]}))
            start += length
        return answers


def _instances(row: Any) -> list[Any]:
    found = row.get("data") or row.get("body") or row
    if isinstance(found, bytes | bytearray):
        found = json.loads(found)
    instances: list[Any] = found["instances"]
    return [_decoded(instance) for instance in instances]


def _decoded(value: Any) -> Any:
    """Return an instance, with bytes where it or a member of it is `{"b64": ...}`."""
    if not isinstance(value, dict):
        return value
    if list(value) == ["b64"]:
        return b64decode(value["b64"])
    return {
        name: b64decode(member["b64"])
        if isinstance(member, dict) and list(member) == ["b64"]
        else member
        for name, member in value.items()
    }
