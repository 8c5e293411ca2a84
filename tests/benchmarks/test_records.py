from __future__ import annotations

from pathlib import Path

from benchmarks.records import Records, Visit


def test_a_run_is_read_back_from_its_folder(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write_header(commit="abc")
    records.add(Visit("b1-c64", "ours", 0, {"requests_per_s": 10.0}))
    again = Records(tmp_path)
    assert again.header == {"commit": "abc"}
    assert again.visits == records.visits


def test_a_continued_run_keeps_the_header_of_its_first_part(tmp_path: Path) -> None:
    Records(tmp_path).write_header(commit="first", rounds=5)
    again = Records(tmp_path)
    again.write_header(commit="second", date="today")
    assert again.header == {"commit": "first", "rounds": 5, "date": "today"}


def test_a_run_in_parts_knows_when_and_how_each_was_measured(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.begin_part(["b1-c1"], date="Monday", commit="a", rounds=5, duration_s=4)
    records.begin_part(["b1-c64"], date="Tuesday", commit="a", rounds=5, duration_s=4)
    records.begin_part(["b1-c64"], date="Tuesday", commit="b", rounds=5, duration_s=4)
    first, second = Records(tmp_path).parts
    assert (first["date"], first["cells"]) == ("Monday", ["b1-c1", "b1-c64"])
    assert (second["commit"], second["cells"]) == ("b", ["b1-c64"])


def test_a_failed_visit_is_not_taken_for_a_measured_one(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.add(Visit("b1-c64", "ours", 0, problem="it did not come up"))
    assert not records.has("b1-c64", "ours", 0)
    records.add(Visit("b1-c64", "ours", 0, {"requests_per_s": 10.0}))
    assert records.has("b1-c64", "ours", 0)
    assert records.problems("b1-c64", "ours") == ["it did not come up"]


def test_a_round_that_was_visited_again_counts_once(tmp_path: Path) -> None:
    records = Records(tmp_path)
    for rate in (1.0, 3.0):
        records.add(Visit("b1-c64", "ours", 0, {"requests_per_s": rate}))
    records.add(Visit("b1-c64", "ours", 1, {"requests_per_s": 5.0}))
    assert records.values("b1-c64", "ours", "requests_per_s") == [3.0, 5.0]


def test_a_reason_for_absence_can_be_taken_back(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.note("absent", "mosec", "no network")
    records.forget("absent", "mosec")
    assert Records(tmp_path).header["absent"] == {}
