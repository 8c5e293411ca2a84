"""JSON lines in a file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mms.tracking import Undelivered, open_sink
from mms.tracking.file_sink import FileSink


def test_each_record_is_a_line_behind_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "records.jsonl"
    path.parent.mkdir()
    path.write_text("old\n")
    sink = FileSink(str(path))
    sink.write([b"1", b"2"])
    sink.write([b"3"])
    sink.close()
    assert path.read_text() == "old\n1\n2\n3\n"


def test_folders_are_made(tmp_path: Path) -> None:
    sink = open_sink(f"file://{tmp_path}/a/b%20c/records.jsonl")
    sink.write([b"1"])
    sink.close()
    assert (tmp_path / "a" / "b c" / "records.jsonl").read_text() == "1\n"


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    sink = FileSink(str(path))
    sink.write([b"1"])
    path.rename(tmp_path / "records.jsonl.old")
    sink.write([b"2"])
    path.unlink()
    sink.write([b"3"])
    sink.close()
    assert path.read_text() == "3\n"
    assert (tmp_path / "records.jsonl.old").read_text() == "1\n"


def test_it_rotates_before_it_grows_too_large_and_keeps_as_many_as_it_is_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "records.jsonl"
    sink = FileSink(str(path), max_bytes=10, keep=2)
    for number in range(8):
        sink.write([f"rec{number}".encode()])
    sink.close()
    assert path.read_text() == "rec6\nrec7\n"
    assert (tmp_path / "records.jsonl.1").read_text() == "rec4\nrec5\n"
    assert (tmp_path / "records.jsonl.2").read_text() == "rec2\nrec3\n"
    assert not (tmp_path / "records.jsonl.3").exists()


def test_many_records_at_once_are_spread_over_files_of_the_right_size(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    sink = FileSink(str(path), max_bytes=10, keep=5)
    sink.write([b"rec0", b"rec1", b"rec2", b"rec3", b"rec4"])
    sink.close()
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert sorted(sizes) == [5, 10, 10]


def test_a_file_that_cannot_be_written_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        FileSink(str(tmp_path / "file" / "records.jsonl"))


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="pipe"):
        FileSink(str(path))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(str(path))
    sink.write([b"1"])
    assert os.read(reader, 100) == b"1\n"
    os.close(reader)
    with pytest.raises(Undelivered):
        sink.write([b"2"])
    sink.close()


def test_a_write_that_fails_later_can_be_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    sink = FileSink(str(folder / "r.jsonl"))
    (folder / "r.jsonl").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    with pytest.raises(Undelivered) as raised:
        sink.write([b"1"])
    assert raised.value.can_retry
    assert raised.value.delivered == 0
    folder.unlink()
    sink.write([b"1"])
    sink.close()
    assert (folder / "r.jsonl").read_text() == "1\n"


def test_a_line_that_was_cut_off_does_not_take_the_next_one_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.jsonl"
    sink = FileSink(str(path))
    real_write, calls = os.write, []

    def write(fd: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(fd, data[:3] if len(calls) == 1 else data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(Undelivered, match="No space left"):
        sink.write([b"first"])
    sink.write([b"first"])
    sink.close()
    assert path.read_text() == "fir\nfirst\n"
