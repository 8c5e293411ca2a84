from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.cells import GOALS_MS, select_cells
from benchmarks.charts import Bar, Line, bar_chart, line_chart
from benchmarks.display import comparison
from benchmarks.peers import all_peers
from benchmarks.records import Records, Visit
from benchmarks.report import write_report


def load_values(rate: float, p50_ms: float) -> dict[str, float]:
    return {
        "requests_per_s": rate,
        "p50_ms": p50_ms,
        "p99_ms": 2 * p50_ms,
        "errors": 0.0,
        "foreign_cores": 0.01,
        "processor_us_front": 18.0,
        "processor_us_worker": 7.0,
    }


@pytest.fixture
def records(tmp_path: Path) -> Records:
    records = Records(tmp_path / "run")
    records.write_header(machine={"memory": "24 GiB"})
    for name in ("ours", "mosec", "mms"):
        records.note("versions", name, "1.2.3")
    for round_number in (0, 1):
        for cell in ("b1-c1", "b1-c64", "b1-c256"):
            records.add(Visit(cell, "ours", round_number, load_values(45_000.0, 2.0)))
            records.add(Visit(cell, "mosec", round_number, load_values(10_000.0, 1.0)))
    start = {"start_s": 0.5, "rss_mib": 60.0, "pss_mib": 50.0, "processes": 2.0}
    records.add(Visit("start", "ours", 0, start))
    records.add(Visit("start", "mms", 0, {**start, "start_s": 1.2}))
    return records


def write(records: Records, tmp_path: Path) -> str:
    target = tmp_path / "docs" / "benchmarks.md"
    target.parent.mkdir()
    write_report(records, all_peers(), target)
    return target.read_text(encoding="utf-8")


def test_servers_stand_in_the_order_of_their_throughput(records: Records, tmp_path: Path) -> None:
    page = write(records, tmp_path)
    section = page[page.index("### Batch 1, 64 connections") :]
    assert section.index("this server") < section.index("| mosec | 10,000 |")
    assert "4.50 x" in section


def goal_values(rate: float) -> dict[str, float]:
    figures = {"capacity_per_s": rate, "processor_us_server": 1.0}
    return figures | {f"rate_{goal_ms}ms": rate + goal_ms for goal_ms in GOALS_MS}


def test_real_models_come_first_with_all_servers_side_by_side(
    records: Records, tmp_path: Path
) -> None:
    for name, rate in (("mosec", 150.0), ("ours", 350.0), ("mms", 950.0)):
        records.add(Visit("real-forest", name, 0, goal_values(rate)))
    page = write(records, tmp_path)
    section = page[page.index("## Real models") : page.index("## Servers")]
    within = section[section.index("### Within 50 ms") : section.index("### Within 200 ms")]
    assert [line.partition(" |")[0] for line in within.splitlines() if "|" in line] == [
        "| server",
        "|---|---:|---:|---:|---:|",
        "| AWS MMS",
        "| **this server**",
        "| mosec",
    ]
    assert "| mosec | 200 (2.00 x) | – | – | – |" in within


def test_the_adaptive_policy_stands_beside_the_best_fixed_size(
    records: Records, tmp_path: Path
) -> None:
    records.add(Visit("real-forest", "ours", 0, goal_values(350.0)))
    for size, rate in ((1, 50.0), (8, 450.0), (32, 150.0)):
        records.add(Visit(f"fixed-forest-b{size}", "ours", 0, goal_values(rate)))
    page = write(records, tmp_path)
    row = next(line for line in page.splitlines() if "(batch 8)" in line)
    assert "| 400 | 500 (batch 8) | 0.80 x | 550 | 650 (batch 8) | 0.85 x |" in row
    assert "| at least 0.95 x | 0.80 x | **missed** |" in page
    assert "batch_policy=fixed, batch 8" not in page


def test_the_spread_of_one_round_is_not_told(records: Records, tmp_path: Path) -> None:
    records.add(Visit("b32-c1", "ours", 0, load_values(100.0, 1.0)))
    page = write(records, tmp_path)
    section = page[page.index("### Batch 32, 1 connection") :]
    assert "| **this server** | **100** | **–** |" in section


def test_where_another_server_is_better_is_said(records: Records, tmp_path: Path) -> None:
    page = write(records, tmp_path)
    losses = page[page.index("## Where another server is better") :]
    assert "- batch 1, 64 connections: mosec 1 ms p50, ours 2" in losses
    assert "requests/s" not in losses.partition("## ")[2].partition("## ")[0]


def test_a_server_that_could_not_run_is_named_with_its_reason(
    records: Records, tmp_path: Path
) -> None:
    records.note("absent", "torchserve", "Java is not installed")
    assert "- TorchServe could not run: Java is not installed" in write(records, tmp_path)


def test_a_failed_turn_is_named_with_its_reason(records: Records, tmp_path: Path) -> None:
    records.add(Visit("b1-c64", "mms", 0, problem="AWS MMS: it did not come up\nand its log"))
    page = write(records, tmp_path)
    assert "- AWS MMS gave no figures in 'b1-c64': AWS MMS: it did not come up\n" in page
    assert "and its log" not in page


def test_goals_are_judged_and_unmeasured_ones_are_shown(records: Records, tmp_path: Path) -> None:
    page = write(records, tmp_path)
    goals = page[page.index("## Goals") :].partition("\n## ")[0]
    assert "| throughput against mosec | at least 4 x (aim 5) | 4.50 x | held |" in goals
    assert "| p99 against mosec | at most 0.5 x | 2.00 x | **missed** |" in goals
    assert "| not measured |" in goals


def test_a_run_in_parts_says_of_each_when_and_how_it_was_measured(
    records: Records, tmp_path: Path
) -> None:
    records.begin_part(["b1-c1", "b1-c64"], date="Monday", commit="a", rounds=5, duration_s=4)
    assert "Measured Monday at commit a, 5 interleaved rounds of 4 s each" in write(
        records, tmp_path
    )
    records.begin_part(["start"], date="Tuesday", commit="b", rounds=1, duration_s=2)
    write_report(records, all_peers(), tmp_path / "docs" / "benchmarks.md")
    page = (tmp_path / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert "| batch 1 | Monday | a | 5 x 4 s |\n| start | Tuesday | b | 1 x 2 s |" in page


def test_every_chart_of_the_page_is_a_file(records: Records, tmp_path: Path) -> None:
    page = write(records, tmp_path)
    names = [part.partition(")")[0] for part in page.split("](benchmarks/")[1:]]
    assert "throughput-batch-1.svg" in names
    assert "connections-batch-1.svg" in names
    folder = tmp_path / "docs" / "benchmarks"
    assert sorted(names) == sorted(path.name for path in folder.iterdir())


def test_a_page_of_no_visits_can_be_written(tmp_path: Path) -> None:
    page = write(Records(tmp_path / "run"), tmp_path)
    assert "## Goals" in page
    assert "svg" not in page


def test_a_turn_beside_other_work_is_counted(records: Records, tmp_path: Path) -> None:
    records.add(Visit("b1-c64", "ours", 1, {**load_values(1.0, 1.0), "foreign_cores": 0.9}))
    assert "in 1 of 13 turns" in write(records, tmp_path)


def test_the_longest_bar_has_the_largest_value() -> None:
    svg = bar_chart("Speed", "more is better", [Bar("a<b", 10.0, "10"), Bar("c", 40.0, "40", True)])
    root = ElementTree.fromstring(svg)
    widths = [float(rect.attrib["width"]) for rect in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] == pytest.approx(4 * widths[0], rel=0.01)
    assert "a&lt;b" in svg


def test_a_line_chart_places_more_higher_and_further_right() -> None:
    svg = line_chart("Speed", "", [Line("ours", ((1.0, 10.0), (64.0, 40.0)))], "connections")
    circles = list(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}circle"))
    (left, low), (right, high) = ((float(c.attrib["cx"]), float(c.attrib["cy"])) for c in circles)
    assert left < right
    assert low > high


def test_charts_of_nothing_are_still_documents() -> None:
    for svg in (bar_chart("Nothing", "", []), line_chart("Nothing", "", [], "x")):
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_a_run_ends_with_our_throughput_and_latency_against_each_other_server(
    records: Records,
) -> None:
    lines = comparison(records, select_cells(["b1-c64", "b32-c64"]), all_peers())
    assert lines == ["b1-c64, ours against mosec: throughput 4.50 x, p50 2.00 x, p99 2.00 x"]
