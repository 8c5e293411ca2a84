"""The fast path of predictions."""
