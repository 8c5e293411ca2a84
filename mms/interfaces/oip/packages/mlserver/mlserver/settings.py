"""The settings of a model, as its `model-settings.json` has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .record import Record
from .types import MetadataTensor


class ModelParameters(Record):
    """Where the model's files are, and what else is its own."""

    _members = {
        "uri": None,
        "version": None,
        "format": None,
        "content_type": None,
        "environment_tarball": None,
        "environment_path": None,
        "inference_pool_gid": None,
        "autogenerate_inference_pool_gid": False,
        "headers": None,
        "extra": None,
    }
    _is_open = True
    uri: str | None
    version: str | None
    content_type: str | None
    extra: dict[str, Any] | None


class ModelSettings(Record):
    """What a model is made with."""

    _members = {
        "name": "",
        "implementation": None,
        "platform": "",
        "versions": (),
        "inputs": (),
        "outputs": (),
        "parallel_workers": None,
        "warm_workers": False,
        "max_batch_size": 0,
        "max_batch_time": 0.0,
        "parameters": None,
        "cache_enabled": False,
    }
    _kinds = {
        "inputs": MetadataTensor,
        "outputs": MetadataTensor,
        "parameters": ModelParameters,
    }
    _is_open = True
    name: str
    platform: str
    versions: list[str]
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]
    max_batch_size: int
    max_batch_time: float
    parameters: ModelParameters | None
    _source: str | None = None

    @property
    def version(self) -> str | None:
        return self.parameters.version if self.parameters is not None else None

    @classmethod
    def parse_file(cls, path: str | Path) -> ModelSettings:
        """Return the settings in a file, which remember where they are from."""
        settings = cls(**json.loads(Path(path).read_bytes()))
        settings._source = str(path)
        return settings

    model_parse_file = parse_file
