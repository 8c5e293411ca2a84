"""A handler that classifies images."""

from __future__ import annotations

from typing import Any

import torch
from torchvision import transforms

from ..handler_utils.timer import timed
from ..utils.util import map_class_to_label
from .vision_handler import VisionHandler


class ImageClassifier(VisionHandler):
    """Answers with the probabilities of the `topk` likeliest classes, by their labels where the archive has any."""

    topk = 5
    #: By the size, the mean and the deviation of ImageNet's images.
    image_processing = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )

    def set_max_result_classes(self, topk: int) -> None:
        self.topk = topk

    def get_max_result_classes(self) -> int:
        return self.topk

    @timed
    def postprocess(self, data: Any) -> Any:
        probabilities = torch.nn.functional.softmax(data, dim=1)
        highest, classes = torch.topk(probabilities, self.topk, dim=1)
        return map_class_to_label(highest.tolist(), self.mapping, classes.tolist())
