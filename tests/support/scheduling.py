"""The order in which tests are shared out to several processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

_TESTS = Path(__file__).parents[1]
#: What takes long by itself comes first: a long file that begins last keeps one process busy and the others idle.
LONG_FIRST = (
    "structure",
    "pages",
    "examples",
    "faults",
    "fuzz",
    "conformance",
    "serving",
    "worker",
)


class LongestFirst(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Files in the order of their collection, each as a whole as its tests share servers; pages one by one."""

    def _split_scope(self, nodeid: str) -> str:
        is_page = nodeid.startswith("tests/pages/")
        return nodeid if is_page else str(super()._split_scope(nodeid))


def put_long_first(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(_TESTS).parts[0]
        return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=place)
