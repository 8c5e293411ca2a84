"""scikit-learn estimators and pipelines, as PrimeHub's and Seldon's servers take them."""

from __future__ import annotations

import importlib.util
import logging
import pickle
from pathlib import Path
from typing import Any

from mms.prepackaged.errors import ModelNotLoaded
from mms.prepackaged.inputs import as_array, check_columns, checked_by_the_model, in_order
from mms.prepackaged.library import import_library, reading
from mms.prepackaged.mlflow_layout import find_flavor, has_mlflow_layout
from mms.prepackaged.model_folder import ModelFolder
from mms.prepackaged.server import SavedModelServer
from mms.text.brief import brief
from mms.text.column_names import column_names

_log = logging.getLogger("mms.prepackaged")

EXTRA = "sklearn"
#: The second alone runs no code when it is read.
MODEL_FILES = ("model.joblib", "model.skops", "model.pkl", "model.pickle")
_PATTERNS = ("*.joblib", "*.skops", "*.pkl", "*.pickle")
METHODS = ("predict_proba", "decision_function", "predict")


class SklearnServer(SavedModelServer):
    """`model.joblib`, `model.skops`, `model.pkl`, or the folder that MLflow saves a scikit-learn model into.

    `method`: `predict_proba`, `decision_function` or `predict`. None takes `predict_proba`, and `predict` for an
    estimator without it, such as a regressor.
    """

    def __init__(self, model_uri: str | None = None, method: str | None = None) -> None:
        if method is not None and method not in METHODS:
            raise ValueError(f"method {brief(method)} is not one of {', '.join(METHODS)}")
        super().__init__(model_uri)
        self._method = method
        self._call: Any = None
        self._columns: int | None = None
        self._names: list[str] = []
        self._pandas: Any = None
        self._not_fitted: type[Exception] = Exception

    def open_model(self, folder: ModelFolder) -> None:
        import_library("sklearn", EXTRA)
        self._not_fitted = import_library("sklearn.exceptions", EXTRA).NotFittedError
        if has_mlflow_layout(folder):
            file, estimator = _read_mlflow(folder)
        else:
            patterns = MODEL_FILES if folder.only_file is None else _PATTERNS
            file = folder.one(f"one of {', '.join(MODEL_FILES)}, or MLmodel by MLflow", *patterns)
            estimator = _read_skops(file) if file.suffix == ".skops" else _read_joblib(file)
        self._call = getattr(estimator, self._choose_method(estimator, file))
        # A text pipeline has none of these; what it takes is not numbers in columns.
        self._columns = getattr(estimator, "n_features_in_", None)
        self._names = column_names(getattr(estimator, "feature_names_in_", None))
        if importlib.util.find_spec("pandas") is not None:
            self._pandas = import_library("pandas", EXTRA)
        elif self._names:
            _log.warning(
                "%s was fitted on a table, and pandas is not installed: its steps get rows without names",
                file,
            )

    def answer(self, X: Any, names: Any) -> Any:
        columns = column_names(names)
        array = in_order(as_array(X), columns, self._names)
        check_columns(array, self._columns)
        try:
            return self._call(self._as_fitted(array, columns))
        except self._not_fitted:
            raise
        except ValueError:
            with checked_by_the_model():
                raise

    def _as_fitted(self, array: Any, columns: list[str]) -> Any:
        """A table with the request's columns, where these are what the estimator was fitted on: steps choose by name.

        One that knows how many columns it takes and not their names was fitted on an array, and gets one.
        """
        knows = sorted(self._names) if self._names else None
        is_for_array = knows != sorted(columns) if knows else self._columns is not None
        if is_for_array or self._pandas is None or not columns:
            return array
        if array.ndim != 2 or len(columns) != array.shape[1]:
            return array
        return self._pandas.DataFrame(array, columns=self._names or columns).infer_objects()

    def _choose_method(self, estimator: Any, file: Path) -> str:
        has = [name for name in METHODS if callable(getattr(estimator, name, None))]
        kind = type(estimator).__name__
        if self._method is None:
            # Of the three only these two: the scale of decision_function is nothing to guess.
            for name in ("predict_proba", "predict"):
                if name in has:
                    return name
        elif self._method in has:
            return self._method
        elif has:
            raise ModelNotLoaded(
                f"{file} holds a {kind} without {self._method}; set the parameter method to {' or '.join(has)}"
            )
        raise ModelNotLoaded(f"{file} holds a {kind}; expected an estimator with a method predict")


def _read_mlflow(folder: ModelFolder) -> tuple[Path, Any]:
    flavor = find_flavor(folder, "sklearn")
    name = str(flavor.members.get("pickled_model", "model.pkl"))
    file = folder.inside(name, flavor.description)
    serialization = flavor.members.get("serialization_format", "cloudpickle")
    if serialization == "skops":
        return file, _read_skops(file, flavor.members.get("skops_trusted_types"))
    if serialization == "cloudpickle":
        import_library("cloudpickle", EXTRA)
    with reading(file, "an estimator pickled by MLflow"), file.open("rb") as content:
        return file, pickle.load(content)


def _read_joblib(file: Path) -> Any:
    joblib = import_library("joblib", EXTRA)
    with reading(file, "an estimator saved by joblib.dump or pickle.dump"):
        return joblib.load(file)


def _read_skops(file: Path, trusted: Any = None) -> Any:
    """Raises ModelNotLoaded, with their names, where the file has other types than `trusted` and the library's own."""
    skops = import_library("skops.io", EXTRA)
    with reading(file, "an estimator saved by skops.io.dump"):
        return skops.load(file, trusted=trusted)
