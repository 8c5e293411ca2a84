"""Triton's description of a model, `config.pbtxt`: its tensors, its layout, and the document that its code reads.

Source: triton-inference-server/common, protobuf/model_config.proto, and the documents "Model Configuration" and "Model
Repository".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from archiver.layouts import InvalidLayout, Layout
from mms.interfaces.oip.declared.text_format import InvalidText, Message, Word, parse_text
from mms.tensors.declaration import (
    ANY,
    InvalidDeclaration,
    ModelDeclaration,
    TensorDeclaration,
    read_tensor,
)
from mms.text.brief import brief
from mms.text.nearest import did_you_mean

CONFIG_FILE: Final = "config.pbtxt"
CLASS_NAME: Final = "TritonPythonModel"
_BACKEND: Final = "python"
_MODEL_FILE: Final = "model.py"
_TYPE: Final = "TYPE_"
_STRING: Final = "TYPE_STRING"
#: What has a meaning here.
_KNOWN: Final = (
    *("name", "platform", "backend", "runtime", "max_batch_size", "input", "output"),
    *("dynamic_batching", "instance_group", "parameters", "version_policy"),
    *("default_model_filename", "model_transaction_policy"),
)
#: What needs more than a model's own code, and why that is refused.
_REFUSED: Final = {
    "sequence_batching": "requests of a sequence are not kept together here",
    "ensemble_scheduling": "a model of models is a graph here",
}
_WITHOUT_EFFECT: Final = (
    *("optimization", "model_warmup", "response_cache", "model_operations", "metric_tags"),
    *("batch_input", "batch_output", "cc_model_filenames", "model_repository_agents"),
    *("model_metrics", "scheduling_choice"),
)
#: Of messages that have a meaning here, the members that have one.
_KNOWN_MEMBERS: Final = {
    "dynamic_batching": ("max_queue_delay_microseconds",),
    "instance_group": ("name", "count", "kind", "gpus"),
    "model_transaction_policy": ("decoupled",),
}
#: Kinds of instance groups.
CPU: Final = "KIND_CPU"
GPU: Final = "KIND_GPU"
AUTO: Final = "KIND_AUTO"
_LATEST: Final = {"latest": {"num_versions": 1}}

#: What Triton fills in, which code may read.
_OPTIMIZATION: Final = {
    "priority": "PRIORITY_DEFAULT",
    "input_pinned_memory": {"enable": True},
    "output_pinned_memory": {"enable": True},
    "gather_kernel_buffer_threshold": 0,
    "eager_batching": False,
}
_GROUP: Final = {
    "name": "",
    "kind": "KIND_AUTO",
    "count": 1,
    "gpus": [],
    "secondary_devices": [],
    "profile": [],
    "passive": False,
    "host_policy": "",
}
_BATCHING: Final = {
    "preferred_batch_size": [],
    "max_queue_delay_microseconds": 0,
    "preserve_ordering": False,
    "priority_levels": 0,
    "default_priority_level": 0,
    "priority_queue_policy": {},
}


@dataclass(frozen=True, slots=True)
class TritonConfig:
    """What a `config.pbtxt` says. `document`: all of it as JSON has it, as Triton gives it to models' code."""

    document: dict[str, Any]
    declaration: ModelDeclaration
    #: Why its code cannot be run here; empty: it can.
    refusal: str = ""
    #: Sentences on what has no effect here.
    problems: tuple[str, ...] = ()
    #: By keys of `model-config.yaml`.
    config: dict[str, Any] = field(default_factory=dict)


def milliseconds_of(delay_us: int) -> int:
    """Return a delay of Triton's in milliseconds. What is shorter than one is still a wait."""
    return -(-delay_us // 1000)


def read_config(data: bytes) -> TritonConfig:
    """Read the text of a `config.pbtxt`. Raises InvalidDeclaration."""
    try:
        message = parse_text(data)
    except InvalidText as error:
        raise InvalidDeclaration(str(error)) from None
    most = _whole(message, "max_batch_size")
    declaration = ModelDeclaration(
        tuple(_tensors(message, "input", most)), tuple(_tensors(message, "output", most)), most
    )
    return TritonConfig(
        _document(message, most),
        declaration,
        refusal="; ".join(
            f"{name} is not supported: {why}" for name, why in _REFUSED.items() if name in message
        ),
        problems=tuple(_problems(message)),
        config=_config(message, most),
    )


def config_of_document(document: Mapping[str, Any]) -> ModelDeclaration:
    """Return the declaration of a document that a model's code has completed. Raises InvalidDeclaration."""
    most = document.get("max_batch_size", 0)
    message = {
        side: [
            {
                "name": [each["name"]],
                "data_type": [each["data_type"]],
                "dims": list(each["dims"]),
                "optional": ["true" if each.get("optional") else "false"],
            }
            for each in document.get(side, ())
        ]
        for side in ("input", "output")
    }
    return ModelDeclaration(
        tuple(_tensors(message, "input", most)), tuple(_tensors(message, "output", most)), most
    )


def find_layout(folder: Path) -> Layout | None:
    """Return what a folder is in Triton's layout, with the model's code in Python; None where it is none.

    Raises InvalidLayout.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        return None
    try:
        config = read_config(file.read_bytes())
    except InvalidDeclaration as error:
        raise InvalidLayout(f"{CONFIG_FILE}: {error}") from None
    if config.refusal:
        raise InvalidLayout(f"{CONFIG_FILE}: {config.refusal}")
    document = config.document
    if document["backend"] not in ("", _BACKEND) or document["platform"]:
        return None
    name = document["default_model_filename"]
    versions = sorted(_versions(folder, name))
    specific = document["version_policy"].get("specific", {}).get("versions")
    if specific:
        versions = [version for version in versions if version in specific]
    problems = config.problems
    if versions:
        version = str(versions[-1])
        place = f"{version}/{name}"
        if len(versions) > 1:
            problems = (*problems, f"of the versions {versions}, {version} alone is served.")
    elif (folder / name).is_file():
        version, place = None, name
    else:
        return None
    return Layout(
        CONFIG_FILE,
        f"{place}:{CLASS_NAME}",
        document["name"] or None,
        version,
        config.config,
        problems,
    )


def _versions(folder: Path, name: str) -> Iterator[int]:
    for path in folder.iterdir():
        if path.name.isascii() and path.name.isdigit() and (path / name).is_file():
            yield int(path.name)


def _tensors(message: Message, what: str, max_batch_size: int) -> Iterator[TensorDeclaration]:
    for number, said in enumerate(_messages(message, what)):
        name = _text(said, "name")
        where = f"{what}[{number}]" + (f" ({name})" if name else "")
        if not name:
            raise InvalidDeclaration(f"{where} has no name")
        for absent in ("reshape", "is_shape_tensor", "allow_ragged_batch"):
            if absent in said and said[absent] != ["false"]:
                raise InvalidDeclaration(f"{where} has {absent}, which is not supported")
        kind = _text(said, "data_type")
        if not kind.startswith(_TYPE):
            raise InvalidDeclaration(
                f"{where} has the data_type {brief(kind)}; one such as TYPE_FP32 is right"
            )
        datatype = "BYTES" if kind == _STRING else kind.removeprefix(_TYPE)
        shape = [ANY] if max_batch_size else []
        members = {"name": name, "datatype": datatype, "shape": shape + said.get("dims", [])}
        yield read_tensor(members, f"{what}[{number}]")._replace(
            is_optional=_truth(said, "optional")
        )


def _problems(message: Message) -> Iterator[str]:
    for name in message:
        if name in _WITHOUT_EFFECT:
            yield f"{name} has no effect here."
        elif name not in _KNOWN and name not in _REFUSED:
            hint = did_you_mean(name, _KNOWN)
            yield f"unknown field {brief(name)} has no effect{hint or '.'}"
    for name, known in _KNOWN_MEMBERS.items():
        members = [member for said in _messages(message, name) for member in said]
        for member in dict.fromkeys(members):
            if member not in known:
                yield f"{name}.{member} has no effect here."
    if "dynamic_batching" in message and _whole(message, "max_batch_size") < 2:
        yield "dynamic_batching has no effect without a max_batch_size of 2 or more."
    yield from _problems_of_groups(list(_messages(message, "instance_group")))


def _problems_of_groups(groups: list[Message]) -> Iterator[str]:
    """Yield what the workers do not get of their groups, which are one here."""
    kinds = list(dict.fromkeys(_kind(group) for group in groups))
    for kind in kinds:
        if kind not in (CPU, GPU, AUTO):
            yield f"the kind {brief(kind)} of instance_group has no effect here."
    if len(kinds) > 1 and CPU in kinds:
        yield f"{CPU} has no effect here beside {' and '.join(kind for kind in kinds if kind != CPU)}."
    if any("gpus" in group for group in groups) and not _gpus(groups):
        yield f"gpus of instance_group has no effect here, as not all groups have it, or one is {CPU}."


def _kind(group: Message) -> str:
    return _text(group, "kind") or AUTO


def _gpus(groups: list[Message]) -> list[int]:
    """Return the GPUs of all groups; none where a group may be elsewhere. Raises InvalidDeclaration."""
    listed = [group.get("gpus", []) for group in groups]
    for gpu in (gpu for gpus in listed for gpu in gpus):
        if not isinstance(gpu, int) or gpu < 0:
            raise InvalidDeclaration(f"gpus must be whole numbers from 0 on, not {brief(gpu)}")
    if not all(listed) or any(_kind(group) == CPU for group in groups):
        return []
    return list(dict.fromkeys(gpu for gpus in listed for gpu in gpus))


def _config(message: Message, max_batch_size: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "dynamic_batching" in message and max_batch_size > 1:
        found["batchSize"] = max_batch_size
        batching = _message(message, "dynamic_batching")
        delay_us = _whole(batching, "max_queue_delay_microseconds")
        if delay_us:
            found["maxBatchDelay"] = milliseconds_of(delay_us)
    groups = list(_messages(message, "instance_group"))
    if groups:
        found["minWorkers"] = sum(_whole(group, "count") or 1 for group in groups)
        gpus = _gpus(groups)
        if gpus:
            found["deviceIds"] = gpus
        elif all(_kind(group) == CPU for group in groups):
            found["deviceType"] = "cpu"
    return found


def _version_policy(message: Message) -> dict[str, Any]:
    """Return one of `latest`, `all` and `specific`, in its form in JSON. Raises InvalidDeclaration."""
    policy = _message(message, "version_policy")
    if not policy:
        return _LATEST
    if len(policy) > 1 or not policy.keys() <= {"latest", "all", "specific"}:
        raise InvalidDeclaration(
            f"version_policy must have one of latest, all and specific, not {brief(', '.join(policy))}"
        )
    (choice,) = policy
    said = _message(policy, choice)
    if choice == "latest":
        return {choice: {"num_versions": _whole(said, "num_versions") or 1}}
    if choice == "all":
        return {choice: {}}
    versions = said.get("versions", [])
    if not versions or not all(isinstance(version, int) for version in versions):
        raise InvalidDeclaration(
            f"version_policy.specific.versions must be whole numbers such as [1, 2], not {brief(versions)}"
        )
    return {choice: {"versions": versions}}


def _document(message: Message, max_batch_size: int) -> dict[str, Any]:
    """Return what `initialize` is given as `args["model_config"]`, with the defaults that Triton fills in."""
    document: dict[str, Any] = {
        "name": _text(message, "name"),
        "platform": _text(message, "platform"),
        "backend": _text(message, "backend"),
        "runtime": _text(message, "runtime"),
        "version_policy": _version_policy(message),
        "max_batch_size": max_batch_size,
        "input": [
            {
                "name": _text(said, "name"),
                "data_type": _text(said, "data_type"),
                "format": _text(said, "format") or "FORMAT_NONE",
                "dims": list(said.get("dims", ())),
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": _truth(said, "optional"),
                "is_non_linear_format_io": False,
            }
            for said in _messages(message, "input")
        ],
        "output": [
            {
                "name": _text(said, "name"),
                "data_type": _text(said, "data_type"),
                "dims": list(said.get("dims", ())),
                "label_filename": _text(said, "label_filename"),
                "is_shape_tensor": False,
                "is_non_linear_format_io": False,
            }
            for said in _messages(message, "output")
        ],
        "batch_input": [],
        "batch_output": [],
        "optimization": _OPTIMIZATION,
        "instance_group": [
            _GROUP | _json_of(group) for group in _messages(message, "instance_group")
        ],
        "default_model_filename": _text(message, "default_model_filename") or _MODEL_FILE,
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {
            _text(said, "key"): {"string_value": _text(_message(said, "value"), "string_value")}
            for said in _messages(message, "parameters")
        },
        "model_warmup": [],
    }
    for name, defaults in (("dynamic_batching", _BATCHING), ("model_transaction_policy", {})):
        if name in message:
            document[name] = defaults | _json_of(_message(message, name))
    batching = document.get("dynamic_batching")
    if batching is not None and not isinstance(batching["preferred_batch_size"], list):
        batching["preferred_batch_size"] = [batching["preferred_batch_size"]]
    return document


def _json_of(value: Any) -> Any:
    """Return a message as JSON has it: fields with one value by themselves, several as a list."""
    if isinstance(value, Mapping):
        found = {}
        for name, values in value.items():
            converted = [_json_of(each) for each in values]
            found[name] = converted[0] if len(converted) == 1 else converted
        return found
    if isinstance(value, Word) and value in ("true", "false"):
        return value == "true"
    return str(value) if isinstance(value, Word) else value


def _messages(message: Message, name: str) -> Iterator[Message]:
    for value in message.get(name, ()):
        if not isinstance(value, dict):
            raise InvalidDeclaration(f"{name} must be a message in braces, not {brief(value)}")
        yield value


def _message(message: Message, name: str) -> Message:
    found: Message = {}
    # Of a field that is said again, the parts are merged.
    for value in _messages(message, name):
        found |= value
    return found


def _text(message: Message, name: str) -> str:
    value = message.get(name, [""])[-1:]
    if not value or not isinstance(value[0], str):
        raise InvalidDeclaration(f"{name} must be a text, not {brief(value[0] if value else [])}")
    return str(value[0])


def _whole(message: Message, name: str) -> int:
    values = message.get(name, [0])
    value = values[-1] if values else 0
    if not isinstance(value, int) or value < 0:
        raise InvalidDeclaration(f"{name} must be a whole number from 0 on, not {brief(value)}")
    return value


def _truth(message: Message, name: str) -> bool:
    values = message.get(name, ["false"])
    value = values[-1] if values else "false"
    if value in ("true", "True", "t", 1):
        return True
    if value in ("false", "False", "f", 0):
        return False
    raise InvalidDeclaration(f"{name} must be true or false, not {brief(value)}")
