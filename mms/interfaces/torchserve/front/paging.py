"""Pages of a list, as TorchServe's management API has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_MAX_LIMIT: Final = 100


def page_of(rows: list[dict[str, Any]], name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the page that `limit` and `next_page_token` ask for; what is no number counts as absent."""
    limit, start = whole(given.get("limit"), _MAX_LIMIT), whole(given.get("next_page_token"), 0)
    return page(rows, name, limit, start)


def page(rows: list[dict[str, Any]], name: str, limit: int, start: int) -> dict[str, Any]:
    """Return a page, with the token of the next one if there is one."""
    if not 0 <= limit <= _MAX_LIMIT:
        limit = _MAX_LIMIT
    start = max(start, 0)
    end = start + limit
    document: dict[str, Any] = {}
    # TorchServe's page of nothing leads to itself for ever.
    if limit and end < len(rows):
        document["nextPageToken"] = str(end)
    document[name] = rows[start:end]
    return document


def whole(text: str | None, default: int) -> int:
    """Return a whole number, or the default for what is none."""
    try:
        return default if text is None else int(text)
    except ValueError:
        return default
