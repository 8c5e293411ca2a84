"""Folders in the layouts of other model servers, which tell without a manifest what their handler is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from archiver.errors import ArchiveError
from archiver.manifest import Manifest
from mms.interfaces import INTERFACES, part


class InvalidLayout(ArchiveError):
    """The file that describes a model is wrong. The message names it, and says what is right."""


class Layout(NamedTuple):
    """What a folder says of its model. `file`: the one that describes it."""

    file: str
    handler: str
    model_name: str | None
    model_version: str | None
    #: What `model-config.yaml` would say, by its keys.
    config: dict[str, Any]
    #: Sentences on what has no effect here.
    problems: tuple[str, ...] = ()

    def complete(self, manifest: Manifest | None, default_name: str = "") -> Manifest:
        """Return the manifest with what the layout says where it says nothing. `default_name`: of its folder."""
        document = {} if manifest is None else manifest.to_dict()
        model = document.setdefault("model", {})
        said = {
            "modelName": self.model_name or default_name or None,
            "handler": self.handler,
            "modelVersion": self.model_version,
        }
        for key, value in said.items():
            if value is not None and not model.get(key):
                model[key] = value
        return Manifest(document)


def find_layout(folder: Path) -> Layout | None:
    """Return what a folder is in the layout of a server that some interface stands in for; None where it is none.

    Raises InvalidLayout, and OSError.
    """
    for interface in INTERFACES:
        if interface.layout:
            layout: Layout | None = part(interface.layout)(folder)
            if layout is not None:
                return layout
    return None
