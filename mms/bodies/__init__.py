"""Formats of request bodies that more than one interface reads."""
