"""Image classification with Gluon networks."""

from __future__ import annotations

from typing import Any

from mms.model_service.mxnet_model_service import GluonImperativeBaseService
from mms.model_service.mxnet_vision_service import top_labels
from mms.utils.mxnet import mxnet, numpy

#: Of the ImageNet training set, per colour; what the networks of Gluon's model zoo were trained with.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class GluonVisionService(GluonImperativeBaseService):
    """Images in, resized and normalized; the five likeliest labels of the archive's synset.txt out."""

    def _preprocess(self, data: Any) -> Any:
        inputs = []
        for content, described in zip(data, self._signature["inputs"], strict=False):
            height, width = described["data_shape"][2:]
            pixels = mxnet.image.imresize(mxnet.image.imdecode(content), width, height)
            pixels = mxnet.image.color_normalize(
                pixels.astype(numpy.float32) / 255,
                mean=mxnet.nd.array(_MEAN),
                std=mxnet.nd.array(_DEVIATION),
            )
            inputs.append(mxnet.nd.transpose(pixels, (2, 0, 1)).expand_dims(axis=0))
        return inputs

    def _inference(self, data: Any) -> Any:
        super()._inference(data)
        return self.net(data[0]).softmax()

    def _postprocess(self, data: Any) -> Any:
        return top_labels(self, data)
