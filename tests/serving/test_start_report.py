"""The lines of a started server, where a part of them cannot be made."""

from __future__ import annotations

import json
import shlex
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


@pytest.mark.parametrize(
    ("name", "content", "is_typed"),
    [
        ("sample_request.json", b'{"name": "O\'Neill"}\n', True),
        ("sample_request.txt", "caf\u00e9".encode(), True),
        ("sample_request.txt", b"@name", False),
        ("sample_request.txt", b"", False),
        ("sample_request.txt", b"two\nlines", False),
        ("sample_request.json", b"[" + b"1, " * 200 + b"1]", False),
        ("sample_request.png", b"\x89PNG\xff", False),
    ],
)
def test_a_short_sample_is_typed_out_as_its_file_may_go_and_others_are_named(
    tmp_path: Path, name: str, content: bytes, is_typed: bool
) -> None:
    (tmp_path / name).write_bytes(content)
    model: Any = SimpleNamespace(name="m", archive=SimpleNamespace(folder=tmp_path))
    call = sample_call.sample_call(model)
    flag, body = shlex.split(call.as_curl(Settings().inference_address))[-2:]
    if is_typed:
        assert (flag, body) == ("-d", content.decode().removesuffix("\n"))
    else:
        assert (flag, body) == ("--data-binary", f"@{tmp_path / name}")
