"""Traces of requests, as OpenTelemetry has them. What is here costs nothing in a server that makes none."""
