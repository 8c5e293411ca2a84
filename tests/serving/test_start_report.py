"""The lines of a started server, where a part of them cannot be made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mms import faults
from mms.interfaces import AUTO
from mms.serving.state import sample_call
from mms.serving.state.start_report import banner
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
