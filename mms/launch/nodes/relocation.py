"""Paths of the front's machine, in what a worker is told, as they are on the worker's node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mms.wire import Load


def relocated(value: Any, folders: Mapping[str, str]) -> Any:
    """Return a JSON value with the paths in its texts replaced. `folders`: path -> path in its place."""
    if not folders:
        return value
    # The longest one first: one folder may lie in another.
    ordered = sorted(folders, key=len, reverse=True)
    pattern = re.compile("(?:" + "|".join(map(re.escape, ordered)) + r")(?![\w.\-])")
    return _replaced(value, pattern, folders)


def _replaced(value: Any, pattern: re.Pattern[str], folders: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(lambda found: folders[found[0]], value)
    if isinstance(value, dict):
        return {key: _replaced(each, pattern, folders) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, pattern, folders) for each in value]
    return value


def relocated_load(load: Load, folders: Mapping[str, str]) -> Load:
    """Return what a worker is to load, with the paths of its node."""
    return Load.from_members(relocated(asdict(load), folders))
