"""A handler that finds objects in an image."""

from __future__ import annotations

from typing import Any

from torchvision import transforms

from ..utils.util import map_class_to_label
from .vision_handler import VisionHandler


class ObjectDetector(VisionHandler):
    """Answers with the boxes whose score is at least `threshold`."""

    image_processing = transforms.Compose([transforms.ToTensor()])
    threshold = 0.5

    def postprocess(self, data: Any) -> Any:
        found = []
        for row in data:
            is_likely = row["scores"] >= self.threshold
            boxes, labels, scores = (
                row[name][is_likely].tolist() for name in ("boxes", "labels", "scores")
            )
            objects = []
            for box, label, score in zip(boxes, labels, scores, strict=True):
                (named,) = map_class_to_label([[box]], self.mapping, [[label]])
                objects.append({**named, "score": score})
            found.append(objects)
        return found
