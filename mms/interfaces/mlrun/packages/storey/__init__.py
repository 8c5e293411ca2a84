"""The folder with `storey` in it."""
