"""Helpers of handlers: micro-batches, times, texts, streams."""
