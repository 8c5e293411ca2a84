"""The folder with `mlrun` in it."""
