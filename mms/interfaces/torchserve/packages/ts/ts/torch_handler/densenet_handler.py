"""A handler whose requests are tensors that `torch.save` wrote."""

from __future__ import annotations

import io
from typing import Any

import torch

from .base_handler import BaseHandler


class DenseNetHandler(BaseHandler):
    """Answers the requests of a batch with one tensor."""

    def preprocess(self, data: Any) -> Any:
        rows = [row.get("data") or row.get("body") for row in data]
        return torch.stack([torch.load(io.BytesIO(row), weights_only=True) for row in rows])

    def postprocess(self, data: Any) -> Any:
        return [data]
