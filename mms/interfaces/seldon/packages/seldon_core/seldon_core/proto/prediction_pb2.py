"""The protobuf messages under the name that clients and components import."""

from __future__ import annotations

from mms.interfaces.seldon.codec.messages import (
    FILE_DESCRIPTOR,
    DefaultData,
    Feedback,
    Meta,
    Metric,
    RequestResponse,
    SeldonGraphMetadata,
    SeldonMessage,
    SeldonMessageList,
    SeldonMessageMetadata,
    SeldonModelMetadata,
    SeldonModelMetadataRequest,
    Status,
    Tensor,
)

DESCRIPTOR = FILE_DESCRIPTOR

__all__ = [
    "DESCRIPTOR",
    "DefaultData",
    "Feedback",
    "Meta",
    "Metric",
    "RequestResponse",
    "SeldonGraphMetadata",
    "SeldonMessage",
    "SeldonMessageList",
    "SeldonMessageMetadata",
    "SeldonModelMetadata",
    "SeldonModelMetadataRequest",
    "Status",
    "Tensor",
]
