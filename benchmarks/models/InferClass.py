"""A model of MLRun's contract that gives back what it gets."""

from __future__ import annotations

from typing import Any

from mlrun.serving import V2ModelServer


class Identity(V2ModelServer):
    def load(self) -> None:
        self.model = "identity"

    def predict(self, request: dict[str, Any]) -> Any:
        return request["inputs"]
