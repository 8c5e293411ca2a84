from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_models import importing_from, library, needs, save_joblib, table, write_mlmodel

from mms.prepackaged.errors import ModelNotLoaded, UnfitInput
from mms.prepackaged.sklearn_server import SklearnServer

needs("sklearn", "sklearn")


@pytest.fixture(scope="module")
def classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(*table())


@pytest.fixture
def folder(tmp_path: Path, classifier: Any) -> Path:
    save_joblib(tmp_path, classifier)
    return tmp_path


def loaded(uri: object, **parameters: Any) -> SklearnServer:
    server = SklearnServer(model_uri=str(uri), **parameters)
    server.load()
    return server


@pytest.mark.parametrize("method", ["predict_proba", "decision_function", "predict"])
def test_the_method_is_called_on_the_rows(folder: Path, classifier: Any, method: str) -> None:
    rows, _ = table()
    answer = loaded(folder, method=method).predict(rows, [])
    np.testing.assert_allclose(answer, getattr(classifier, method)(rows))


def test_probabilities_are_the_default(folder: Path) -> None:
    answer = loaded(folder).predict(np.array([[5.9, 4.0, 2.0, 1.0]]))
    assert answer.shape == (1, 3)
    assert answer.sum() == pytest.approx(1)


def test_a_regressor_predicts_by_default(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    rows, values = table()
    save_joblib(tmp_path, LinearRegression().fit(rows, values))
    assert loaded(tmp_path).predict(rows).shape == (120,)


def test_a_method_that_the_estimator_lacks_is_a_load_error_with_those_it_has(
    tmp_path: Path,
) -> None:
    from sklearn.linear_model import LinearRegression

    save_joblib(tmp_path, LinearRegression().fit(*table()))
    message = r"model\.joblib holds a LinearRegression without predict_proba; .* method to predict"
    with pytest.raises(ModelNotLoaded, match=message):
        loaded(tmp_path, method="predict_proba")


def test_an_unknown_method_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        ValueError, match="'predict_probe' is not one of predict_proba, decision_function"
    ):
        SklearnServer(method="predict_probe")


def test_what_is_no_estimator_is_refused(tmp_path: Path) -> None:
    save_joblib(tmp_path, {"weights": [1, 2]})
    with pytest.raises(ModelNotLoaded, match="holds a dict; expected an estimator"):
        loaded(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"no pickle")
    with pytest.raises(ModelNotLoaded, match=r"model\.joblib could not be loaded as an estimator"):
        loaded(tmp_path)


def test_a_folder_without_a_model_tells_what_was_expected(tmp_path: Path) -> None:
    files = "model.joblib, model.skops, model.pkl, model.pickle"
    expected = f"{tmp_path} has no model: expected one of {files}, or MLmodel"
    with pytest.raises(ModelNotLoaded, match=re.escape(expected)):
        loaded(tmp_path)


def test_loading_again_keeps_the_model(folder: Path) -> None:
    server = loaded(folder)
    (folder / "model.joblib").unlink()
    server.load()
    assert server.predict(table()[0]).shape == (120, 3)


def test_a_prediction_before_the_load_loads(folder: Path) -> None:
    assert SklearnServer(str(folder)).predict(table()[0]).shape == (120, 3)


def test_rows_of_another_width_are_the_clients_fault(folder: Path) -> None:
    with pytest.raises(UnfitInput, match="a row has 3 values; the model takes 4"):
        loaded(folder).predict(np.zeros((1, 3)))


def test_what_the_estimator_refuses_is_the_clients_fault(folder: Path) -> None:
    with pytest.raises(UnfitInput, match="the model refuses the input: Input X contains NaN"):
        loaded(folder).predict(np.array([[np.nan, 0, 0, 0]]))


def test_an_estimator_that_was_never_fitted_is_not_the_clients_fault(tmp_path: Path) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.linear_model import LogisticRegression

    save_joblib(tmp_path, LogisticRegression())
    with pytest.raises(NotFittedError):
        loaded(tmp_path).predict(np.zeros((1, 4)))


def test_a_text_pipeline_takes_texts(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    texts, classes = ["good food", "bad food", "good", "bad"], [1, 0, 1, 0]
    save_joblib(tmp_path, make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, classes))
    assert loaded(tmp_path, method="predict").predict(np.array(["good", "bad"])).tolist() == [1, 0]


def test_names_that_were_sent_reach_a_pipeline_that_chooses_columns_by_them(tmp_path: Path) -> None:
    pandas = library("pandas", "sklearn")
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    rows = pandas.DataFrame({"unused": [9.0, 8.0, 7.0, 1.0], "x": [1.0, 2.0, 3.0, 4.0]})
    chooser = make_column_transformer(("passthrough", ["x"]))
    save_joblib(tmp_path, make_pipeline(chooser, LinearRegression()).fit(rows, rows["x"] * 2))
    server = loaded(tmp_path)
    assert server.predict(np.array([[5.0, 0.0]]), ["x", "unused"]) == pytest.approx([10])
    assert server.predict(np.array([[0.0, 5.0]]), ["unused", "x"]) == pytest.approx([10])
    with pytest.raises(UnfitInput, match="the model refuses the input"):
        server.predict(np.array([[0.0, 5.0]]), ["t:0", "t:1"])


def test_names_of_another_table_are_no_names_for_an_estimator_that_takes_places(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    rows, classes = table()
    from sklearn.linear_model import LogisticRegression

    save_joblib(tmp_path, LogisticRegression().fit(rows, classes))
    assert loaded(tmp_path).predict(rows, [f"t:{i}" for i in range(4)]).shape == (120, 3)
    assert not [w for w in recwarn if "feature names" in str(w.message)]


@pytest.mark.parametrize("serialization", ["pickle", "cloudpickle"])
def test_the_folder_of_mlflow_is_read(tmp_path: Path, classifier: Any, serialization: str) -> None:
    if serialization == "cloudpickle":
        library("cloudpickle", "sklearn")
    flavor = {"pickled_model": "estimator.pkl", "serialization_format": serialization}
    write_mlmodel(tmp_path, {"python_function": {"code": None}, "sklearn": flavor})
    (tmp_path / "estimator.pkl").write_bytes(pickle.dumps(classifier))
    rows, _ = table()
    answer = loaded(tmp_path).predict(rows)
    np.testing.assert_allclose(answer, classifier.predict_proba(rows))


@pytest.mark.parametrize("by_mlflow", [False, True])
def test_the_format_without_code_is_read(tmp_path: Path, classifier: Any, by_mlflow: bool) -> None:
    skops = library("skops.io", "sklearn")
    skops.dump(classifier, tmp_path / "model.skops")
    if by_mlflow:
        flavor = {"pickled_model": "model.skops", "serialization_format": "skops"}
        write_mlmodel(tmp_path, {"sklearn": flavor})
    rows, _ = table()
    np.testing.assert_allclose(loaded(tmp_path).predict(rows), classifier.predict_proba(rows))


def test_code_that_mlflow_saved_with_the_model_is_importable(
    tmp_path: Path,
) -> None:
    (tmp_path / "code").mkdir()
    source = "class Doubling:\n    def predict(self, rows):\n        return rows * 2\n"
    (tmp_path / "code" / "doubling_estimator.py").write_text(source, encoding="utf-8")
    flavor = {"pickled_model": "model.pkl", "serialization_format": "pickle", "code": "code"}
    write_mlmodel(tmp_path, {"sklearn": flavor})
    # The pickle of an instance of that class, which only the model's own code defines.
    (tmp_path / "model.pkl").write_bytes(b"cdoubling_estimator\nDoubling\n)\x81.")
    with importing_from(tmp_path):
        assert loaded(tmp_path).predict(np.array([[1, 2]])).tolist() == [[2, 4]]


def test_a_file_that_mlflow_names_and_that_is_gone_is_told(tmp_path: Path) -> None:
    write_mlmodel(tmp_path, {"sklearn": {"pickled_model": "model.pkl"}})
    with pytest.raises(ModelNotLoaded, match=r"MLmodel names 'model\.pkl', but there is no"):
        loaded(tmp_path)


def test_metadata_comes_from_the_models_folder(folder: Path) -> None:
    (folder / "metadata.yaml").write_text("name: iris\n", encoding="utf-8")
    assert SklearnServer(str(folder)).init_metadata() == {"name": "iris"}
