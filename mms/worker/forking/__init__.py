"""Processes that workers are forked from, and what a forked worker takes on to be as one that was started by itself."""
