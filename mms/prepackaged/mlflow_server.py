"""Models of any kind that MLflow saved, through its generic Python function."""

from __future__ import annotations

from typing import Any

from mms.prepackaged.inputs import Array, as_array, checked_by_the_model
from mms.prepackaged.library import import_library, reading
from mms.prepackaged.mlflow_layout import DESCRIPTION_FILE, find_flavor, has_mlflow_layout
from mms.prepackaged.model_folder import ModelFolder
from mms.prepackaged.server import SavedModelServer
from mms.text.brief import brief
from mms.text.column_names import column_names

EXTRA = "mlflow"
INPUT_TYPES = ("ndarray", "DataFrame")


class MlflowServer(SavedModelServer):
    """A folder with `MLmodel` that has the flavor `python_function`.

    `xtype`: `ndarray` hands the request's array on; `DataFrame` makes a table of it, whose columns are the request's
    names. A table as result becomes an array, its columns the response's names.
    """

    def __init__(self, model_uri: str | None = None, xtype: str = "ndarray") -> None:
        if xtype not in INPUT_TYPES:
            raise ValueError(f"xtype {brief(xtype)} is not one of {', '.join(INPUT_TYPES)}")
        super().__init__(model_uri)
        self._xtype = xtype
        self._pandas: Any = None
        self._model: Any = None
        self._columns: list[str] | None = None

    def open_model(self, folder: ModelFolder) -> None:
        pyfunc = import_library("mlflow.pyfunc", EXTRA)
        self._pandas = import_library("pandas", EXTRA)
        if not has_mlflow_layout(folder):
            raise folder.unexpected(f"{DESCRIPTION_FILE} by MLflow")
        flavor = find_flavor(folder, "python_function")
        with reading(flavor.description, "a model saved by MLflow"):
            self._model = pyfunc.load_model(str(folder.path))

    def answer(self, X: Any, names: Any) -> Any:
        if isinstance(X, list):
            X = as_array(X)
        with checked_by_the_model():
            given = self._as_table(X, names) if self._xtype == "DataFrame" else X
            result = self._model.predict(given)
        self._columns = None
        if isinstance(result, self._pandas.DataFrame):
            self._columns = [str(name) for name in result.columns]
        if isinstance(result, self._pandas.DataFrame | self._pandas.Series):
            return result.to_numpy()
        return result

    def class_names(self) -> list[str] | None:
        """Return the columns of the table that was the last result; None where it was none."""
        return self._columns

    def _as_table(self, X: Any, names: Any) -> Any:
        array: Array = as_array(X)
        columns = column_names(names)
        return self._pandas.DataFrame(array, columns=columns or None)
