"""`mms drift`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mms.cli.mms import main

STATS = {"a": {"hist": [[10, 10], [0, 1, 2]], "mean": 1.0}}


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "stats.json"
    path.write_text(json.dumps(STATS))
    return path


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.jsonl"
    lines = [
        {"model": model, "request": {"inputs": [[value]]}, "resp": {"outputs": [0]}}
        for model, value in (("m", 0.5), ("m", 1.5), ("other", 9), ("m", 8))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def drift(*arguments: object, input: str | None = None) -> Result:
    return CliRunner().invoke(main, ["drift", *map(str, arguments)], input=input)


def test_it_prints_each_feature_and_the_whole(records: Path, reference: Path) -> None:
    result = drift(records, "--reference", reference, "--model", "m")
    assert result.exit_code == 0, result.output
    row = next(line.split() for line in result.output.splitlines() if line.startswith("a "))
    assert row[:6] == ["a", "input", "3", "1", "3.333", "0.3333"]
    assert "3 requests, 0 errors, 0 records without numbers" in result.output
    assert "In records, not in the reference: p0" in result.output
    assert "no drift" in result.output.splitlines()[-1]


def test_the_newest_alone_can_count_and_drift_can_fail_the_command(
    records: Path, reference: Path
) -> None:
    arguments = (records, "--reference", reference, "--last", 1)
    result = drift(*arguments, "--fail-on", "detected")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "General drift 1: drift detected"
    assert drift(*arguments).exit_code == 0


def test_records_come_from_standard_input_too_and_the_report_as_json(
    records: Path, reference: Path
) -> None:
    result = drift("-", "--reference", reference, "--json", input=records.read_text())
    assert json.loads(result.output)["requests"] == 4


def test_what_cannot_be_read_is_a_misuse_with_its_name(records: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    result = drift(records, "--reference", tmp_path / "bad.json")
    assert result.exit_code == 2
    assert "bad.json has no histogram" in result.output
    result = drift(tmp_path / "nothing.jsonl", "--reference", tmp_path / "bad.json")
    assert result.exit_code == 2
