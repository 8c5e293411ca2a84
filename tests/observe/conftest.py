"""Logs in a folder of the test's own, and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mms.observe.log_files.setup import LogFile, LoggingSetup, LogOptions, configure_logging


class WrittenLogs:
    """Logging into `folder`, with a file in place of standard output and a list in place of standard error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[str] = []
        self._stdout_path = folder / "stdout"
        self.stdout_fd = os.open(self._stdout_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.setup: LoggingSetup | None = None

    def configure(self, **options: object) -> LoggingSetup:
        chosen = LogOptions(**{"log_dir": self.folder, "metrics_dir": self.folder, **options})  # type: ignore[arg-type]
        self.setup = configure_logging(chosen, stdout_fd=self.stdout_fd, report=self.reports.append)
        return self.setup

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


@pytest.fixture
def written(tmp_path: Path) -> Iterator[WrittenLogs]:
    logs = WrittenLogs(tmp_path)
    yield logs
    logs.close()
