"""Has no memory to load. Its parameters have other names than usual."""

from __future__ import annotations


def handle(ctx, body):
    raise MemoryError("no memory for this model")
