"""Packing a folder into an archive: which files, how they are written, the checks."""
