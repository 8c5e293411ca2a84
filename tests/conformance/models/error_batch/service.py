"""Answers with an error status and a body of its own."""

from __future__ import annotations


def handle(data, context):
    if data:
        context.set_response_status(code=507, idx=0)
        return ["Invalid response"]
    return None
