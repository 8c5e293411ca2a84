"""The description of a model, as its code reads and completes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_OF_TENSOR = ("name", "data_type", "dims")


class ModelConfig:
    """What `auto_complete_config` is given, and completes."""

    def __init__(self, model_config: str) -> None:
        self._config: dict[str, Any] = json.loads(model_config)

    def __repr__(self) -> str:
        return f"<ModelConfig {self._config.get('name')}>"

    def as_dict(self) -> dict[str, Any]:
        return self._config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Raises ValueError for less than the configuration says already."""
        said = self._config.get("max_batch_size", 0)
        if said > max_batch_size:
            raise ValueError(
                f"configuration specified max_batch_size {said}, but in auto-complete-config function for model "
                f"'{self._config.get('name')}' specified max_batch_size {max_batch_size}"
            )
        self._config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        self._config.setdefault("dynamic_batching", {})

    def add_input(self, input: Mapping[str, Any]) -> None:
        self._add("input", input, (*_OF_TENSOR, "optional"))

    def add_output(self, output: Mapping[str, Any]) -> None:
        self._add("output", output, _OF_TENSOR)

    def set_model_transaction_policy(self, transaction_policy_dict: Mapping[str, Any]) -> None:
        unknown = [name for name in transaction_policy_dict if name != "decoupled"]
        if unknown:
            raise ValueError(
                f"model transaction policy contains the property {unknown[0]!r}; it has `decoupled` alone"
            )
        self._config["model_transaction_policy"] = dict(transaction_policy_dict)

    def _add(self, side: str, tensor: Mapping[str, Any], known: tuple[str, ...]) -> None:
        """Raises ValueError where a property is missing or unknown, or the configuration says something else."""
        where = f"{side} {tensor.get('name')!r} in auto-complete-config function"
        for name in _OF_TENSOR:
            if name not in tensor:
                raise ValueError(f"{where} is missing '{name}' property.")
        for name in tensor:
            if name not in known:
                raise ValueError(
                    f"{where} contains property {name!r}; there are {', '.join(known)}."
                )
        for said in self._config.setdefault(side, []):
            if said["name"] == tensor["name"]:
                for name in ("data_type", "dims"):
                    if said.get(name) != tensor[name]:
                        raise ValueError(
                            f"{where} has {name} {tensor[name]}, and the configuration {said.get(name)}."
                        )
                return
        self._config[side].append(dict(tensor))


_model_dir = ""


def set_model_dir(path: str) -> None:
    """Say where the code of the model is; for whoever runs it."""
    global _model_dir
    _model_dir = path


def get_model_dir() -> str:
    """Return the folder of the model's version, in which its code is."""
    return _model_dir


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return what a configuration says of an input; None where it has none of the name."""
    return _by_name(model_config, "input", name)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return what a configuration says of an output; None where it has none of the name."""
    return _by_name(model_config, "output", name)


def _by_name(model_config: Mapping[str, Any], side: str, name: str) -> dict[str, Any] | None:
    return next((each for each in model_config.get(side, ()) if each["name"] == name), None)


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))
