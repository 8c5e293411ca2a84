"""A single class, found without being named."""

from __future__ import annotations

import json


class Service:
    def __init__(self):
        self.at_load = None
        self.calls = 0

    def initialize(self, context):
        self.at_load = {
            "metrics": context.metrics is not None,
            "request_ids": context.request_ids,
            "request_processor": context.request_processor,
            "model_name": context.model_name,
            "properties": sorted(context.system_properties),
        }

    def handle(self, data, context):
        self.calls += 1
        return [json.dumps({"at_load": self.at_load, "calls": self.calls}) for _ in data]
