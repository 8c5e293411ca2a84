"""Gives back its tensor, as a handler of MMS."""

from __future__ import annotations

from typing import Any


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    if data is None:
        return None
    return [{"y": item["inputs"]["x"]} for item in data]
