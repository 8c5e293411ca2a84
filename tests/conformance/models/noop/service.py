"""Answers OK."""

from __future__ import annotations


def handle(data, context):
    if data is None:
        return None
    context.request_processor[0].get_request_property("Content-Type")
    context.set_response_content_type(0, "text/plain")
    context.metrics.add_time("PreprocessTime", 0.1)
    context.metrics.add_time("InferenceTime", 0.2)
    context.metrics.add_time("PostprocessTime", 0.3)
    return ["OK"] * len(data)
