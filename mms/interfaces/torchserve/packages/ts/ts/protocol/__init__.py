"""Answers as handlers send them themselves."""
