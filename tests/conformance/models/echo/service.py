"""Answers with the text of what it was given."""

from __future__ import annotations


def handle(data, context):
    if data is None:
        return None
    for index in range(len(data)):
        context.set_response_content_type(index, "text/plain")
    return [str(item) for item in data]
