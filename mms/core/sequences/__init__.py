"""Requests that belong together: their order, and the worker that keeps what belongs to each sequence."""
