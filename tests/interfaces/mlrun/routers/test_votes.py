"""What an ensemble makes of outputs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mms.interfaces.mlrun.routers.votes import (
    CLASSIFICATION,
    REGRESSION,
    kind_of,
    vote,
    weights_of,
)
from mms.traffic.weights import check_weights


def test_without_weights_all_are_the_same() -> None:
    assert weights_of(["a", "b"], None) == [0.5, 0.5]
    assert weights_of(["a", "b"], None, is_normalized=False) == [0.5, 0.5]


def test_weights_are_divided_by_their_sum_unless_told_not_to() -> None:
    assert weights_of(["a", "b"], {"b": 3, "a": 1}) == [0.25, 0.75]
    assert weights_of(["a", "b"], {"a": 1, "b": 1}, is_normalized=False) == [1.0, 1.0]
    assert weights_of(["a", "b"], {"a": 0.1, "b": 0.1}) == [0.5, 0.5]


def test_a_model_without_a_weight_has_none() -> None:
    assert weights_of(["a", "b"], {"a": 2}) == [1.0, 0.0]


def test_models_that_answered_share_the_weights_of_those_that_did_not() -> None:
    assert weights_of(["a", "c"], {"a": 1, "b": 2, "c": 1}) == [0.5, 0.5]


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="the weights of the models that answered, a, are all 0"):
        weights_of(["a"], {"b": 1})


@pytest.mark.parametrize("weight", [-1, "1", None, True, math.nan, math.inf])
def test_what_is_no_weight_is_refused_with_the_model(weight: Any) -> None:
    with pytest.raises(ValueError, match="the weight of model m1 is"):
        check_weights({"m1": weight})


def test_weights_are_a_dict() -> None:
    assert check_weights(None) is None
    with pytest.raises(ValueError, match="weights must be a dict"):
        check_weights([1, 2])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([[1, 2], [3, 4]], CLASSIFICATION),
        ([[1.0], [2.0]], CLASSIFICATION),
        ([[1.0], [2.5]], REGRESSION),
        ([["a"], ["b"]], CLASSIFICATION),
        ([[[0.1, 0.9]], [[1.0, 0.0]]], REGRESSION),
        ([True, False], CLASSIFICATION),
        ([[math.nan]], REGRESSION),
    ],
)
def test_whole_numbers_and_text_are_classes(rows: Any, kind: str) -> None:
    assert kind_of(rows) == kind


def test_regression_is_the_weighted_sum_of_each_output() -> None:
    assert vote([[500, 1], [1000, 2]], [0.25, 0.75], REGRESSION) == [875.0, 1.75]


def test_outputs_of_many_numbers_are_averaged_one_by_one() -> None:
    assert vote([[[0.0, 1.0]], [[1.0, 0.0]]], [0.5, 0.5], REGRESSION) == [[0.5, 0.5]]


def test_outputs_that_are_no_lists_are_averaged_too() -> None:
    assert vote([1, 2], [0.5, 0.5], REGRESSION) == 1.5


@pytest.mark.parametrize(
    ("rows", "weights", "voted"),
    [
        ([[1], [2], [2]], [1, 1, 1], [2]),
        ([[1], [2], [3], [4]], [0.1, 0.2, 0.3, 0.4], [4]),
        ([[4], [3], [2], [1]], [1, 1, 1, 1], [1]),
        ([[2.0], [2.0]], [1, 1], [2]),
        ([["cat"], ["dog"], ["dog"]], [1, 1, 1], ["dog"]),
        ([["b"], ["a"]], [1, 1], ["a"]),
        ([[-1], [-1], [1]], [1, 1, 1], [-1]),
        ([["a"], [1]], [1, 1], [1]),
        # 0.1 + 0.2 is not quite 0.3.
        ([[1], [2], [2]], [0.3, 0.1, 0.2], [1]),
    ],
)
def test_the_class_with_most_weight_wins_and_ties_go_to_the_smallest(
    rows: Any, weights: Any, voted: Any
) -> None:
    found = vote(rows, weights, CLASSIFICATION)
    assert found == voted
    assert [type(value) for value in found] == [type(value) for value in voted]


@pytest.mark.parametrize("kind", [CLASSIFICATION, REGRESSION])
@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([[1, 2], [1]], "differ in their counts of outputs: 2, 1"),
        ([[1, 2], 1], "differ in their counts of outputs: 2, none"),
    ],
)
def test_models_that_differ_in_their_shapes_are_told_of(rows: Any, text: str, kind: str) -> None:
    with pytest.raises(ValueError, match=text):
        vote(rows, [0.5, 0.5], kind)


def test_a_list_beside_a_number_is_told_of() -> None:
    with pytest.raises(ValueError, match="differ in the shapes"):
        vote([1, [1]], [0.5, 0.5], CLASSIFICATION)


def test_text_has_no_average() -> None:
    with pytest.raises(ValueError, match="no numbers have no average"):
        vote([["a"], ["b"]], [0.5, 0.5], REGRESSION)


@given(
    rows=some.lists(some.integers(-5, 5), min_size=1, max_size=6),
    weights=some.lists(some.floats(0.1, 1), min_size=6, max_size=6),
)
def test_a_winner_was_voted_for_and_has_no_less_weight_than_any_other(
    rows: list[int], weights: list[float]
) -> None:
    own = weights[: len(rows)]
    winner = vote(rows, own, CLASSIFICATION)

    def weight_of(value: int) -> float:
        return sum(w for row, w in zip(rows, own, strict=True) if row == value)

    assert winner in rows
    assert all(weight_of(winner) >= weight_of(row) * (1 - 1e-6) for row in rows)


@given(
    rows=some.lists(some.floats(-1e6, 1e6), min_size=1, max_size=6),
    weights=some.lists(some.floats(0.1, 1), min_size=6, max_size=6),
)
def test_a_weighted_average_lies_between_its_values(
    rows: list[float], weights: list[float]
) -> None:
    names = [str(number) for number in range(len(rows))]
    own = weights_of(names, dict(zip(names, weights, strict=False)))
    found = vote(rows, own, REGRESSION)
    assert min(rows) - 1e-3 <= found <= max(rows) + 1e-3
