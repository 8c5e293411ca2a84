"""Base classes of the services in archives of MMS's first format. New models do not need them."""

from __future__ import annotations

from mms.model_service import model_service, mxnet_model_service, mxnet_vision_service

__all__ = ["model_service", "mxnet_model_service", "mxnet_vision_service"]
