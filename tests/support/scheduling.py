"""The order in which tests are shared out to several processes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

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
    """Files in the order of their collection, each as a whole as its tests share servers; pages one by one.

    Those that parse the project's sources are as one file, for one process to parse each source once.
    Pages that start `mms microservice` stay together, as its management has a port that is always the same.
    Those of the conformance suite go to a third of the processes while there are others: each process starts the
    servers that the suite shares for itself.
    """

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        super().add_node_collection(node, collection)
        if node in self.registered_collections:
            self.registered_collections[node] = _Places(collection)

    def _assign_work_unit(self, node: Any) -> None:
        conforms = 3 * self.nodes.index(node) < len(self.nodes)
        for scope in self.workqueue:
            if scope.startswith("tests/conformance/") is conforms:
                self.workqueue.move_to_end(scope, last=False)
                break
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        if not nodeid.startswith("tests/pages/"):
            file = str(super()._split_scope(nodeid))
            return "files that parse the sources" if parses_sources(file) else file
        page = _TESTS.parent / nodeid.partition("[")[2].rstrip("]")
        starts_microservice = page.is_file() and "mms microservice" in page.read_text("utf-8")
        return "pages with mms microservice" if starts_microservice else nodeid


class _Places(list[str]):
    """xdist asks for the place of each of 12,000 tests."""

    def __init__(self, tests: Sequence[str]) -> None:
        super().__init__(tests)
        self._places = {test: place for place, test in enumerate(tests)}

    def index(self, test: str, *_: Any) -> int:
        return self._places[test]


@cache
def parses_sources(file: str) -> bool:
    path = _TESTS.parent / file
    return path.is_file() and "from support.sources import" in path.read_text("utf-8")


def put_long_first(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(_TESTS).parts[0]
        return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=place)
