"""Image classification with MXNet symbols."""

from __future__ import annotations

from typing import Any

from mms.model_service.mxnet_model_service import MXNetBaseService
from mms.utils.mxnet import image, ndarray


class MXNetVisionService(MXNetBaseService):
    """Images in, resized to the signature's shape; the five likeliest labels of the archive's synset.txt out."""

    def _preprocess(self, data: Any) -> Any:
        inputs = []
        for content, described in zip(data, self._signature["inputs"], strict=False):
            height, width = described["data_shape"][2:]
            inputs.append(image.transform_shape(image.resize(image.read(content), width, height)))
        return inputs

    def _postprocess(self, data: Any) -> Any:
        return top_labels(self, data)


def top_labels(service: Any, outputs: Any) -> list[Any]:
    """The five likeliest labels of each output. Raises AssertionError where the service has no labels."""
    if not hasattr(service, "labels"):
        raise AssertionError("no labels: put synset.txt into the archive, or set `labels`")
    return [ndarray.top_probability(output, service.labels, top=5) for output in outputs]
