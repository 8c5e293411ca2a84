"""A model of MLRun's contract that sums rows up and takes a while."""

from __future__ import annotations

import time
from typing import Any

from mlrun.serving import V2ModelServer


class Voter(V2ModelServer):
    def load(self) -> None:
        self.sleep_s = self.get_param("sleep_s", 0)

    def predict(self, request: dict[str, Any]) -> Any:
        if self.sleep_s:
            time.sleep(self.sleep_s)
        return [sum(row) for row in request["inputs"]]
