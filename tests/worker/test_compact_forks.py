"""What a process that is forked does so that its forks copy few of its pages, and have numbers of their own."""

from __future__ import annotations

import functools
import os
import sys
from types import ModuleType

import numpy as np
import pytest

from mms.worker.forking.compact import fill_gaps, recall
from mms.worker.forking.identity import renew_random_numbers

_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def _pages_of_new_objects(size: int, count: int) -> int:
    made = [bytes(size - sys.getsizeof(b"")) for _ in range(count)]
    return len({id(each) // _PAGE_BYTES for each in made})


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="has another allocator")
def test_objects_that_are_made_after_the_gaps_are_filled_lie_together() -> None:
    size, count = 96, 200
    many = [bytes(size - sys.getsizeof(b"")) for _ in range(8_000)]
    # A gap in each page.
    kept = [each for number, each in enumerate(many) if number % 40]
    del many
    fill_gaps()
    assert _pages_of_new_objects(size, count) <= count * size // _PAGE_BYTES + 3
    del kept


def test_what_a_library_remembers_is_found_out_before_the_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = ModuleType("narwhals.plugins")
    library._discover_entrypoints = functools.cache(lambda: ())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "narwhals.plugins", library)
    recall()
    assert library._discover_entrypoints.cache_info().currsize == 1


def test_a_library_that_remembers_nothing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("narwhals.plugins")
    called: list[bool] = []
    library._discover_entrypoints = lambda: called.append(True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "narwhals.plugins", library)
    recall()
    assert called == []


def test_a_library_that_fails_to_find_out_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError("broken metadata")

    library = ModuleType("narwhals.plugins")
    library._discover_entrypoints = functools.cache(fail)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "narwhals.plugins", library)
    recall()
    assert "broken metadata" in capsys.readouterr().err


def test_numbers_of_numpy_are_renewed() -> None:
    drawn = set()
    for _ in range(3):
        np.random.seed(1)
        renew_random_numbers()
        drawn.add((float(np.random.random()), float(np.random.standard_normal())))
    assert len(drawn) == 3
