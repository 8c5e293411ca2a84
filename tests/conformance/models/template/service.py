"""A class, and beside it the function that the server calls: initialised at the first call."""

from __future__ import annotations


class ModelHandler:
    def __init__(self):
        self.is_initialized = False
        self.times_initialized = 0

    def initialize(self, context):
        self.times_initialized += 1
        self.is_initialized = True

    def preprocess(self, batch):
        return [bytes(item["body"]).decode("utf-8") for item in batch]

    def inference(self, inputs):
        return [text.upper() for text in inputs]

    def postprocess(self, outputs):
        return [f"{text} {self.times_initialized}" for text in outputs]

    def handle(self, data, context):
        return self.postprocess(self.inference(self.preprocess(data)))


_service = ModelHandler()


def handle(data, context):
    if not _service.is_initialized:
        _service.initialize(context)
    if data is None:
        return None
    return _service.handle(data, context)
