from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import importing_from, library, write_mlmodel

from mms.prepackaged.errors import ModelNotLoaded
from mms.prepackaged.mlflow_server import MlflowServer

library("mlflow.pyfunc", "mlflow")
pandas = library("pandas", "mlflow")

CODE = """
import pandas


class Model:
    def __init__(self, path):
        self.path = path

    def predict(self, given, params=None):
        if isinstance(given, pandas.DataFrame):
            return pandas.DataFrame({"total": given.sum(axis=1), "first": given[given.columns[0]]})
        if isinstance(given, str):
            return {"text": given.upper()}
        if len(given) > 1:
            return pandas.DataFrame({"first": given[:, 0]})
        return given * 2


def _load_pyfunc(path):
    return Model(path)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    flavor = {"loader_module": "doubling_loader", "code": "code", "env": None}
    write_mlmodel(tmp_path, {"python_function": flavor})
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "doubling_loader.py").write_text(CODE, encoding="utf-8")
    with importing_from(tmp_path):
        yield tmp_path


def loaded(uri: object, **parameters: Any) -> MlflowServer:
    server = MlflowServer(model_uri=str(uri), **parameters)
    server.load()
    return server


def test_arrays_are_handed_on(folder: Path) -> None:
    server = loaded(folder)
    assert server.predict(np.array([[1, 2]]), ["a", "b"]).tolist() == [[2, 4]]
    assert server.class_names() is None


def test_a_table_has_the_requests_names_and_gives_the_responses(folder: Path) -> None:
    server = loaded(folder, xtype="DataFrame")
    assert server.predict(np.array([[1, 2], [3, 4]]), ["a", "b"]).tolist() == [[3, 1], [7, 3]]
    assert server.class_names() == ["total", "first"]


def test_names_of_a_table_do_not_outlast_its_answer(folder: Path) -> None:
    server = loaded(folder)
    assert server.predict(np.array([[1, 2], [3, 4]])).tolist() == [[1], [3]]
    assert server.class_names() == ["first"]
    server.predict(np.array([[1, 2]]))
    assert server.class_names() is None


def test_texts_and_objects_pass(folder: Path) -> None:
    assert loaded(folder).predict("abc") == {"text": "ABC"}


def test_another_input_type_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="xtype 'frame' is not one of ndarray, DataFrame"):
        MlflowServer(xtype="frame")


def test_a_folder_without_mlflows_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="has no model: expected MLmodel by MLflow"):
        loaded(tmp_path)


def test_a_model_that_mlflow_cannot_load_is_named(folder: Path) -> None:
    (folder / "code" / "doubling_loader.py").write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(
        ModelNotLoaded, match="MLmodel could not be loaded as a model saved by MLflow"
    ):
        loaded(folder)
