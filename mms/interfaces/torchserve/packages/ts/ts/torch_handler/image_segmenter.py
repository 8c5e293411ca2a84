"""A handler that finds the class of each pixel of an image."""

from __future__ import annotations

from typing import Any

import torch
from torchvision import transforms

from .vision_handler import VisionHandler


class ImageSegmenter(VisionHandler):
    """Answers with the likeliest class of each pixel, and its probability."""

    #: By the size, the mean and the deviation of ImageNet's images.
    image_processing = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )

    def postprocess(self, data: Any) -> Any:
        probabilities = torch.nn.functional.softmax(data["out"], dim=1)
        highest, classes = torch.max(probabilities, dim=1)
        return torch.stack([classes.type(highest.dtype), highest], dim=3).tolist()
