"""The protobuf messages under the name that clients and components import."""

from __future__ import annotations

from mms.interfaces.seldon.codec.messages import CLASSES, FILE_DESCRIPTOR

DESCRIPTOR = FILE_DESCRIPTOR
globals().update(CLASSES)
