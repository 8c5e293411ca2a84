"""The commands that watch the models of a running server."""
