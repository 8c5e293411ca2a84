"""How many workers a model has at first, by its registration, its archive and the server's default."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from archiver.model_config import WorkerBounds
from mms.serving.served import ServedModel


@pytest.mark.parametrize(
    ("asked", "of_archive", "expected"),
    [
        pytest.param({}, None, (2, 2), id="the default where nobody says anything"),
        pytest.param({}, (1, 4), (1, 4), id="as the archive says"),
        pytest.param({"initial_workers": 3}, (1, 4), (3, 3), id="the registration goes before"),
        pytest.param({"initial_workers": 0}, (1, 4), (0, 0), id="none is a number, too"),
        pytest.param({"initial_workers": 1, "max_worker": 4}, None, (1, 4), id="from one to more"),
        pytest.param({"max_worker": 1}, (3, 4), (1, 1), id="no more than the most"),
        pytest.param({"initial_workers": 5, "max_worker": 2}, None, (2, 2), id="nor by number"),
    ],
)
def test_the_first_workers_are_what_is_asked_for_by_whoever_goes_before(
    asked: dict[str, int], of_archive: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    said = {"initial_workers": None, "max_worker": None, **asked}
    served: Any = SimpleNamespace(
        options=SimpleNamespace(asked=SimpleNamespace(**said)),
        worker_bounds=WorkerBounds(*of_archive) if of_archive else None,
    )
    bounds = ServedModel.first_bounds(served, 2)
    assert (bounds.least, bounds.most) == expected
