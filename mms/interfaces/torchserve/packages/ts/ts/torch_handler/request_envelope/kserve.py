"""The envelope `kserve`: requests and answers of KServe's first protocol."""

from __future__ import annotations

import json
from typing import Any

from .base import BaseEnvelope


class KServeEnvelope(BaseEnvelope):
    """Joins the `instances` of all requests of a batch, and gives each request its `predictions` or `explanations`."""

    def __init__(self, handle_fn: Any) -> None:
        super().__init__(handle_fn)
        self._lengths: list[int] = []

    def parse_input(self, data: Any) -> Any:
        batches = [_instances(row) for row in data]
        self._lengths = [len(batch) for batch in batches]
        return [instance for batch in batches for instance in batch]

    def format_output(self, data: Any) -> Any:
        name = "explanations" if self._is_explain() else "predictions"
        if len(self._lengths) == 1:
            return [{name: data}]
        answers = []
        start = 0
        for length in self._lengths:
            answers.append({name: data[start : start + length]})
            start += length
        return answers

    def _is_explain(self) -> bool:
        return bool(self.context and self.context.get_request_header(0, "explain") == "True")


def _instances(row: Any) -> list[Any]:
    found = row.get("data") or row.get("body")
    if isinstance(found, bytes | bytearray):
        found = json.loads(found)
    instances: list[Any] = found.get("instances")
    return instances
