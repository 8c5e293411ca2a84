"""The base of handlers of images."""

from __future__ import annotations

import base64
import importlib
import io
from typing import Any

import torch
from PIL import Image

from ..handler_utils.timer import timed
from .base_handler import BaseHandler


class VisionHandler(BaseHandler):
    """Reads images; `image_processing` of a derived class makes tensors of them."""

    image_processing: Any

    def initialize(self, context: Any) -> None:
        super().initialize(context)
        if not context.system_properties.get("limit_max_image_pixels"):
            Image.MAX_IMAGE_PIXELS = None

    @timed
    def preprocess(self, data: Any) -> Any:
        """Return a tensor of the images of a batch: files as bytes or in base64, or lists of numbers."""
        images = []
        for row in data:
            image = row.get("data") or row.get("body")
            if isinstance(image, str):
                image = base64.b64decode(image)
            if isinstance(image, bytes | bytearray):
                images.append(self.image_processing(Image.open(io.BytesIO(image))))
            else:
                images.append(torch.FloatTensor(image))
        return torch.stack(images).to(self.device)

    def get_insights(self, tensor_data: Any, _: Any, target: Any = 0) -> Any:
        """Return the integrated gradients of an image, with captum."""
        gradients = importlib.import_module("captum.attr").IntegratedGradients(self.model)
        return gradients.attribute(tensor_data, target=target, n_steps=15).tolist()
