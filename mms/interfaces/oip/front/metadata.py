"""What the server and its models tell of themselves, over REST and gRPC: JSON-able."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mms.errors import BadRequest
from mms.version import __version__

if TYPE_CHECKING:
    from mms.serving import ModelHost, ServedModel
    from mms.tensors.declaration import TensorDeclaration

_NAME: Final = "multi-model-server"
#: What clients look for before they use it.
_EXTENSIONS: Final = (
    *("binary_tensor_data", "generate", "model_configuration", "parameters", "schedule_policy"),
    "statistics",
)
_REPOSITORY: Final = "model_repository"
_SHARED_MEMORY: Final = "system_shared_memory"
#: Datatypes whose name in a configuration is not their own with `TYPE_` before it.
_TYPES: Final = {"BYTES": "TYPE_STRING"}


def check_takes_tensors(served: ServedModel) -> None:
    """Raises BadRequest for a model that no request of this protocol may come to."""
    if not served.takes_tensors:
        raise BadRequest(
            f"The {served.kind} {served.name} answers by asking other models, and takes no tensors."
        )


def server_metadata(*, has_repository: bool, has_shared_memory: bool) -> dict[str, Any]:
    """Return the server's name, version and extensions. `has_repository`: clients may load and unload models."""
    extensions = list(_EXTENSIONS)
    extensions += [_REPOSITORY] * has_repository + [_SHARED_MEMORY] * has_shared_memory
    return {"name": _NAME, "version": __version__, "extensions": sorted(extensions)}


async def model_metadata(host: ModelHost, name: str, version: str | None) -> dict[str, Any]:
    """Return a model's versions and tensors. Raises ModelNotFound, and what is wrong with a model that is only known
    so far and has to be made to tell its tensors."""
    served = host.registry.get(name, version)
    if served.declaration is None:
        served = await served.woken()
    document: dict[str, Any] = {"name": served.name}
    if served.version is not None:
        versions = [each.version for each in host.registry.versions(name)]
        document["versions"] = [each for each in versions if each is not None]
    declaration = served.declaration
    document["platform"] = _platform(served)
    document["inputs"] = declaration.input_metadata() if declaration is not None else []
    document["outputs"] = declaration.output_metadata() if declaration is not None else []
    return document


async def model_config(host: ModelHost, name: str, version: str | None) -> dict[str, Any]:
    """Return a model's configuration with the members of Triton's that it has. Raises as `model_metadata`."""
    served = await host.registry.get(name, version).woken()
    declared = served.declaration
    effective = served.effective
    rows = 0 if declared is None else declared.max_batch_size
    config: dict[str, Any] = {
        "name": served.name,
        "platform": _platform(served),
        "backend": "python",
        "max_batch_size": rows,
        "input": [] if declared is None else [_tensor(each, rows) for each in declared.inputs],
        "output": [] if declared is None else [_tensor(each, rows) for each in declared.outputs],
        "instance_group": [_group(served)],
    }
    if (effective.batch_size or 1) > 1:
        delay_us = 1000 * (effective.max_batch_delay_ms or 0)
        config["dynamic_batching"] = {"max_queue_delay_microseconds": delay_us}
    return config


def _platform(served: ServedModel) -> str:
    return f"mms_{served.interface}"


def _tensor(declared: TensorDeclaration, rows: int) -> dict[str, Any]:
    """`rows`: with more than 0 the first dimension is that of a batch, which configurations leave out."""
    shape = list(declared.shape[1:] if rows else declared.shape)
    kind = _TYPES.get(declared.datatype, f"TYPE_{declared.datatype}")
    tensor: dict[str, Any] = {"name": declared.name, "data_type": kind, "dims": shape}
    if declared.is_optional:
        tensor["optional"] = True
    return tensor


def _group(served: ServedModel) -> dict[str, Any]:
    gpus = list(served.gpus)
    group: dict[str, Any] = {"name": served.name, "count": max(served.max_workers, 1)}
    return {**group, "kind": "KIND_GPU", "gpus": gpus} if gpus else {**group, "kind": "KIND_CPU"}
