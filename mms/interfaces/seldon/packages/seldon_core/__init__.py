"""The folder with `seldon_core` in it."""
