"""Protocols whose requests are JSON documents of forms of their own."""
