"""Reads a picture of one line of text: a network with a CTC output (PP-OCRv4, Chinese and English)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

LINE_HEIGHT_PIXELS = 48
# The width the network was trained with; shorter lines are filled up to it.
SMALLEST_WIDTH_PIXELS = 320
# Bounds the memory that a page with many lines needs.
LINES_PER_CALL = 16

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class ReadText:
    text: str
    confidence: float  # mean chance of its characters, 0 to 1


class TextRecognition:
    def __init__(self, model_file: Path, options: onnxruntime.SessionOptions) -> None:
        self._session = onnxruntime.InferenceSession(
            str(model_file), options, providers=["CPUExecutionProvider"]
        )
        self._input_name = self._session.get_inputs()[0].name
        # The model carries its alphabet. Class 0 is CTC's blank, the class after the last is the space.
        alphabet = self._session.get_modelmeta().custom_metadata_map["character"]
        self._characters = ["", *alphabet.splitlines(), " "]

    def read(self, lines: list[Pixels]) -> list[ReadText]:
        """The text of each picture (height, width, RGB), in the order given."""
        scaled = [_network_input(line) for line in lines]
        # Lines of like width go together, so that few of them are filled up much.
        order = sorted(range(len(lines)), key=lambda index: scaled[index].shape[2])
        texts: dict[int, ReadText] = {}
        for start in range(0, len(order), LINES_PER_CALL):
            indices = order[start : start + LINES_PER_CALL]
            width = max(SMALLEST_WIDTH_PIXELS, *(scaled[index].shape[2] for index in indices))
            batch = np.zeros((len(indices), 3, LINE_HEIGHT_PIXELS, width), dtype=np.float32)
            for row, index in enumerate(indices):
                batch[row, :, :, : scaled[index].shape[2]] = scaled[index]
            (chances,) = self._session.run(None, {self._input_name: batch})
            for row, index in enumerate(indices):
                texts[index] = self._decode(chances[row])
        return [texts[index] for index in range(len(lines))]

    def _decode(self, chances: Floats) -> ReadText:
        """Best path through (step, class) chances: runs of one class are one character, blanks none."""
        classes = chances.argmax(axis=1)
        is_start_of_run = np.ones(len(classes), dtype=bool)
        is_start_of_run[1:] = classes[1:] != classes[:-1]
        steps = np.flatnonzero(is_start_of_run & (classes != 0))
        if not len(steps):
            return ReadText("", 0.0)
        text = "".join(self._characters[classes[step]] for step in steps)
        return ReadText(text, float(chances[steps, classes[steps]].mean()))


def _network_input(line: Pixels) -> Floats:
    height, width = line.shape[:2]
    scaled_width = max(1, math.ceil(width * LINE_HEIGHT_PIXELS / height))
    size = (scaled_width, LINE_HEIGHT_PIXELS)
    scaled = np.asarray(Image.fromarray(line).resize(size, Image.Resampling.BILINEAR))
    planes: Floats = scaled[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)
    planes /= 127.5
    planes -= 1.0
    return planes
