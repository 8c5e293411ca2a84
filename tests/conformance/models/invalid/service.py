"""Returns text where a list is due."""

from __future__ import annotations


def handle(data, context):
    return "invalid"
