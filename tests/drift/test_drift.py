"""Distances, references, records, the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mms.drift.measures import EMPTY_BIN, hellinger, kullback_leibler, shares, total_variation
from mms.drift.records import columns_of_lines
from mms.drift.reference import InvalidReference, read_reference
from mms.drift.report import DETECTED, NO_DRIFT, NOT_ENOUGH, POSSIBLE, Thresholds, measure_drift

HALVES = {"hist": [[10, 10], [0.0, 1.0, 2.0]]}


def record(inputs: Any, outputs: Any = (), **members: Any) -> bytes:
    whole = {"model": "m", "request": {"inputs": inputs}, "resp": {"outputs": list(outputs)}}
    return json.dumps({**whole, **members}).encode()


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_the_same_distribution_is_at_no_distance() -> None:
    same = shares([1, 2, 3])
    assert total_variation(same, same) == 0
    assert hellinger(same, same) == pytest.approx(0, abs=1e-7)
    assert kullback_leibler(same, same) == 0


def test_distributions_that_share_nothing_are_as_far_apart_as_can_be() -> None:
    now, then = shares([4, 0]), shares([0, 9])
    assert total_variation(now, then) == 1
    assert hellinger(now, then) == 1
    assert kullback_leibler(now, then) == pytest.approx(2 * (1 - EMPTY_BIN) * math.log(1e4))


def test_the_distances_are_those_of_their_formulas() -> None:
    now, then = shares([1, 3]), shares([2, 2])
    assert total_variation(now, then) == pytest.approx(0.25)
    overlap = math.sqrt(0.25 * 0.5) + math.sqrt(0.75 * 0.5)
    assert hellinger(now, then) == pytest.approx(math.sqrt(1 - overlap))
    both_ways = -0.25 * math.log(0.25 / 0.5) + 0.25 * math.log(0.75 / 0.5)
    assert kullback_leibler(now, then) == pytest.approx(both_ways)


@pytest.mark.parametrize("counts", [[-1, 2], [float("nan")], [[1], [2]]])
def test_what_are_no_counts_is_refused(counts: Any) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        shares(counts)


def test_values_outside_the_references_range_are_drift(tmp_path: Path) -> None:
    reference = read_reference(write(tmp_path / "r.json", {"a": HALVES}))
    report = measure_drift([record([[value]]) for value in (-5, 0.5, 1.5, 7)], reference)
    (feature,) = report.features
    assert feature.name == "a"
    assert feature.tvd == pytest.approx(0.5)
    assert (feature.minimum, feature.maximum) == (-5, 7)


def test_the_last_edge_belongs_to_the_last_bin(tmp_path: Path) -> None:
    reference = read_reference(write(tmp_path / "r.json", {"a": HALVES}))
    report = measure_drift([record([[0.0], [2.0]])], reference)
    assert report.features[0].tvd == 0


def test_the_general_drift_is_the_mean_of_both_means_over_the_inputs(tmp_path: Path) -> None:
    stats = {"a": HALVES, "b": HALVES, "y": HALVES}
    spec = {"inputs": [{"name": "a"}, {"name": "b"}], "outputs": [{"name": "y"}]}
    path = write(tmp_path / "model_spec.yaml", {"spec": {**spec, "feature_stats": stats}})
    lines = [record([[0.5, 9]], [99]), record([[1.5, 9]], [99])]
    report = measure_drift(lines, read_reference(path))
    a, b, y = report.features
    assert [(f.name, f.kind) for f in (a, b, y)] == [
        ("a", "input"),
        ("b", "input"),
        ("y", "output"),
    ]
    assert (a.tvd, b.tvd, y.tvd) == (0, 1, 1)
    assert report.tvd_mean == 0.5
    assert report.general_drift == pytest.approx((0.5 + (a.hellinger + b.hellinger) / 2) / 2)
    assert report.status == POSSIBLE


@pytest.mark.parametrize(
    ("drift", "status"),
    [(None, NOT_ENOUGH), (0.49, NO_DRIFT), (0.5, POSSIBLE), (0.69, POSSIBLE), (0.7, DETECTED)],
)
def test_the_status_begins_at_its_threshold(drift: float | None, status: str) -> None:
    assert Thresholds().status(drift) == status


def test_no_records_are_not_enough(tmp_path: Path) -> None:
    report = measure_drift([], read_reference(write(tmp_path / "r.json", {"a": HALVES})))
    assert (report.status, report.general_drift) == (NOT_ENOUGH, None)
    assert report.missing == ["a"]


def test_rows_are_read_as_lists_dicts_or_single_numbers_under_their_names() -> None:
    lines = [
        record([[1, 2], [3, 4]], [7, 8]),
        record([{"x": 5, "z": 6}]),
        record([9]),
        record(
            None, request={"inputs": [[10, 11]], "names": ["z", "x"]}, resp={"outputs": [[1, 2]]}
        ),
    ]
    columns = columns_of_lines(lines, ["x", "y"], ["label"])
    assert columns.inputs == {"x": [1, 3, 5, 11], "y": [2, 4], "z": [6, 10], "f0": [9]}
    assert columns.outputs == {"label": [7, 8], "p0": [1], "p1": [2]}
    assert columns.requests == 4


def test_records_that_several_requests_share_count_each_of_them() -> None:
    row = [{"inputs": [[1]]}, "infer", {"outputs": [2]}, "when", 5, {}]
    line = json.dumps(
        {"headers": ["request", "op", "resp", "when", "microsec", "metrics"], "values": [row, row]}
    ).encode()
    columns = columns_of_lines([line], [], [])
    assert (columns.requests, columns.inputs) == (2, {"f0": [1, 1]})


def test_what_has_no_numbers_is_counted_and_harms_nothing() -> None:
    lines = [
        record([["text", None, float("nan"), True]]),
        record([["a"]]),
        record([[1]], error="it failed"),
        record([[1]], model="other"),
        b"no json",
        b"[]",
        b"\n",
    ]
    columns = columns_of_lines(lines, [], [], model="m")
    assert columns.inputs == {"f3": [1.0]}
    assert (columns.requests, columns.errors, columns.unread) == (2, 1, 3)


def test_a_table_of_training_data_is_a_reference(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("a,name,b\n0,x,1\n1,y,\n2,z,3\n")
    reference = read_reference(path)
    assert list(reference.features) == ["a", "b"]
    a = reference.features["a"]
    assert (a.counts.sum(), len(a.counts), a.mean) == (3, 20, 1.0)
    same = measure_drift([record([{"a": v} for v in (0, 1, 2)])], reference)
    assert same.features[0].tvd == 0


def test_records_of_an_earlier_time_are_a_reference(tmp_path: Path) -> None:
    path = tmp_path / "week.jsonl"
    lines = [record([[value]], [value * 2]) for value in np.linspace(0, 1, 50)]
    path.write_bytes(b"\n".join(lines))
    reference = read_reference(path)
    report = measure_drift(lines, reference)
    assert [(f.name, f.kind, f.tvd) for f in report.features] == [
        ("f0", "input", 0),
        ("p0", "output", 0),
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.json", "{", "r.json is not valid JSON"),
        ("r.yaml", "a: [", "r.yaml is not valid YAML"),
        ("r.json", "[]", "is not a JSON or YAML object"),
        ("r.json", '{"a": {"mean": 1}}', "has no histogram"),
        ("r.json", '{"a": {"hist": [[1, 2], [0, 1]]}}', "hist of a must be"),
        ("r.json", '{"a": {"hist": [[1], [1, 0]]}}', "hist of a must be"),
        ("r.json", '{"a": {"hist": "x"}}', "hist of a must be"),
        ("m.yaml", "spec: {feature_stats: {}}", "has no spec.feature_stats"),
        ("r.csv", "a,b\nx,y\n", "no column of numbers"),
    ],
)
def test_a_reference_that_is_none_is_refused_with_what_is_wrong(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidReference, match=words):
        read_reference(tmp_path / name)


def test_a_report_is_json_whatever_was_found(tmp_path: Path) -> None:
    reference = read_reference(write(tmp_path / "r.json", {"a": HALVES, "gone": HALVES}))
    report = measure_drift([record([{"a": 1, "new": 2}])], reference)
    told = json.loads(json.dumps(report.describe()))
    assert (told["missing"], told["unknown"]) == (["gone"], ["new"])
    assert told["features"][0]["expected"] == {"mean": None, "std": None, "min": None, "max": None}
