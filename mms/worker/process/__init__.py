"""The process of a worker: how it is set up, confined and ended."""
