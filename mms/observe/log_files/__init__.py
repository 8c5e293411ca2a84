"""The log files: how they are set up, written and rotated."""
