"""The messages of `inference.GRPCInferenceService`, in a pool of their own: clients' packages bring the same along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pool

from mms.bodies.protobuf_files import descriptor_files, message_class

SERVICE: Final = "inference.GRPCInferenceService"
_FILE: Final = "grpc_service.proto"
_CONFIG_FILE: Final = "model_config.proto"


def _make_pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_files(Path(__file__).with_name("open_inference.binpb")):
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL: Any = _make_pool()

#: By name.
CLASSES: Final[dict[str, Any]] = {
    name: message_class(POOL, descriptor)
    for file in (_FILE, _CONFIG_FILE)
    for name, descriptor in POOL.FindFileByName(file).message_types_by_name.items()
}
