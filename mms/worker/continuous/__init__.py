"""Continuous batching: sequences that join and leave a running batch between the steps of a model."""
