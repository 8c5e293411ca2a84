"""A service of the first archive format."""

from __future__ import annotations

from mms.model_service.mxnet_model_service import SingleNodeService


class NoopService(SingleNodeService):
    def _inference(self, data):
        return "OK"

    def ping(self):
        return None

    def signature(self):
        return None
