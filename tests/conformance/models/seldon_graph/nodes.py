"""Nodes of graphs: each leaves its mark on what passes through it."""

import numpy as np
from seldon_core.flask_utils import SeldonMicroserviceException


class Step:
    """Appends a text to a text; adds a number to an array. Its health tells what feedback it got.

    It fails with the status of the request's tag `fails NAME`, NAME being its text.
    """

    def __init__(self, text="", tags=True):
        self.text = text
        self.has_tags = tags
        self.feedback = []

    def fail(self, meta):
        status = (meta or {}).get("tags", {}).get(f"fails {self.text}")
        if status:
            raise SeldonMicroserviceException(f"{self.text} fails", status_code=int(status))

    def predict(self, X, names, meta=None):
        self.fail(meta)
        if isinstance(X, str):
            return X + self.text
        return X + 1

    transform_input = predict
    transform_output = predict

    def aggregate(self, features, names):
        if isinstance(features[0], str):
            return "+".join(features) + self.text
        return np.sum(features, axis=0)

    def send_feedback(self, features, names, reward, truth, routing=None):
        self.feedback.append([reward, routing])
        return [reward]

    def tags(self):
        return {self.text: 1, "last": self.text} if self.has_tags else {}

    def metrics(self):
        return [{"type": "COUNTER", "key": f"calls_{self.text}", "value": 1}]

    def health_status(self):
        return {"feedback": self.feedback}

    def init_metadata(self):
        return {
            "name": self.text,
            "versions": ["1"],
            "platform": "test",
            "inputs": [{"messagetype": "tensor", "schema": {"names": [f"{self.text} in"]}}],
            "outputs": [{"messagetype": "tensor", "schema": {"names": [f"{self.text} out"]}}],
        }


class Chooser(Step):
    """Routes to the branch of the request's tag `branch`, else to the first."""

    def route(self, X, names, meta=None):
        self.fail(meta)
        return int((meta or {}).get("tags", {}).get("branch", 0))
