"""A context for tests of a handler, without a server."""

from __future__ import annotations

import os
import uuid
from typing import Any

from ....metrics.metrics_store import MetricsStore
from ....utils.util import get_yaml_config


class MockContext:
    """Has what `initialize` and `handle` of `BaseHandler` ask for. With `explain` set, requests ask to be explained."""

    def __init__(
        self,
        model_pt_file: str | None = "model.pt",
        model_dir: str = "ts/torch_handler/unit_tests/models/tmp",
        model_file: str | None = "model.py",
        gpu_id: str | None = "0",
        model_name: str = "mnist",
        model_yaml_config_file: str | None = None,
    ) -> None:
        import torch

        model = {"serializedFile": model_pt_file, "modelFile": model_file}
        self.manifest = {"model": {name: value for name, value in model.items() if value}}
        self.system_properties: dict[str, Any] = {"model_dir": model_dir}
        if torch.cuda.is_available() and gpu_id:
            self.system_properties["gpu_id"] = gpu_id
        self.explain = False
        self.metrics = MetricsStore(str(uuid.uuid4()), model_name)
        self.model_yaml_config: Any = {}
        if model_yaml_config_file:
            self.model_yaml_config = get_yaml_config(
                os.path.join(model_dir, model_yaml_config_file)
            )

    def get_request_header(self, idx: int, exp: str) -> bool:
        """As TorchServe's own: nothing for the first request, and the others ask for explanations if `explain`."""
        return bool(idx and exp and self.explain)
