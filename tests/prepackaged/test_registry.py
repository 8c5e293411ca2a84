from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from archiver.component import PREPACKAGED as NAMES_IN_ARCHIVES
from archiver.component_options import prepackaged_handler
from mms.prepackaged import PREPACKAGED
from mms.prepackaged.server import SavedModelServer

LIBRARIES = (
    "sklearn",
    "joblib",
    "xgboost",
    "onnxruntime",
    "torch",
    "tensorflow",
    "mlflow",
    "numpy",
)


@pytest.mark.parametrize("name", PREPACKAGED)
def test_every_name_stands_for_a_server_class_that_imports_no_library(name: str) -> None:
    module, _, attribute = PREPACKAGED[name].partition(":")
    server = getattr(importlib.import_module(module), attribute)
    assert issubclass(server, SavedModelServer)
    assert server().model_uri is None  # each has a default for all of its parameters


def test_the_names_of_seldons_servers_are_aliases() -> None:
    for name in ("sklearn", "xgboost", "mlflow", "tensorflow"):
        assert PREPACKAGED[f"{name.upper()}_SERVER"] == PREPACKAGED[name]


def test_archives_know_the_same_servers_under_the_same_handlers() -> None:
    assert set(NAMES_IN_ARCHIVES) == {name for name in PREPACKAGED if name.islower()}
    for name in NAMES_IN_ARCHIVES:
        assert prepackaged_handler(name) == PREPACKAGED[name]


def test_reading_the_names_loads_no_library() -> None:
    code = f"import sys, mms.prepackaged; print([n for n in {LIBRARIES} if n in sys.modules])"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_another_name_is_no_attribute_of_the_package() -> None:
    package = importlib.import_module("mms.prepackaged")
    with pytest.raises(AttributeError, match="has no attribute caffe"):
        _ = package.caffe
