"""Pictures as models' inputs."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from mms.prepackaged.errors import UnfitInput
from mms.prepackaged.inputs import Array
from mms.prepackaged.library import import_library

_MODES: Mapping[int, str] = {1: "L", 3: "RGB", 4: "RGBA"}


def decode_image(content: bytes, channels: int | None, extra: str) -> Array:
    """Return the picture as a batch of one: float32 of 0 to 1, shape (1, height, width, channels).

    `channels` None leaves the picture as it is saved; a grey one has the shape (1, height, width) then. Raises
    UnfitInput for what is no picture.
    """
    pillow = import_library("PIL.Image", extra)
    try:
        picture = pillow.open(io.BytesIO(content))
        if channels is not None and channels in _MODES:
            picture = picture.convert(_MODES[channels])
        pixels = np.asarray(picture, dtype=np.float32)
    except (OSError, ValueError, pillow.DecompressionBombError) as error:
        raise UnfitInput(f"binData is not a picture that can be read: {error}") from error
    if channels is not None and pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    batch: Array = pixels[np.newaxis] / np.float32(255)
    return batch
