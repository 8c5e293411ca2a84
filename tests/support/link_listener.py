"""Takes what a link passes on, and remembers it."""

from __future__ import annotations

from typing import Any


class Listener:
    """Takes all that a link says, and keeps lines and what is waited for."""

    def __init__(self) -> None:
        self.output: list[str] = []
        self.waiting: list[str] = []

    def on_output(self, stream: str, text: str) -> None:
        self.output.append(f"{stream}: {text}")

    def on_waiting(self, reason: str) -> None:
        self.waiting.append(reason)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *arguments: None
        raise AttributeError(name)
