"""The messages of `inference.GRPCInferenceService`, in a pool of their own: clients' packages bring the same along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mms.bodies.protobuf_files import message_class, pool_of

SERVICE: Final = "inference.GRPCInferenceService"
_FILE: Final = "grpc_service.proto"
_CONFIG_FILE: Final = "model_config.proto"


POOL: Any = pool_of(Path(__file__).with_name("open_inference.binpb"))

#: By name.
CLASSES: Final[dict[str, Any]] = {
    name: message_class(POOL, descriptor)
    for file in (_FILE, _CONFIG_FILE)
    for name, descriptor in POOL.FindFileByName(file).message_types_by_name.items()
}
