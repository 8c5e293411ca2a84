"""A Seldon component: rows of numbers in, a score for each row out. Seldon's contract, no import of any server."""

import json
import os

import numpy as np

FOLDER = os.path.dirname(os.path.abspath(__file__))


class WrongWidth(Exception):
    """Answered as the client's error: a server reads these members."""

    status_code = 422

    def __init__(self, message):
        super().__init__(message)
        self.message = message

    def to_dict(self):
        return {"status": {"status": 1, "info": self.message, "code": -1, "reason": "WRONG_WIDTH"}}


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
            raise WrongWidth(f"rows have {rows.shape[1]} numbers, expected {len(self.weights)}")
        scores = rows @ self.weights
        self.rows_seen = len(scores)
        self.above = int((scores > self.threshold).sum())
        return scores.reshape(-1, 1)

    def class_names(self):
        return ["score"]

    def tags(self):
        return {"threshold": self.threshold}

    def metrics(self):
        return [
            {"type": "COUNTER", "key": "scored_rows", "value": self.rows_seen},
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
