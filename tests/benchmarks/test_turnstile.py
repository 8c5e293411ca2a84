from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.turnstile import AnotherRun, sole_run


def test_a_second_run_is_refused_with_the_process_of_the_first(tmp_path: Path) -> None:
    with (
        sole_run(tmp_path),
        pytest.raises(AnotherRun, match=f"process {os.getpid()} is measuring"),
        sole_run(tmp_path),
    ):
        pass


def test_a_run_may_follow_another(tmp_path: Path) -> None:
    for _ in range(2):
        with sole_run(tmp_path):
            assert (tmp_path / "lock").read_text(encoding="utf-8") == str(os.getpid())
