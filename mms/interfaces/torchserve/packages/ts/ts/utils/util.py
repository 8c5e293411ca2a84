"""Helpers of handlers: classes of a module, labels of classes, files in YAML."""

from __future__ import annotations

import enum
import functools
import inspect
import itertools
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from mms.service import PredictionException as PredictionException

logger = logging.getLogger(__name__)

#: Tags and character references of HTML.
CLEANUP_REGEX = re.compile("<.*?>|&([a-z0-9]+|#[0-9]{1,6}|#x[0-9a-f]{1,6});")


class PT2Backend(str, enum.Enum):
    """What `torch.compile` may be told as its backend."""

    EAGER = "eager"
    AOT_EAGER = "aot_eager"
    INDUCTOR = "inductor"
    NVFUSER = "nvfuser"
    AOT_NVFUSER = "aot_nvfuser"
    AOT_CUDAGRAPHS = "aot_cudagraphs"
    OFI = "ofi"
    FX2TRT = "fx2trt"
    ONNXRT = "onnxrt"
    IPEX = "ipex"
    TORCHXLA_TRACE_ONCE = "torchxla_trace_once"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    HPU_BACKEND = "hpu_backend"


def list_classes_from_module(
    module: ModuleType, parent_class: type | None = None
) -> list[type[Any]]:
    """Return the classes that a module itself defines, by name; with `parent_class` those that derive from it."""
    classes: list[type[Any]] = [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__
    ]
    if parent_class is None:
        return classes
    return [found for found in classes if issubclass(found, parent_class)]


def check_valid_pt2_backend(backend: str) -> bool:
    """Return whether `torch.compile` has such a backend; the log tells of another."""
    if backend in [member.value for member in PT2Backend]:
        return True
    logger.warning("%s is not a supported backend", backend)
    return False


def load_label_mapping(mapping_file_path: str) -> dict[str, str] | None:
    """Return the labels by class of a file in JSON; None where there is no file, of which the log tells.

    A label that is a list stands for its last member. Raises Exception, by that very class, for other documents.
    """
    if not os.path.isfile(mapping_file_path):
        logger.warning(
            "%r is missing. Inference output will not include class name.", mapping_file_path
        )
        return None
    with open(mapping_file_path, encoding="utf-8") as file:
        mapping = json.load(file)
    if not isinstance(mapping, dict):
        raise Exception('index->name JSON mapping should be in "class": "label" format.')
    names = mapping.get("object_type_names")
    if isinstance(names, list):
        return {str(index): name for index, name in enumerate(names)}
    labels = {}
    for key, label in mapping.items():
        name = label[-1] if isinstance(label, list) else label
        if not isinstance(name, str):
            raise Exception("labels in index->name mapping must be either str or List[str]")
        labels[key] = name
    return labels


def map_class_to_label(
    probs: list[Any],
    mapping: dict[str, str] | None = None,
    lbl_classes: Iterable[Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the probabilities of each row by the labels of their classes.

    Without `lbl_classes` the classes are those from 0 on. Raises Exception, by that very class, for wrong types.
    """
    if not isinstance(probs, list):
        raise Exception("Convert classes to list before doing mapping")
    if mapping is not None and not isinstance(mapping, dict):
        raise Exception("Mapping must be a dict")
    if lbl_classes is None:
        lbl_classes = itertools.repeat(range(len(probs[0])), len(probs))
    return [
        {
            mapping[str(found)] if mapping is not None else str(found): probability
            for found, probability in zip(classes, row, strict=False)
        }
        for classes, row in zip(lbl_classes, probs, strict=False)
    ]


def get_yaml_config(yaml_file_path: str) -> Any:
    """Return what a file in YAML says."""
    import yaml

    with open(yaml_file_path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def deprecated(
    version: str, replacement: str = "", klass: type[Warning] = PendingDeprecationWarning
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator whose function warns that it goes with a version, and what to use in its place."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(
                f"{function.__name__} is deprecated in {version} and moved to {replacement}",
                klass,
                stacklevel=2,
            )
            return function(*args, **kwargs)

        return call

    return decorate
