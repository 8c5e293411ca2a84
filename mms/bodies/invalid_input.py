"""The one error of everything that decodes requests."""

from __future__ import annotations


class InvalidInput(Exception):
    """A request that cannot be decoded. The message is for the client: what is wrong, and where."""
