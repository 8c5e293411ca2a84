"""Finds the lines of text in an image: a segmentation network and the boxes around its regions.

The network (PP-OCRv4, "differentiable binarisation") gives each pixel the chance of being in the core of a
line of text. A core is smaller than its line, so that neighbours do not touch; its box is grown again.
Boxes are upright: text that is turned by more than a few degrees is not found well.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image
from scipy import ndimage

LONGEST_SIDE_PIXELS = 960
# The network halves the image five times.
SIDE_MULTIPLE = 32
# Text that touches the edge is often missed; so every image gets a frame in the colour of its edge.
FRAME_PIXELS = 16
PIXEL_THRESHOLD = 0.3
BOX_THRESHOLD = 0.5
# How far a core is grown, in units of its area / perimeter; the network is trained to shrink by about this.
GROWTH = 1.6
SMALLEST_CORE_PIXELS = 3

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Box:
    """A line of text in pixels of the image; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int


class TextDetection:
    def __init__(self, model_file: Path, options: onnxruntime.SessionOptions) -> None:
        self._session = onnxruntime.InferenceSession(
            str(model_file), options, providers=["CPUExecutionProvider"]
        )
        self._input_name = self._session.get_inputs()[0].name

    def find(self, images: list[Pixels]) -> list[list[Box]]:
        """The boxes in each image (height, width, RGB), in reading order.

        Images that have the same size after scaling share one call of the network. They are not padded to
        a common size: an image's answer must not depend on its neighbours in the batch.
        """
        boxes: list[list[Box]] = [[] for _ in images]
        inputs = [_network_input(image) for image in images]
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, values in enumerate(inputs):
            groups[values.shape].append(index)
        for indices in groups.values():
            batch = np.stack([inputs[index] for index in indices])
            (maps,) = self._session.run(None, {self._input_name: batch})
            for index, chances in zip(indices, maps[:, 0], strict=True):
                height, width = images[index].shape[:2]
                boxes[index] = _in_reading_order(_boxes(chances, width, height))
        return boxes


def _network_input(image: Pixels) -> Floats:
    """Colour planes (blue, green, red) from -1 to 1, scaled to sides that the network accepts."""
    frame = ((FRAME_PIXELS, FRAME_PIXELS), (FRAME_PIXELS, FRAME_PIXELS), (0, 0))
    framed = np.pad(image, frame, mode="edge")
    height, width = framed.shape[:2]
    scale = min(1.0, LONGEST_SIDE_PIXELS / max(height, width))
    size = (_rounded(width * scale), _rounded(height * scale))
    scaled = np.asarray(Image.fromarray(framed).resize(size, Image.Resampling.BILINEAR))
    planes: Floats = scaled[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)
    planes /= 127.5
    planes -= 1.0
    return planes


def _rounded(side: float) -> int:
    return max(1, round(side / SIDE_MULTIPLE)) * SIDE_MULTIPLE


def _boxes(chances: Floats, width: int, height: int) -> list[Box]:
    map_height, map_width = chances.shape
    across = (width + 2 * FRAME_PIXELS) / map_width
    down = (height + 2 * FRAME_PIXELS) / map_height
    labels, _ = ndimage.label(chances > PIXEL_THRESHOLD, structure=np.ones((3, 3)))
    found = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = place
        core_height = rows.stop - rows.start
        core_width = columns.stop - columns.start
        if min(core_height, core_width) < SMALLEST_CORE_PIXELS:
            continue
        if float(chances[place][labels[place] == number].mean()) < BOX_THRESHOLD:
            continue
        growth = GROWTH * core_height * core_width / (2 * (core_height + core_width))
        box = Box(
            left=_clipped((columns.start - growth) * across - FRAME_PIXELS, width),
            top=_clipped((rows.start - growth) * down - FRAME_PIXELS, height),
            right=_clipped((columns.stop + growth) * across - FRAME_PIXELS, width),
            bottom=_clipped((rows.stop + growth) * down - FRAME_PIXELS, height),
        )
        if box.right > box.left and box.bottom > box.top:
            found.append(box)
    return found


def _clipped(place: float, limit: int) -> int:
    return min(max(round(place), 0), limit)


def _in_reading_order(boxes: list[Box]) -> list[Box]:
    """Top to bottom; boxes whose middle lies within the height of another are on its line."""
    lines: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.top + box.bottom):
        middle = (box.top + box.bottom) / 2
        if lines and lines[-1][0].top < middle < lines[-1][0].bottom:
            lines[-1].append(box)
        else:
            lines.append([box])
    return [box for line in lines for box in sorted(line, key=lambda box: box.left)]
