"""Logs in a folder of the test's own, and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mms.observe.log_files.setup import (
    WRITER_THREAD,
    LogFile,
    LoggingSetup,
    LogOptions,
    configure_logging,
)


class WrittenLogs:
    """Logging into `folder`, with files in place of standard output and standard error."""

    def __init__(self, folder: Path, writer: str) -> None:
        self.folder = folder
        self.writer = writer
        self._stdout_path, self._stderr_path = folder / "stdout", folder / "stderr"
        self.stdout_fd, self.stderr_fd = (
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for path in (self._stdout_path, self._stderr_path)
        )
        self.setup: LoggingSetup | None = None

    def configure(self, **options: object) -> LoggingSetup:
        defaults = {"log_dir": self.folder, "metrics_dir": self.folder, "writer": self.writer}
        chosen = LogOptions(**{**defaults, **options})  # type: ignore[arg-type]
        self.setup = configure_logging(chosen, stdout_fd=self.stdout_fd, stderr_fd=self.stderr_fd)
        return self.setup

    @property
    def reports(self) -> list[str]:
        """What people were told on standard error."""
        return self._stderr_path.read_text("utf-8").splitlines()

    def read(self, file: LogFile) -> str:
        """What the file holds once all that was logged is in it."""
        self._settle()
        return (self.folder / file.value).read_text("utf-8")

    def stdout(self) -> str:
        self._settle()
        return self._stdout_path.read_text("utf-8")

    def _settle(self) -> None:
        assert self.setup is not None
        self.setup.logs.flush()
        assert self.setup.logs.wait_until_written(20)

    def close(self) -> None:
        if self.setup is not None:
            self.setup.close()
        os.close(self.stdout_fd)
        os.close(self.stderr_fd)


@pytest.fixture
def log_writer() -> str:
    """What writes. Tests of what it decides have each of the two."""
    return WRITER_THREAD


@pytest.fixture
def written(tmp_path: Path, log_writer: str) -> Iterator[WrittenLogs]:
    logs = WrittenLogs(tmp_path, log_writer)
    yield logs
    logs.close()
