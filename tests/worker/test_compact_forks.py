"""What a process that is forked does so that its forks copy few of its pages, and have numbers of their own."""

from __future__ import annotations

import functools
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from mms.worker.forking.compact import recall
from mms.worker.forking.identity import renew_random_numbers

#: Tells in how many pages the objects lie that are made after gaps were filled, and in how many bytes of a page.
_MEASURES = """
import os, sys
from mms.worker.forking.compact import fill_gaps
size, count, page = 96, 200, os.sysconf("SC_PAGESIZE")
many = [bytes(size - sys.getsizeof(b"")) for _ in range(8_000)]
# A gap in each page.
kept = [each for number, each in enumerate(many) if number % 40]
del many
if sys.argv[1:] == ["filled"]:
    fill_gaps()
made = [bytes(size - sys.getsizeof(b"")) for _ in range(count)]
print(len({id(each) // page for each in made}), count * size // page)
"""


def _pages_of_new_objects(*arguments: str) -> tuple[int, int]:
    """Return the pages of new objects, and how many they would fill. In a process of its own: others have gaps of the
    tests that ran before."""
    command = [sys.executable, "-c", _MEASURES, *arguments]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pages, filled = told.split()
    return int(pages), int(filled)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="has another allocator")
def test_objects_that_are_made_after_the_gaps_are_filled_lie_together() -> None:
    pages, filled = _pages_of_new_objects("filled")
    assert pages <= filled + 3
    scattered, _ = _pages_of_new_objects()
    assert scattered > 10 * pages


#: Prints how many references a name that was looked up in a type has, before and after.
_LOOKS_UP = """
import sys
from mms.worker.forking.compact import fill_gaps
name = sys.intern("a name of nothing")
before = sys.getrefcount(name)
hasattr(int, name)
looked_up = sys.getrefcount(name)
fill_gaps()
print(looked_up - before, sys.getrefcount(name) - before)
"""


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.version_info >= (3, 12),
    reason="counts no references to names that are looked up",
)
def test_no_name_is_held_that_was_looked_up_before_the_fork() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _LOOKS_UP], check=True, capture_output=True, text=True
    ).stdout
    looked_up, after = map(int, told.split())
    assert after == 0 < looked_up


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
