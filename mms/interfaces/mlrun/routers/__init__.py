"""Routers of MLRun: which of their routes answers an event, or all of them."""
