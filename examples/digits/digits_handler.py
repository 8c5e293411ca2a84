"""Names the digit in an 8 by 8 grey image.

A request's body is JSON: `{"image": [[0, 3, 16, ...], ...]}`, 8 rows of 8 numbers from 0 (paper) to
16 (ink), or the same 64 numbers in one flat list. The answer is `{"digit": 7}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np

PIXEL_COUNT = 64
INK_MAX = 16.0


class DigitsHandler:
    def initialize(self, context: Any) -> None:
        """Read the classifier; called once, when the worker loads the model."""
        model_dir = Path(context.system_properties["model_dir"])
        self._classifier = joblib.load(model_dir / "classifier.joblib")

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """One answer for each request of the batch, from a single call of the classifier."""
        answers: list[dict[str, Any]] = [{} for _ in data]
        images = []
        indices = []
        for index, item in enumerate(data):
            try:
                images.append(read_image(item.get("body")))
                indices.append(index)
            except ValueError as error:
                context.set_response_status(400, "Bad Request", idx=index)
                answers[index] = {"code": 400, "type": "BadImage", "message": str(error)}
            context.set_response_content_type(index, "application/json")
        if images:
            digits = self._classifier.predict(np.stack(images))
            for index, digit in zip(indices, digits, strict=True):
                answers[index] = {"digit": int(digit)}
        return answers


def read_image(body: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The 64 pixels of one request's body as floats.

    The body is parsed JSON when the client says `Content-Type: application/json`, and bytes otherwise.
    A ValueError is the client's mistake; its text goes back to the client.
    """
    if isinstance(body, (bytes, bytearray, str)):
        try:
            body = json.loads(body)
        except ValueError as error:
            raise ValueError(f"the body is no JSON: {error}") from None
    image = body.get("image") if isinstance(body, dict) else None
    if image is None:
        raise ValueError('the body has to be a JSON object with the member "image"')
    try:
        pixels = np.asarray(image, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError('"image" has to be 8 rows of 8 numbers') from None
    if pixels.size != PIXEL_COUNT:
        raise ValueError(f'"image" has {pixels.size} numbers, expected 8 rows of 8')
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= INK_MAX):
        raise ValueError('the numbers of "image" have to be between 0 and 16')
    return pixels.reshape(PIXEL_COUNT)
