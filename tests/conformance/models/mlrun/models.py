"""Serving classes of MLRun's contract, one for each thing that a test asks."""

import os
import time

import mlrun
from mlrun.serving import V2ModelServer


class Mul(V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        return request["inputs"][0] * self.get_param("multiplier", 1)

    def explain(self, request):
        return {"explained": request["inputs"][0]}

    def op_myop(self, event):
        return event.body

    def op_method(self, event):
        return f"{event.method} {event.path}"

    def op_created(self, event):
        return self.context.Response(
            body='{"made": true}',
            content_type="application/json",
            status_code=201,
            headers={"X-Made": "yes"},
        )


class Raiser(V2ModelServer):
    def load(self):
        pass

    def predict(self, request):
        if request["inputs"] == ["caused"]:
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise RuntimeError("outer") from error
        if request["inputs"] == ["conflict"]:
            raise mlrun.errors.MLRunConflictError("taken")
        raise ValueError("this model never predicts")


class Slow(V2ModelServer):
    """Loads once a file is there."""

    def load(self):
        while not os.path.exists(self.get_param("wait_for")):
            time.sleep(0.005)
        if self.get_param("fails", False):
            raise RuntimeError("the weights are torn")

    def predict(self, request):
        return request["inputs"][0]


class Whole(V2ModelServer):
    """Returns the request as it got it."""

    def load(self):
        pass

    def predict(self, request):
        return request


class Bytes(V2ModelServer):
    """Returns what kind of thing an input is, and its bytes as hexadecimal digits."""

    def load(self):
        pass

    def predict(self, request):
        item = request["inputs"][0]
        return [type(item).__name__, item.read().hex()]


class Odd(V2ModelServer):
    """Returns what JSON does not have."""

    def load(self):
        pass

    def predict(self, request):
        import numpy as np

        return {
            "array": np.asarray([[1, 2], [3, 4]]),
            "scalar": np.float32(0.5),
            "nan": [float("nan"), float("inf")],
            "object": object(),
        }[request["inputs"][0]]


class Iris(V2ModelServer):
    """A model with a schema: a model_spec.yaml in its folder."""

    def load(self):
        model_file, self.extra = self.get_model(".bin")
        with open(model_file) as file:
            self.model = float(file.read())

    def predict(self, request):
        inputs = request["inputs"]
        return [value * self.model for value in inputs]


class Arr(V2ModelServer):
    """Tells its stream of an array, and of what it likes where the parameter `tells` says so."""

    def load(self):
        pass

    def predict(self, request):
        import numpy as np

        self.set_metric("rows", len(request["inputs"]))
        return np.array([row[0] * self.get_param("multiplier", 2) for row in request["inputs"]])

    def logged_results(self, request, response, op):
        if self.get_param("tells", 0):
            return [[1]], [2]
        return None, None
