"""Metrics that handlers report. The modules are imported when they are asked for."""
