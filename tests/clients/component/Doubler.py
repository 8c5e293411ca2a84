"""The component that clients call: under each hook something that an answer shows."""

import numpy as np
from seldon_core.flask_utils import SeldonMicroserviceException
from seldon_core.user_model import SeldonResponse


class Doubler:
    """Doubles numbers and gives back all else; its tags show the names of the columns that came."""

    def predict(self, X, names, meta=None):
        if isinstance(X, str) and X == "refuse":
            raise SeldonMicroserviceException("refused", status_code=403, reason="REFUSED")
        is_array = isinstance(X, np.ndarray) and X.dtype.kind in "iuf"
        return SeldonResponse(X * 2 if is_array else X, tags={"columns": list(names)})

    def transform_input(self, X, names):
        return X + 1

    def transform_output(self, X, names):
        return X - 1

    def route(self, X, names):
        return 1

    def aggregate(self, features_list, names_list):
        if isinstance(features_list[0], np.ndarray):
            return np.sum(features_list, axis=0)
        return features_list[-1]

    def send_feedback(self, features, names, reward, truth, routing=None):
        truth = [] if truth is None else np.asarray(truth).ravel().tolist()
        return [[reward, *np.asarray(features).ravel().tolist(), *truth]]
