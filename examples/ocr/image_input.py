"""Takes the image out of a request."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

LARGEST_IMAGE_PIXELS = 40_000_000
# The raw body, or the parts of a form where the image is looked for.
PLACES = ("body", "image", "data")

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

# What Pillow raises for broken files; some of them come as SyntaxError or ValueError.
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class BadImage(ValueError):
    """The client's mistake; its text goes back to the client."""


def read_image(item: dict[str, Any]) -> Pixels:
    """The pixels (height, width, RGB) of the image in a request, turned as its EXIF data says."""
    file = next((item[name] for name in PLACES if item.get(name)), None)
    if not isinstance(file, (bytes, bytearray)):
        raise BadImage(
            "the request has no image: send the file as the body, or as the part `image` of a form"
        )
    try:
        opened = Image.open(io.BytesIO(file))
    except UnidentifiedImageError:
        raise BadImage("the file is no image, or of a kind that cannot be read") from None
    except _UNREADABLE as error:
        raise BadImage(f"the image cannot be read: {error}") from None
    if opened.width * opened.height > LARGEST_IMAGE_PIXELS:
        raise BadImage(
            f"the image has {opened.width} x {opened.height} pixels, "
            f"{LARGEST_IMAGE_PIXELS} are the limit"
        )
    try:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except _UNREADABLE as error:
        raise BadImage(f"the image cannot be read: {error}") from None
