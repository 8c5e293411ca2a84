"""The function that the page's graph is one of, and its classes."""

import classifier
import mlrun

ClassifierModel = classifier.ClassifierModel
fn = mlrun.new_function("graph", kind="serving")


class Postprocess:
    def __init__(self, limit):
        self.limit = limit

    def do(self, event):
        return event


class Catch(Postprocess):
    pass
