"""Which standard streams a server in the background lets go of."""

from __future__ import annotations

import os
import pty
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mms.cli.starting import is_waited_for


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[dict[str, int]]:
    with ExitStack() as opened:
        read, write = os.pipe()
        parent, child = pty.openpty()
        near, far = socket.socketpair()
        file = opened.enter_context(open(tmp_path / "log", "wb"))
        null = opened.enter_context(open(os.devnull, "wb"))
        yield {
            "pipe": write,
            "terminal": child,
            "socket": near.fileno(),
            "file": file.fileno(),
            "null": null.fileno(),
        }
        near.close()
        far.close()
        for fd in (read, write, parent, child):
            os.close(fd)


@pytest.mark.parametrize(
    ("stream", "is_let_go"),
    [("pipe", True), ("terminal", True), ("socket", True), ("file", False), ("null", False)],
)
def test_a_stream_is_let_go_of_whose_end_somebody_may_wait_for(
    streams: dict[str, int], stream: str, is_let_go: bool
) -> None:
    assert is_waited_for(streams[stream]) is is_let_go


def test_the_journal_of_systemd_stays_open(
    streams: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.fstat(streams["socket"])
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert not is_waited_for(streams["socket"])
    assert is_waited_for(streams["pipe"])


def test_the_log_of_a_container_stays_open(
    streams: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = os.fstat(streams["pipe"])
    monkeypatch.setattr(os, "stat", lambda path: pipe if path == "/proc/1/fd/1" else os.fstat(0))
    assert not is_waited_for(streams["pipe"])
    assert is_waited_for(streams["socket"])
