"""TorchServe's messages, in a pool of their own: clients' packages bring the same along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mms.bodies.protobuf_files import message_class, pool_of

INFERENCE: Final = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
MANAGEMENT: Final = "org.pytorch.serve.grpc.management.ManagementAPIsService"

POOL: Any = pool_of(Path(__file__).with_name("torchserve.binpb"))

#: By name.
CLASSES: Final[dict[str, Any]] = {
    name: message_class(POOL, descriptor)
    for file in ("torchserve/inference.proto", "torchserve/management.proto")
    for name, descriptor in POOL.FindFileByName(file).message_types_by_name.items()
}
