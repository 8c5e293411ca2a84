"""A Seldon component: rows of numbers in, a score for each row out."""

import json
import os

import numpy as np
from seldon_core.flask_utils import SeldonMicroserviceException

FOLDER = os.path.dirname(os.path.abspath(__file__))


class Scorer:
    """Weighted sums. `threshold` is a parameter that the deployment gives, as a FLOAT."""

    def __init__(self, threshold=0.0):
        self.threshold = threshold
        self.weights = None
        self.rows_seen = 0
        self.above = 0
        self.last_rewards = []

    def load(self):
        # Once in each worker.
        with open(os.path.join(FOLDER, "weights.json"), encoding="utf-8") as file:
            self.weights = np.array(json.load(file))

    def predict(self, X, names, meta=None):
        rows = np.atleast_2d(X)
        if rows.shape[1] != len(self.weights):
            raise SeldonMicroserviceException(
                f"rows have {rows.shape[1]} numbers, expected {len(self.weights)}",
                status_code=422,
                reason="WRONG_WIDTH",
            )
        scores = rows @ self.weights
        self.rows_seen = len(scores)
        self.above = int((scores > self.threshold).sum())
        return scores.reshape(-1, 1)

    def class_names(self):
        return ["score"]

    def tags(self):
        return {"threshold": self.threshold}

    def metrics(self):
        # Asked after feedback and health, too; the rows of a prediction count once.
        rows, self.rows_seen = self.rows_seen, 0
        return [
            {"type": "COUNTER", "key": "scored_rows", "value": rows},
            {"type": "GAUGE", "key": "rows_above_threshold", "value": self.above},
        ]

    def send_feedback(self, features, names, reward, truth, routing=None):
        self.last_rewards = [*self.last_rewards[-99:], reward]

    def init_metadata(self):
        return {
            "name": "scorer",
            "versions": ["1.0"],
            "platform": "numpy",
            "inputs": [{"messagetype": "ndarray", "schema": {"shape": [3]}}],
            "outputs": [{"messagetype": "ndarray", "schema": {"names": ["score"], "shape": [1]}}],
        }
