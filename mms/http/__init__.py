"""The HTTP edges."""

from mms.http.server import HttpFront

__all__ = ["HttpFront"]
