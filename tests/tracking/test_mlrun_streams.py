"""What MLRun's classes and graphs push to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mms.interfaces.mlrun.records.streams import MemoryStream, QueuedStream, get_stream_pusher


def test_a_stream_in_memory_keeps_events_as_their_reader_would_see_them() -> None:
    stream = get_stream_pusher("dummy://")
    event = {"x": np.arange(2)}
    stream.push(event)
    stream.push([1, {"y": (1, 2)}])
    event["x"] = np.zeros(1)
    assert isinstance(stream, MemoryStream)
    assert stream.event_list == [{"x": [0, 1]}, 1, {"y": [1, 2]}]


def test_a_mock_of_a_stream_keeps_texts() -> None:
    stream = get_stream_pusher("v3io://fake", mock=True, access_key="x")
    stream.push([{"a": np.float32(0.5)}])
    assert [json.loads(kept["data"]) for kept in stream._mock_queue] == [{"a": 0.5}]


def test_a_path_is_a_file_of_json_lines(tmp_path: Path) -> None:
    stream = get_stream_pusher(str(tmp_path / "{project}" / "s.jsonl"), project="p")
    stream.push({"n": 1})
    stream.push([{"n": 2}, {"n": 3}], partition_key="k")
    assert isinstance(stream, QueuedStream)
    assert stream.flush()
    assert (stream.written, stream.dropped) == (3, 0)
    lines = (tmp_path / "p" / "s.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert stream.close()


def test_what_was_pushed_last_is_written_at_the_end_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    script = (
        "from mms.interfaces.mlrun.records.streams import get_stream_pusher\n"
        f"stream = get_stream_pusher({str(path)!r})\n"
        "for n in range(2000): stream.push({'n': n})\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True, timeout=60)
    assert len(path.read_text().splitlines()) == 2000


def test_a_path_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unsupported stream path ds://profile"):
        get_stream_pusher("ds://profile")
