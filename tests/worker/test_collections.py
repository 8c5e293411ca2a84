"""How often Python searches a worker for garbage while it loads its model."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from mms.processes.garbage import rare_collections


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_searches_are_rarer_during_a_load_and_as_before_after_it_however_it_ends() -> None:
    gc.set_threshold(700, 10, 10)
    with pytest.raises(KeyError), rare_collections():
        assert gc.get_threshold()[0] > 7000
        raise KeyError
    assert gc.get_threshold() == (700, 10, 10)


def test_what_a_handler_sets_for_itself_stays() -> None:
    with rare_collections():
        gc.set_threshold(123, 4, 5)
    assert gc.get_threshold() == (123, 4, 5)
