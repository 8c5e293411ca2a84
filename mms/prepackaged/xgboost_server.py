"""XGBoost boosters."""

from __future__ import annotations

from typing import Any

import numpy as np

from mms.prepackaged.inputs import as_array, check_columns, checked_by_the_model, in_order
from mms.prepackaged.library import import_library, reading
from mms.prepackaged.mlflow_layout import find_flavor, has_mlflow_layout
from mms.prepackaged.model_folder import ModelFolder
from mms.prepackaged.server import SavedModelServer
from mms.text.column_names import column_names

EXTRA = "xgboost"
#: The first is Seldon's name for it; the others are the formats that `save_model` writes now.
MODEL_FILES = ("model.bst", "model.json", "model.ubj")
_EXPECTED = f"one of {', '.join(MODEL_FILES)}, or MLmodel by MLflow"


class XgboostServer(SavedModelServer):
    """A booster saved by `save_model`; answers what `Booster.predict` gives, for a classifier probabilities."""

    def __init__(self, model_uri: str | None = None) -> None:
        super().__init__(model_uri)
        self._xgboost: Any = None
        self._booster: Any = None
        self._names: list[str] = []

    def open_model(self, folder: ModelFolder) -> None:
        self._xgboost = import_library("xgboost", EXTRA)
        if has_mlflow_layout(folder):
            flavor = find_flavor(folder, "xgboost")
            name = str(flavor.members.get("data", "model.xgb"))
            file = folder.inside(name, flavor.description)
        else:
            patterns = MODEL_FILES if folder.only_file is None else ("*.bst", "*.json", "*.ubj")
            file = folder.one(_EXPECTED, *patterns)
        self._booster = self._xgboost.Booster()
        with reading(file, "a booster saved by save_model"):
            # By its content: XGBoost knows no format by Seldon's ending.
            is_known = file.suffix in (".json", ".ubj")
            self._booster.load_model(file if is_known else bytearray(file.read_bytes()))
        self._names = self._booster.feature_names or []

    def answer(self, X: Any, names: Any) -> Any:
        array = in_order(as_array(X, np.float32), column_names(names), self._names)
        check_columns(array, self._booster.num_features())
        with checked_by_the_model():
            # A booster that knows names refuses rows without them.
            rows = self._xgboost.DMatrix(array, feature_names=self._names or None)
            return self._booster.predict(rows)
