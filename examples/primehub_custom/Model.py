"""A customised pre-packaged server in PrimeHub's form: a class Model that is given the folder of its files."""

import os

DEFAULT_GREETING = "Hello"


class Model:
    def __init__(self, model_uri=None):
        # None where the deployment has no model URI: then the model is what the image brings along.
        self.model_uri = model_uri
        self.greeting = None
        self.ready = False
        self.load()

    def load(self):
        if self.ready:
            return
        self.greeting = DEFAULT_GREETING
        if self.model_uri is not None:
            with open(os.path.join(self.model_uri, "greeting.txt"), encoding="utf-8") as file:
                self.greeting = file.read().strip()
        self.ready = True

    def predict(self, X, feature_names=None, meta=None):
        return f"{self.greeting} {X}"

    def health_status(self):
        return "ready" if self.ready else "loading"
