"""Images as MXNet arrays."""

from __future__ import annotations

import base64
import io
from typing import Any

from mms.utils.mxnet import Needed, mxnet, numpy

_pillow: Any = Needed("PIL.Image")


def transform_shape(img_arr: Any, dim_order: str = "NCHW") -> Any:
    """Height x width x channel -> a batch of one, as `NCHW` or `NHWC`."""
    if dim_order not in ("NCHW", "NHWC"):
        raise AssertionError("dim_order must be 'NCHW' or 'NHWC'.")
    if dim_order == "NCHW":
        img_arr = mxnet.nd.transpose(img_arr, (2, 0, 1))
    return mxnet.nd.expand_dims(img_arr, axis=0)


def read(buf: Any, flag: int = 1, to_rgb: bool = True, out: Any = None) -> Any:
    """The bytes of an image file -> height x width x channel; `flag` 0 for grey."""
    return mxnet.image.imdecode(buf, flag, to_rgb, out)


def write(img_arr: Any, flag: int = 1, format: str = "jpeg", dim_order: str = "CHW") -> str:
    """An image as `CHW` or `HWC` -> the bytes of an image file in base64; `flag` 0 for grey."""
    if dim_order not in ("CHW", "HWC"):
        raise AssertionError("dim_order must be 'CHW' or 'HWC'.")
    if dim_order == "CHW":
        img_arr = mxnet.nd.transpose(img_arr, (1, 2, 0))
    if flag != 1:
        img_arr = mxnet.nd.reshape(img_arr, (img_arr.shape[0], img_arr.shape[1]))
    pixels = img_arr.astype(numpy.uint8).asnumpy()
    content = io.BytesIO()
    _pillow.fromarray(pixels, "RGB" if flag == 1 else "L").save(content, format=format)
    return base64.b64encode(content.getvalue()).decode("ascii")


def resize(src: Any, new_width: int, new_height: int, interp: int = 2) -> Any:
    """`interp`: 0 nearest, 1 bilinear, 2 area, 3 bicubic, 4 Lanczos, 9 and 10 as MXNet chooses."""
    return mxnet.image.imresize(src, new_width, new_height, interp)


def fixed_crop(
    src: Any, x0: int, y0: int, w: int, h: int, size: Any = None, interp: int = 2
) -> Any:
    """The `w` x `h` pixels from (`x0`, `y0`), resized to `size` (width, height) if given."""
    return mxnet.image.fixed_crop(src, x0, y0, w, h, size, interp)


def color_normalize(src: Any, mean: Any, std: Any = None) -> Any:
    """Subtract `mean`, divide by `std` if given."""
    return mxnet.image.color_normalize(src.astype(numpy.float32), mean, std)
