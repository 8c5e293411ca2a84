"""Commands for MLRun's functions."""
