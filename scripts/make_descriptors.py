"""Compile `scripts/protos/` to the descriptors that the server reads, where grpcio-tools is installed.

pip install grpcio-tools
python scripts/make_descriptors.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "scripts" / "protos"
#: File of the server -> what it is compiled from; imports come first.
DESCRIPTORS = {
    "mms/grpc/reflection.binpb": (
        "grpc/reflection/v1/reflection.proto",
        "grpc/reflection/v1alpha/reflection.proto",
    ),
    "mms/grpc/health.binpb": ("grpc/health/v1/health.proto",),
    "mms/interfaces/oip/front/open_inference.binpb": ("model_config.proto", "grpc_service.proto"),
    "mms/interfaces/seldon/codec/prediction.binpb": ("proto/prediction.proto",),
    "mms/interfaces/torchserve/front/torchserve.binpb": (
        "google/protobuf/any.proto",
        "google/protobuf/empty.proto",
        "google/rpc/status.proto",
        "torchserve/inference.proto",
        "torchserve/management.proto",
        "torchserve/open_inference.proto",
    ),
    "mms/interfaces/seldon/codec/tensor.binpb": (
        "tensorflow/core/framework/types.proto",
        "tensorflow/core/framework/tensor_shape.proto",
        "tensorflow/core/framework/tensor.proto",
    ),
}


class CompilationFailed(Exception):
    """The compiler refused a source; it has printed why."""


def compiled(sources: tuple[str, ...]) -> bytes:
    """Return a serialized FileDescriptorSet. Raises ImportError (without grpcio-tools), CompilationFailed."""
    import grpc_tools
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    google = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "set"
        arguments = ["protoc", f"-I{SOURCES}", f"-I{google}", f"--descriptor_set_out={target}"]
        if protoc.main([*arguments, *sources]) != 0:
            raise CompilationFailed(", ".join(sources))
        files = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    by_name = {file.name: file for file in files.file}
    ordered = descriptor_pb2.FileDescriptorSet(file=[by_name[name] for name in sources])
    for file in ordered.file:
        for message in file.message_type:
            _drop_json_names(message)
    return bytes(ordered.SerializeToString(deterministic=True))


def _drop_json_names(message: Any) -> None:
    # Generated modules have none either: a pool that holds both takes them for the same file.
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        _drop_json_names(nested)


def main() -> int:
    for name, sources in DESCRIPTORS.items():
        try:
            (ROOT / name).write_bytes(compiled(sources))
        except ImportError:
            print("Install grpcio-tools first: pip install grpcio-tools", file=sys.stderr)
            return 1
        except CompilationFailed as error:
            print(f"not compiled: {error}", file=sys.stderr)
            return 1
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
