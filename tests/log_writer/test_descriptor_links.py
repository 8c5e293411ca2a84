"""Log files that lead to an open file of the server, which another process does not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mms.log_writer.descriptor_links import own_descriptor
from mms.log_writer.writer import ThreadWriter
from mms.observe.log_files.setup import OUTPUTS, WRITER_PROCESS, LogFile, LogOptions, Logs


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("/proc/self/fd/5", 5),
        ("/dev/fd/12", 12),
        ("/proc/self/fd/0", 0),
        ("/dev/stdout", None),
        ("/dev/stderr", None),
        ("/proc/self/fd/1", None),
        ("elsewhere.log", None),
    ],
)
def test_only_an_open_file_that_is_neither_standard_output_nor_error_is_the_servers_own(
    tmp_path: Path, target: str, number: int | None
) -> None:
    (tmp_path / "near").symlink_to(target)
    (tmp_path / "far").symlink_to("near")
    assert own_descriptor(tmp_path / "near") == own_descriptor(tmp_path / "far") == number


def test_links_in_a_circle_and_files_that_are_none_lead_to_no_open_file(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert [own_descriptor(tmp_path / name) for name in ("a", "missing")] == [None, None]


def test_threads_write_a_log_file_that_is_an_open_file_of_the_server_and_people_are_told(
    tmp_path: Path,
) -> None:
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    read_fd, stderr_fd = os.pipe()
    stdout_fd = os.open(os.devnull, os.O_WRONLY)
    (tmp_path / LogFile.MODEL.value).symlink_to(f"/proc/self/fd/{target}")
    options = LogOptions(log_dir=tmp_path, metrics_dir=tmp_path, writer=WRITER_PROCESS)
    try:
        logs = Logs(options, stdout_fd=stdout_fd, stderr_fd=stderr_fd)
        assert isinstance(logs._writer, ThreadWriter)
        logs.add_text(0, OUTPUTS[LogFile.MODEL], "a line\n")
        logs.close()
        said = os.read(read_fd, 4096).decode()
        assert f"{LogFile.MODEL.value} is a link" in said
        assert f"descriptor {target}" in said
        assert (tmp_path / "target").read_text() == "a line\n"
    finally:
        for fd in (target, read_fd, stderr_fd, stdout_fd):
            os.close(fd)
