from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import needs, table, write_mlmodel

from mms.prepackaged.errors import ModelNotLoaded, UnfitInput
from mms.prepackaged.xgboost_server import XgboostServer

needs("xgboost", "xgboost")


@pytest.fixture(scope="module")
def xgboost() -> Any:
    import xgboost

    return xgboost


@pytest.fixture(scope="module")
def booster(xgboost: Any) -> Any:
    rows, classes = table()
    settings = {"objective": "multi:softprob", "num_class": 3, "max_depth": 2}
    return xgboost.train(settings, xgboost.DMatrix(rows, classes), num_boost_round=3)


def loaded(uri: object) -> XgboostServer:
    server = XgboostServer(model_uri=str(uri))
    server.load()
    return server


# A file of Seldon's name has one of today's formats in it; XGBoost looks at the content.
@pytest.mark.parametrize(
    ("saved_as", "name"),
    [
        ("b.ubj", "model.bst"),
        ("b.json", "model.bst"),
        ("model.json", "model.json"),
        ("model.ubj", "model.ubj"),
    ],
)
def test_a_saved_booster_predicts_probabilities(
    tmp_path: Path, xgboost: Any, booster: Any, saved_as: str, name: str
) -> None:
    booster.save_model(tmp_path / saved_as)
    (tmp_path / saved_as).rename(tmp_path / name)
    rows, _ = table()
    answer = loaded(tmp_path).predict(rows)
    np.testing.assert_allclose(answer, booster.predict(xgboost.DMatrix(rows)))
    assert answer.shape == (120, 3)


def test_the_folder_of_mlflow_is_read(tmp_path: Path, booster: Any) -> None:
    write_mlmodel(
        tmp_path, {"xgboost": {"data": "model.xgb", "model_class": "xgboost.core.Booster"}}
    )
    booster.save_model(tmp_path / "b.json")
    (tmp_path / "b.json").rename(tmp_path / "model.xgb")
    assert loaded(tmp_path).predict(table()[0]).shape == (120, 3)


def test_a_booster_that_knows_names_takes_columns_by_name_or_in_order(
    tmp_path: Path, xgboost: Any
) -> None:
    rows, classes = table()
    names = ["a", "b", "c", "d"]
    matrix = xgboost.DMatrix(rows, classes, feature_names=names)
    xgboost.train({}, matrix, num_boost_round=3).save_model(tmp_path / "model.json")
    server = loaded(tmp_path)
    in_order = server.predict(rows)
    np.testing.assert_array_equal(server.predict(rows[:, ::-1], names[::-1]), in_order)
    np.testing.assert_array_equal(server.predict(rows, names), in_order)


def test_rows_of_another_width_are_the_clients_fault(tmp_path: Path, booster: Any) -> None:
    booster.save_model(tmp_path / "model.json")
    with pytest.raises(UnfitInput, match="a row has 3 values; the model takes 4"):
        loaded(tmp_path).predict(np.zeros((1, 3)))


def test_a_folder_without_a_model_tells_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(
        ModelNotLoaded, match=r"expected one of model\.bst, model\.json, model\.ubj"
    ):
        loaded(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.bst").write_bytes(b"binf nothing")
    with pytest.raises(ModelNotLoaded, match=r"model\.bst could not be loaded as a booster"):
        loaded(tmp_path)
