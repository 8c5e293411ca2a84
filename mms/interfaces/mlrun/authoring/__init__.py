"""Serving functions of MLRun: how they are built, tested and deployed."""
