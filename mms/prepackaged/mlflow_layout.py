"""The folder layout of MLflow: a file `MLmodel`, and what it names.

Format: MLflow's documentation, "MLflow Models", storage format.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from mms.prepackaged.errors import ModelNotLoaded
from mms.prepackaged.model_folder import ModelFolder, read_yaml

DESCRIPTION_FILE = "MLmodel"


class Flavor(NamedTuple):
    """One way of several to load the model."""

    description: Path
    members: dict[str, Any]


def has_mlflow_layout(folder: ModelFolder) -> bool:
    return folder.only_file is None and (folder.path / DESCRIPTION_FILE).is_file()


def find_flavor(folder: ModelFolder, *names: str) -> Flavor:
    """Return the first of these flavors that the model has; raises ModelNotLoaded where it has none of them.

    Code that was saved with the model becomes importable.
    """
    description = folder.path / DESCRIPTION_FILE
    content = read_yaml(description)
    flavors = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavors, dict):
        raise ModelNotLoaded(f"{description} has no `flavors`; expected a description by MLflow")
    for name in names:
        members = flavors.get(name)
        if isinstance(members, dict):
            generic = flavors.get("python_function")
            for flavor in (members, generic if isinstance(generic, dict) else {}):
                _make_code_importable(folder, description, flavor.get("code"))
            return Flavor(description, members)
    has = ", ".join(map(str, flavors)) or "none"
    raise ModelNotLoaded(f"{description} has the flavors {has}; expected {' or '.join(names)}")


def _make_code_importable(folder: ModelFolder, description: Path, code: Any) -> None:
    if isinstance(code, str):
        path = str(folder.inside(code, description))
        if path not in sys.path:
            sys.path.append(path)
