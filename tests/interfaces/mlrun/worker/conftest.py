"""Models served in this process, which they leave as it was."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlrun_served import ServedModel, open_source

OpenModel = Callable[..., ServedModel]


@pytest.fixture
def open_model(tmp_path: Path) -> Iterator[OpenModel]:
    """Opens the model of a source; its class is `Model` unless `handler` says otherwise."""
    folder, path, modules = os.getcwd(), list(sys.path), set(sys.modules)
    variables = dict(os.environ)

    def opened(source: str, handler: str = "model:Model", **members: object) -> ServedModel:
        return open_source(tmp_path / "model", source, handler, **members)

    yield opened
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("model_", "mlrun")):
            del sys.modules[name]
