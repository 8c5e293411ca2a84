from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.cells import QUICK, all_cells, groups, select_cells
from benchmarks.deployment import Deployment
from benchmarks.goals import GOALS
from benchmarks.peers import all_peers


def test_every_cell_has_a_name_of_its_own() -> None:
    counts = Counter(cell.name for cell in all_cells())
    assert [name for name, count in counts.items() if count > 1] == []


def test_cells_ask_only_servers_that_exist() -> None:
    asked = {name for cell in all_cells() for name in cell.peers} - {"*"}
    assert asked <= set(all_peers())


def test_every_goal_is_about_a_cell_that_exists() -> None:
    assert {goal.cell for goal in GOALS} <= {cell.name for cell in all_cells()}


def test_cells_are_chosen_by_name_pattern_or_group() -> None:
    assert [cell.name for cell in select_cells(["b1-w2"])] == ["b1-w2"]
    assert {cell.group for cell in select_cells(["batch 32"])} == {"batch 32"}
    assert {cell.name for cell in select_cells(["digits-*"])} == {"digits-b1", "digits-b32"}
    assert len(select_cells(QUICK)) == len(QUICK)


def test_an_unknown_cell_is_refused_with_its_name_and_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'b2-c64'.*b1-c64"):
        select_cells(["b1-c64", "b2-c64"])


def test_cells_that_are_compared_with_each_other_share_their_rounds() -> None:
    group_of = {cell.name: cell.group for cell in all_cells()}
    for one, other in (
        ("b1-c1000", "b1-c64"),
        ("b32-c1000", "b32-c64"),
        ("b1-quiet", "b1-c64"),
        ("b32-quiet", "b32-c64"),
        ("models-1000", "models-10"),
        ("mlrun-ensemble-0ms", "mlrun-child-0ms"),
        ("mlrun-ensemble-1ms", "mlrun-child-1ms"),
        ("mlrun-ensemble-10ms", "mlrun-child-10ms"),
    ):
        assert group_of[one] == group_of[other]


def test_groups_keep_the_order_of_their_cells() -> None:
    cells = all_cells()
    regrouped = [cell for members in groups(cells).values() for cell in members]
    assert regrouped == cells


def test_only_the_used_models_of_many_get_traffic() -> None:
    deployment = Deployment(registered_models=1000, used_models=10)
    assert len(deployment.model_names()) == 1000
    assert deployment.used_model_names() == deployment.model_names()[:10]
    assert len(set(deployment.model_names())) == 1000
