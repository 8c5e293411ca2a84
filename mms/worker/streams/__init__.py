"""Answers that are streams: where their chunks come from, and in whose turn they are made and sent."""
