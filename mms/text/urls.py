"""Addresses as people may see them."""

from __future__ import annotations

from urllib.parse import urlsplit


def without_secrets(url: str) -> str:
    """Return `url` without user, password and query, where signed urls carry their secret. Paths stay as they are."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        # It is not known which part of it is a secret.
        return f"{url.partition('://')[0]}://..."
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
