from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mms.log_writer.dates import day_name
from mms.log_writer.rotating_file import RotatingFile

_NOON_S = time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, -1))
_DAY_S = 86400


class Clock:
    def __init__(self) -> None:
        self.now_s = _NOON_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, clock: Clock, reports: list[str]) -> Iterator[Callable[..., RotatingFile]]:
    made = []

    def make(name: str = "logs/some_log.log", **options: int) -> RotatingFile:
        file = RotatingFile(tmp_path / name, clock=clock, report=reports.append, **options)
        made.append(file)
        return file

    yield make
    for file in made:
        file.close()


def _unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_a_missing_folder_is_created(make: Callable[..., RotatingFile], tmp_path: Path) -> None:
    make("a/b/some_log.log").write(b"")
    assert (tmp_path / "a/b/some_log.log").read_bytes() == b""


def test_lines_are_appended_to_what_is_there(make: Callable[..., RotatingFile]) -> None:
    first = make()
    first.write(b"one\n")
    first.close()
    second = make()
    second.write(b"two\n")
    assert second.path.read_bytes() == b"one\ntwo\n"


def test_a_write_that_would_pass_the_size_limit_goes_to_a_new_file(
    make: Callable[..., RotatingFile],
) -> None:
    file = make(max_bytes=10)
    file.write(b"12345678\n")
    file.write(b"next\n")
    file.close()
    assert file.path.read_bytes() == b"next\n"
    assert _unpacked(file.path.with_name("some_log.21-Nov.log.gz")) == b"12345678\n"
    assert _names(file.path.parent) == {"some_log.log", "some_log.21-Nov.log.gz"}


def test_no_line_is_lost_when_a_day_has_several_rotations(
    make: Callable[..., RotatingFile],
) -> None:
    file = make(max_bytes=10)
    for number in range(4):
        file.write(b"line %d ...\n" % number)
    file.close()
    folder = file.path.parent
    assert _unpacked(folder / "some_log.21-Nov.log.gz") == b"line 0 ...\n"
    assert _unpacked(folder / "some_log.21-Nov.1.log.gz") == b"line 1 ...\n"
    assert _unpacked(folder / "some_log.21-Nov.2.log.gz") == b"line 2 ...\n"
    assert file.path.read_bytes() == b"line 3 ...\n"


def test_a_new_day_begins_a_new_file_named_after_the_old_day(
    make: Callable[..., RotatingFile], clock: Clock
) -> None:
    file = make()
    file.write(b"saturday\n")
    clock.now_s += 11 * 3600
    file.write(b"saturday night\n")
    clock.now_s += 2 * 3600
    file.write(b"sunday\n")
    file.close()
    assert file.path.read_bytes() == b"sunday\n"
    packed = file.path.with_name("some_log.21-Nov.log.gz")
    assert _unpacked(packed) == b"saturday\nsaturday night\n"


def test_lines_that_an_earlier_run_left_on_another_day_are_rotated_at_the_first_write(
    make: Callable[..., RotatingFile], tmp_path: Path
) -> None:
    path = tmp_path / "some_log.log"
    path.write_bytes(b"old\n")
    os.utime(path, (_NOON_S - 2 * _DAY_S, _NOON_S - 2 * _DAY_S))
    file = make("some_log.log")
    file.write(b"new\n")
    file.close()
    assert path.read_bytes() == b"new\n"
    assert _unpacked(tmp_path / f"some_log.{day_name(_NOON_S - 2 * _DAY_S)}.log.gz") == b"old\n"


def test_an_empty_file_is_not_rotated(make: Callable[..., RotatingFile], clock: Clock) -> None:
    file = make()
    file.write(b"")
    clock.now_s += 3 * _DAY_S
    file.write(b"line\n")
    file.close()
    assert _names(file.path.parent) == {"some_log.log"}


def test_only_the_newest_archives_are_kept(make: Callable[..., RotatingFile], clock: Clock) -> None:
    file = make(keep=2)
    for day in range(5):
        file.write(b"day %d\n" % day)
        # The age of an archive is the time of its file, which the test's clock does not move.
        os.utime(file.path, (clock.now_s, clock.now_s))
        clock.now_s += _DAY_S
        file.close()
    file.write(b"today\n")
    file.close()
    assert _names(file.path.parent) == {
        "some_log.log",
        "some_log.24-Nov.log.gz",
        "some_log.25-Nov.log.gz",
    }


def test_other_files_with_like_names_are_left_alone(
    make: Callable[..., RotatingFile], tmp_path: Path
) -> None:
    kept = ["some_log.txt", "some_log.old.log.gz", "another_log.21-Nov.log.gz", "some_log_2.log"]
    for name in kept:
        (tmp_path / name).write_bytes(b"x")
    file = make("some_log.log", max_bytes=1, keep=1)
    for _ in range(4):
        file.write(b"line\n")
        file.close()
    assert set(kept) < _names(tmp_path)
    assert len(_names(tmp_path)) == len(kept) + 2


def test_a_file_that_was_moved_away_is_opened_anew(make: Callable[..., RotatingFile]) -> None:
    file = make()
    file.write(b"one\n")
    moved = file.path.rename(file.path.with_name("moved"))
    file.write(b"two\n")
    assert moved.read_bytes() == b"one\n"
    assert file.path.read_bytes() == b"two\n"


def test_a_link_to_a_pipe_is_written_and_never_rotated(
    make: Callable[..., RotatingFile], tmp_path: Path, clock: Clock
) -> None:
    reading, writing = os.pipe()
    try:
        (tmp_path / "some_log.log").symlink_to(f"/proc/self/fd/{writing}")
        file = make("some_log.log", max_bytes=1)
        file.write(b"one\n")
        clock.now_s += 2 * _DAY_S
        file.write(b"two\n")
        assert os.read(reading, 100) == b"one\ntwo\n"
        assert _names(tmp_path) == {"some_log.log"}
    finally:
        os.close(reading)
        os.close(writing)


def test_a_folder_that_cannot_be_made_is_reported_once_and_lines_are_kept_for_it(
    make: Callable[..., RotatingFile], tmp_path: Path, clock: Clock, reports: list[str]
) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    file = make()
    file.write(b"one\n")
    file.write(b"two\n")
    clock.now_s += 6
    file.write(b"three\n")
    assert len(reports) == 1
    assert f"cannot write the log file {file.path}: File exists" in reports[0]
    (tmp_path / "logs").unlink()
    clock.now_s += 6
    file.write(b"four\n")
    assert file.path.read_bytes() == b"one\ntwo\nthree\nfour\n"
    assert reports[1:] == [f"writing the log file {file.path} again; 0 lines were lost."]


def test_a_full_device_is_reported_and_left_once_the_file_is_another(
    make: Callable[..., RotatingFile], tmp_path: Path, clock: Clock, reports: list[str]
) -> None:
    (tmp_path / "some_log.log").symlink_to("/dev/full")
    file = make("some_log.log")
    file.write(b"one\n")
    assert len(reports) == 1
    assert "No space left on device" in reports[0]
    file.path.unlink()
    clock.now_s += 6
    file.write(b"two\n")
    assert file.path.read_bytes() == b"one\ntwo\n"


def test_a_full_disk_loses_nothing_that_fits_into_memory(
    make: Callable[..., RotatingFile],
    clock: Clock,
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = make()
    write = os.write
    room = [7]

    def write_while_there_is_room(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        count = write(fd, bytes(data)[: room[0]])
        room[0] -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_while_there_is_room)
        file.write(b"first\nsecond\n")
        clock.now_s += 6
        file.write(b"third\n")
    clock.now_s += 6
    file.write(b"fourth\n")
    assert file.path.read_bytes() == b"first\nsecond\nthird\nfourth\n"
    assert "No space left on device" in reports[0]
    assert len(reports) == 2


def test_lines_over_the_limit_of_memory_are_counted_as_lost(
    make: Callable[..., RotatingFile], tmp_path: Path, clock: Clock, reports: list[str]
) -> None:
    (tmp_path / "logs").write_text("")
    file = make()
    megabyte = (b"x" * 1023 + b"\n") * 1024
    for _ in range(5):
        file.write(megabyte)
    (tmp_path / "logs").unlink()
    clock.now_s += 6
    file.write(b"back\n")
    assert file.dropped_lines == 1024
    assert reports[-1].endswith("again; 1024 lines were lost.")
    assert file.path.read_bytes() == megabyte * 4 + b"back\n"


def test_a_rotation_that_fails_lets_the_file_grow(
    make: Callable[..., RotatingFile], reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rename", refuse)
    file = make(max_bytes=5)
    for _ in range(3):
        file.write(b"line\n")
    assert file.path.read_bytes() == b"line\n" * 3
    assert len(reports) == 1
    assert "cannot rotate" in reports[0]


def test_an_archive_that_cannot_be_compressed_stays_as_it_is(
    make: Callable[..., RotatingFile], reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = make(max_bytes=5)
    file.write(b"line\n")
    monkeypatch.setattr(os, "replace", refuse)
    file.write(b"next\n")
    file.close()
    assert _names(file.path.parent) == {"some_log.log", "some_log.21-Nov.log"}
    assert file.path.with_name("some_log.21-Nov.log").read_bytes() == b"line\n"
    assert "cannot compress" in reports[0]


def test_a_clock_that_is_set_back_does_not_put_the_next_try_off(
    make: Callable[..., RotatingFile], tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "logs").write_text("no folder")
    file = make()
    file.write(b"one\n")
    (tmp_path / "logs").unlink()
    clock.now_s -= 3 * _DAY_S
    file.write(b"two\n")
    assert file.path.read_bytes() == b"one\ntwo\n"


def test_a_pipe_that_nobody_reads_is_told_of_and_not_waited_for(
    make: Callable[..., RotatingFile], clock: Clock, reports: list[str], tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    os.mkfifo(tmp_path / "logs/some_log.log")
    file = make()
    file.write(b"one\n")
    assert len(reports) == 1
    reader = os.open(tmp_path / "logs/some_log.log", os.O_RDONLY | os.O_NONBLOCK)
    clock.now_s += 60
    file.write(b"two\n")
    assert b"one\ntwo\n" in os.read(reader, 1000)
    os.close(reader)
