"""The lines of a started server, where a part of them cannot be made."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mms import faults
from mms.interfaces import AUTO
from mms.serving.state import sample_call
from mms.serving.state.start_report import banner, banner_object
from mms.settings import Settings


def test_a_model_whose_sample_cannot_be_made_costs_the_command_to_try_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(served: Any) -> None:
        raise RuntimeError("no sample of it")

    monkeypatch.setattr(sample_call, "part", lambda reference: raises)
    model: Any = SimpleNamespace(
        name="m",
        version=None,
        owner=None,
        interface=AUTO,
        archive=SimpleNamespace(folder=tmp_path),
    )
    lines = banner(Settings(), [model], is_foreground=True, is_by_hand=True)
    labels = [line.split()[0] for line in lines[1:]]
    assert labels == ["Inference", "Management", "Models", "Call", "Console", "Logs", "Stop"]
    assert faults.Place("m", "", "sample call") in faults.counts()


def test_who_reads_the_log_as_json_gets_what_the_banner_says_as_one_line_of_it() -> None:
    model: Any = SimpleNamespace(name="m", version=None, owner="graph", interface=AUTO)
    line = banner_object(Settings(), [model, model], "Up.")
    said = json.loads(line)
    assert "\n" not in line
    assert (said["message"], said["models"]) == ("Up.", ["m"])
    assert said["inference"] == "http://127.0.0.1:8080"
    assert said["management"] == "http://127.0.0.1:8081"
