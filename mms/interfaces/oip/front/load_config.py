"""The parameter `config` of a load: keys of `model-config.yaml`, and what Triton's configurations say of the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from archiver.model_config import ConfigKeys, read_config_keys
from mms.errors import BadRequest
from mms.interfaces.oip.declared.triton_config import AUTO, CPU, GPU, milliseconds_of
from mms.text.brief import brief

#: More than any configuration needs, and little enough to be read at once.
_MOST_CHARACTERS: Final = 64 * 1024


def read_load_config(text: Any, model_name: str) -> ConfigKeys:
    """Return what a configuration says of how a model is to run.

    Raises BadRequest for one that is no JSON object, and for a member that has no effect at a load, by its name.
    """
    if not isinstance(text, str):
        raise BadRequest(
            f"The parameter config is {brief(text)}; a text with a JSON object is right."
        )
    if len(text) > _MOST_CHARACTERS:
        raise BadRequest(f"The parameter config has more than {_MOST_CHARACTERS} characters.")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The parameter config is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise BadRequest(f"The parameter config is {brief(said)}; a JSON object is right.")
    keys: dict[str, Any] = {}
    #: What each key comes from.
    sources: dict[str, str] = {}
    for name, value in said.items():
        found: dict[str, Any]
        if name == "name":
            if value != model_name:
                raise BadRequest(f"config is of the model {brief(value)}, not of {model_name}.")
            continue
        if name == "max_batch_size":
            found = _of_batch_size(value)
        elif name == "dynamic_batching":
            found = _of_batching(value)
        elif name == "instance_group":
            found = _of_instances(value)
        else:
            found = {name: value}
        for key in found:
            if key in sources:
                raise BadRequest(
                    f"config has both {sources[key]} and {name}, which say the same; one of them is right."
                )
            sources[key] = name
        keys |= found
    if str(keys.get("deviceType")).lower() == "cpu" and keys.get("deviceIds"):
        cpu, gpus = sources["deviceType"], sources["deviceIds"]
        raise BadRequest(
            f"config has the CPU ({cpu}) and GPUs ({gpus}); the workers can have one of them."
        )
    config = read_config_keys(keys, besides=())
    if config.problems:
        raise BadRequest(f"The parameter config is refused: {config.problems[0]}")
    return config


def _of_batch_size(value: Any) -> dict[str, Any]:
    if type(value) is not int or value < 0:
        raise BadRequest(
            f"config has the max_batch_size {brief(value)}; a whole number from 0 on is right."
        )
    # Without batches, as 0 has it, each request comes alone.
    return {"batchSize": value or 1}


def _of_batching(value: Any) -> dict[str, Any]:
    members = _members("dynamic_batching", value, ("max_queue_delay_microseconds",))
    delay_us = members.get("max_queue_delay_microseconds", 0)
    if type(delay_us) is not int or delay_us < 0:
        raise BadRequest(
            f"config has the max_queue_delay_microseconds {brief(delay_us)}; a whole number from 0 on is right."
        )
    return {"maxBatchDelay": milliseconds_of(delay_us)}


def _of_instances(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) != 1:
        raise BadRequest(
            f"config has the instance_group {brief(value)}; a list with one group is right."
        )
    members = _members("instance_group", value[0], ("name", "count", "kind", "gpus"))
    count = members.get("count", 1)
    keys: dict[str, Any] = {"minWorkers": count, "maxWorkers": count}
    kind, gpus = members.get("kind", AUTO), members.get("gpus")
    if kind not in (CPU, GPU, AUTO):
        raise BadRequest(f"config has the kind {brief(kind)}; {CPU}, {GPU} or {AUTO} is right.")
    if kind == GPU and not gpus:
        raise BadRequest(f"config has {GPU} without gpus; a list such as [0] says which.")
    if kind == CPU:
        keys["deviceType"] = "cpu"
    if gpus:
        keys["deviceIds"] = gpus
    return keys


def _members(name: str, value: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"config has the {name} {brief(value)}; an object is right.")
    unknown = [member for member in value if member not in known]
    if unknown:
        raise BadRequest(
            f"config has {brief(unknown[0])} in {name}, which has no effect here; there is {', '.join(known)}."
        )
    return value
