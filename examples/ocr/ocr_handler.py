"""Reads the text in images: a request brings an image, its answer is the text, line by line.

The body is an image file (PNG, JPEG, TIFF, ...), or the part `image` of a multipart form. The answer is JSON:
`{"text": "...", "lines": [{"text": "...", "confidence": 0.98, "box": [left, top, right, bottom]}, ...]}`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import onnxruntime
from image_input import BadImage, Pixels, read_image
from text_detection import Box, TextDetection
from text_recognition import ReadText, TextRecognition

LEAST_CONFIDENCE = 0.5


class OcrHandler:
    def initialize(self, context: Any) -> None:
        model_dir = Path(context.system_properties["model_dir"])
        options = onnxruntime.SessionOptions()
        # A server starts a worker for each core: more threads would get in each other's way.
        options.intra_op_num_threads = 1
        self._detection = TextDetection(model_dir / "detection.onnx", options)
        self._recognition = TextRecognition(model_dir / "recognition.onnx", options)

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        """One answer a request. The lines of all images of the batch are read together."""
        answers: list[Any] = [None] * len(data)
        images: dict[int, Pixels] = {}
        for index, item in enumerate(data):
            context.set_response_content_type(index, "application/json")
            try:
                images[index] = read_image(item)
            except BadImage as error:
                context.set_response_status(400, "Bad Request", idx=index)
                answers[index] = {"code": 400, "type": "BadImage", "message": str(error)}

        started_at = time.perf_counter()
        boxes = dict(zip(images, self._detection.find(list(images.values())), strict=True))
        detected_at = time.perf_counter()
        pictures = [
            images[index][box.top : box.bottom, box.left : box.right]
            for index in images
            for box in boxes[index]
        ]
        texts = iter(self._recognition.read(pictures))
        for index in images:
            answers[index] = answer([(box, next(texts)) for box in boxes[index]])
        recognised_at = time.perf_counter()

        context.metrics.add_counter("TextLines", len(pictures))
        context.metrics.add_time("DetectionTime", round((detected_at - started_at) * 1000, 2))
        context.metrics.add_time("RecognitionTime", round((recognised_at - detected_at) * 1000, 2))
        return answers


def answer(lines: list[tuple[Box, ReadText]]) -> dict[str, Any]:
    kept = [(box, read) for box, read in lines if read.confidence >= LEAST_CONFIDENCE]
    return {
        "text": "\n".join(read.text for _, read in kept),
        "lines": [
            {
                "text": read.text,
                "confidence": round(read.confidence, 4),
                "box": [box.left, box.top, box.right, box.bottom],
            }
            for box, read in kept
        ],
    }
