"""A handler of one's own: one digit for an image, and how sure the network is."""

from __future__ import annotations

import io
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torchvision import transforms
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import PredictionException

TO_TENSOR = transforms.Compose(
    [
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)


class DigitHandler(BaseHandler):
    """`initialize` and `inference` are those of the base: they load the network and run it."""

    def preprocess(self, data: list[dict[str, Any]]) -> torch.Tensor:
        images = []
        for row in data:
            content = row.get("data") or row.get("body")
            try:
                image = Image.open(io.BytesIO(content)).convert("RGB").resize((64, 64))
            except (UnidentifiedImageError, TypeError):
                raise PredictionException("the body is no image", 400) from None
            images.append(TO_TENSOR(image))
        return torch.stack(images).to(self.device)

    def postprocess(self, data: torch.Tensor) -> list[dict[str, Any]]:
        shares, digits = torch.softmax(data, dim=1).max(dim=1)
        self.context.metrics.add_counter("Images", len(digits))
        return [
            {"digit": digit, "share": round(share, 4)}
            for digit, share in zip(digits.tolist(), shares.tolist(), strict=True)
        ]
