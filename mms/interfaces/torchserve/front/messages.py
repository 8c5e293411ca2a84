"""TorchServe's messages, in a pool of their own: clients' packages bring the same along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from mms.bodies.protobuf_files import message_class, pool_of
from mms.core.request import Buffer
from mms.errors import BadRequest

INFERENCE: Final = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
MANAGEMENT: Final = "org.pytorch.serve.grpc.management.ManagementAPIsService"
OPEN_INFERENCE: Final = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"

POOL: Any = pool_of(Path(__file__).with_name("torchserve.binpb"))

#: By name.
CLASSES: Final[dict[str, Any]] = {
    name: message_class(POOL, descriptor)
    for file in (
        "torchserve/inference.proto",
        "torchserve/management.proto",
        "torchserve/open_inference.proto",
    )
    for name, descriptor in POOL.FindFileByName(file).message_types_by_name.items()
}


def read_message(name: str, body: Buffer) -> Any:
    """Return a message. Raises BadRequest."""
    try:
        return CLASSES[name].FromString(bytes(body))
    except DecodeError as error:
        raise BadRequest(f"The message is not a {name}: {error}") from None
