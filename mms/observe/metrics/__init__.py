"""Metrics: counts and measurements, and their texts."""
