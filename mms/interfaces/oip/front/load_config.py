"""The parameter `config` of a load: keys of `model-config.yaml`, and what Triton's configurations say of the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from archiver.model_config import ConfigKeys, read_config_keys
from mms.errors import BadRequest
from mms.text.brief import brief

#: More than any configuration needs, and little enough to be read at once.
_MOST_CHARACTERS: Final = 64 * 1024
_MICROSECONDS: Final = 1000


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
    for name, value in said.items():
        if name == "name":
            if value != model_name:
                raise BadRequest(f"config is of the model {brief(value)}, not of {model_name}.")
        elif name == "max_batch_size":
            # Without batches, as 0 has it, each request comes alone.
            keys["batchSize"] = 1 if value == 0 else value
        elif name == "dynamic_batching":
            keys |= _of_batching(value)
        elif name == "instance_group":
            keys |= _of_instances(value)
        else:
            keys[name] = value
    config = read_config_keys(keys, besides=())
    if config.problems:
        raise BadRequest(f"The parameter config is refused: {config.problems[0]}")
    return config


def _of_batching(value: Any) -> dict[str, Any]:
    members = _members("dynamic_batching", value, ("max_queue_delay_microseconds",))
    delay_us = members.get("max_queue_delay_microseconds", 0)
    if type(delay_us) is not int or delay_us < 0:
        raise BadRequest(
            f"config has the max_queue_delay_microseconds {brief(delay_us)}; a whole number from 0 on is right."
        )
    # What is shorter than a millisecond is still a wait.
    return {"maxBatchDelay": -(-delay_us // _MICROSECONDS)}


def _of_instances(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or len(value) != 1:
        raise BadRequest(
            f"config has the instance_group {brief(value)}; a list with one group is right."
        )
    members = _members("instance_group", value[0], ("name", "count", "kind", "gpus"))
    count = members.get("count", 1)
    keys: dict[str, Any] = {"minWorkers": count, "maxWorkers": count}
    kind = members.get("kind", "KIND_AUTO")
    if kind == "KIND_CPU":
        keys["deviceType"] = "cpu"
    elif kind not in ("KIND_GPU", "KIND_AUTO"):
        raise BadRequest(
            f"config has the kind {brief(kind)}; KIND_CPU, KIND_GPU or KIND_AUTO is right."
        )
    if members.get("gpus"):
        keys["deviceIds"] = members["gpus"]
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
