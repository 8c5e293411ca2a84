"""Cannot be loaded."""

from __future__ import annotations


def handle(data, context):
    raise RuntimeError("this model never loads")
