"""What a class of MLRun's contract is made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mms.interfaces.mlrun.load import ServingLoad
from mms.text.brief import brief
from mms.text.typed_value import TYPES, typed_value
from mms.wire import Load


def key_of(load: Load, serving: ServingLoad) -> str:
    """Return `<name>` or `<name>:<version>`, which the class gets as its name."""
    if serving.key:
        return serving.key
    return f"{load.model_name}:{load.model_version}" if load.model_version else load.model_name


def class_args_of(load: Load, serving: ServingLoad) -> dict[str, Any]:
    """Return a constructor's arguments, `class_args` before parameters. Without a model_path of its own a model has its
    archive's folder.

    Raises ValueError for a parameter whose value is not of its type.
    """
    arguments = given_args_of(load, serving)
    path = load.model_files or serving.model_path or load.model_dir
    arguments.setdefault("model_path", path)
    return arguments


def given_args_of(load: Load, serving: ServingLoad) -> dict[str, Any]:
    """Return the same without a model_path that nobody gave."""
    arguments = {parameter["name"]: value_of(parameter) for parameter in load.parameters}
    return arguments | serving.class_args


def value_of(parameter: Mapping[str, Any]) -> Any:
    """Return the value of `{"name", "value", "type"}`. Raises ValueError."""
    name, value, kind = (parameter.get(member) for member in ("name", "value", "type"))
    if kind not in TYPES:
        raise ValueError(
            f"parameter {name} has the type {brief(kind)}, which is not one of {', '.join(TYPES)}"
        )
    try:
        return typed_value(value, kind)
    except ValueError:
        raise ValueError(
            f"parameter {name}: the value {brief(value)} is not a valid {kind}"
        ) from None
