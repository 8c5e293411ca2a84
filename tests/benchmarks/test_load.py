from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.load import LoadFailed, parse_figures

ROW = {
    "requests": 3000,
    "duration_us": 2_000_000,
    "received_bytes": 700_000,
    "connect_errors": 0,
    "read_errors": 2,
    "write_errors": 0,
    "timeouts": 1,
    "bad_statuses": 0,
    "p50_us": 1200,
    "p90_us": 1500,
    "p99_us": 2500,
    "max_us": 9000,
}


def test_the_figures_stand_among_what_wrk_prints() -> None:
    output = f"Running 2s test @ http://127.0.0.1:1/\nRequests/sec: 9\nBENCH {json.dumps(ROW)}\n"
    figures = parse_figures(output)
    assert figures.requests_per_s == 1500
    assert figures.p99_us == 2500


def test_only_errors_that_happened_are_named() -> None:
    figures = parse_figures(f"BENCH {json.dumps(ROW)}")
    assert figures.errors() == {"read_errors": 2, "timeouts": 1}


def test_percentiles_of_no_answers_count_as_zero() -> None:
    line = json.dumps({**ROW, "requests": 0}).replace("1200", "-nan").replace("2500", "nan")
    figures = parse_figures(f"BENCH {line}")
    assert (figures.p50_us, figures.p99_us) == (0, 0)


def test_output_without_figures_is_refused_with_wrks_complaint() -> None:
    with pytest.raises(LoadFailed, match="unable to connect"):
        parse_figures("", "unable to connect to 127.0.0.1:1 Connection refused\n")


def test_figures_with_other_names_are_refused() -> None:
    with pytest.raises(LoadFailed, match="cannot be read"):
        parse_figures('BENCH {"requests": 1}')


def test_a_missing_wrk_is_answered_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    complaint = load.missing_generator()
    assert complaint is not None
    assert "apt-get install wrk" in complaint


_WITHOUT_WRK = "wrk, which runs the script, is not installed (Debian: apt-get install wrk)"


@pytest.mark.skipif(shutil.which("wrk") is None, reason=_WITHOUT_WRK)
def test_wrks_script_prints_figures_that_can_be_read(tmp_path: Path) -> None:
    """Nobody listens on the port: wrk complains, and prints nothing or its figures with no requests."""
    from benchmarks.deployment import PeerRequest
    from benchmarks.server import free_ports

    request = PeerRequest(("/a", "/b"), b"body", {"Content-Type": "text/plain"})
    with pytest.raises(LoadFailed, match="unable to connect"):
        load.drive(free_ports(1)[0], request, 1, 1, tmp_path)
    assert (tmp_path / "body").read_bytes() == b"body"
    assert subprocess.run(["wrk", "--version"], capture_output=True).stdout is not None
