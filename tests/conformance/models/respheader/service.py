"""Answers with the text of what it was given and a header of its own."""

from __future__ import annotations


def handle(data, context):
    if data is None:
        return None
    for index in range(len(data)):
        context.set_response_content_type(index, "text/plain")
        context.set_response_header(index, "dummy", "1")
    return [str(item) for item in data]
