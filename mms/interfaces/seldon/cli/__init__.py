"""Commands for Seldon's components."""
