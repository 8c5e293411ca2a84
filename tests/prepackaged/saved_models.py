"""Small models, trained and saved as people do."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def library(name: str, extra: str) -> Any:
    """The library that a test runs for real."""
    return pytest.importorskip(
        name, reason=f"{name} is not installed (it is in the extra {extra}, not in test)"
    )


def needs(name: str, extra: str) -> None:
    """Skip a module without the library. It is not imported here, as collecting all tests would load it each time."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(
            f"{name} is not installed (it is in the extra {extra}, not in test)",
            allow_module_level=True,
        )


def table() -> tuple[Any, Any]:
    """Rows of four values in three classes that the first two values tell apart."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(120, 4))
    classes = (rows[:, 0] > 0).astype(np.int64) + (rows[:, 1] > 0).astype(np.int64)
    return rows, classes


def save_joblib(folder: Path, estimator: Any) -> Path:
    import joblib

    file = folder / "model.joblib"
    joblib.dump(estimator, file)
    return file


def write_mlmodel(folder: Path, flavors: dict[str, Any]) -> None:
    import yaml

    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}), encoding="utf-8")


@contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Afterwards nothing of the folder is on the module path or taken for imported."""
    path = [*sys.path]
    try:
        yield
    finally:
        sys.path[:] = path
        for name, module in [*sys.modules.items()]:
            if (getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
