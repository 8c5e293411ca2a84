"""The words that scripts written for MMS search for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mms.observe import events
from mms.observe.log_files.setup import LogFile

from .conftest import WrittenLogs

_WLM = "com.amazonaws.ml.mms.wlm"


@pytest.mark.parametrize(
    ("log", "ending"),
    [
        (lambda: events.model_loaded("m"), f"[INFO ] main {_WLM}.ModelManager - Model m loaded."),
        (
            lambda: events.model_unregistered("m"),
            f"[INFO ] main {_WLM}.ModelManager - Model m unregistered.",
        ),
        (
            lambda: events.worker_retry("W-m-0", "m", 3),
            f"[INFO ] W-m-0 {_WLM}.WorkerThread - Retry worker: W-m-0 in 3 seconds.",
        ),
        (
            lambda: events.worker_disconnected("W-m-0", "m", "READY", "exit code 1"),
            f"[INFO ] W-m-0 {_WLM}.WorkerThread - W-m-0 Worker disconnected. READY (exit code 1)",
        ),
        (
            lambda: events.listener_bound("Inference", "http://127.0.0.1:8080"),
            "[INFO ] main com.amazonaws.ml.mms.ModelServer - Inference API bind to: http://127.0.0.1:8080",
        ),
    ],
)
def test_an_event_has_the_line_of_mms(
    written: WrittenLogs, log: Callable[[], None], ending: str
) -> None:
    written.configure()
    log()
    assert written.read(LogFile.MMS).rstrip("\n").endswith(ending)


def test_an_unresponsive_worker_is_told_in_mms_own_lines_and_with_its_limit(
    written: WrittenLogs,
) -> None:
    written.configure()
    events.worker_unresponsive("W-m-0", "m", 1.5, 2)
    first, second, third = written.read(LogFile.MMS).splitlines()
    assert first.endswith(
        f"[ERROR] W-m-0 {_WLM}.WorkerThread - Number or consecutive unsuccessful inference 2"
    )
    assert second.endswith("Backend worker did not respond in given time")
    assert "did not answer within 1.5 seconds" in third


def test_a_model_left_out_at_the_start_is_a_warning_with_the_reason(written: WrittenLogs) -> None:
    written.configure()
    events.model_not_loaded("a.mar", "no manifest")
    line = written.read(LogFile.MMS)
    assert "[WARN ]" in line
    assert line.endswith("Failed to load model: a.mar (no manifest)\n")


def test_a_line_end_in_a_file_s_name_makes_no_line_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events.model_not_loaded("a\nModel server started.mar", "a\nb is empty.")
    assert [record.getMessage() for record in caplog.records] == [
        "Failed to load model: a\\nModel server started.mar (a\\nb is empty.)"
    ]
