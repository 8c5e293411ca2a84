"""A service of the first archive format that shows how its three steps are called."""

from __future__ import annotations

from mms.model_service.mxnet_model_service import SingleNodeService


class EchoService(SingleNodeService):
    def _preprocess(self, data):
        return ["preprocessed", *data]

    def _inference(self, data):
        return ["inferred", *data]

    def _postprocess(self, data):
        return [repr(data)]
