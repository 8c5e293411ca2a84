"""The settings of the server that runs, or of the one that would be started here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mms.cli.pid_file import PidFile, command_words, environment_of
from mms.launch_options import ARGV_WORD, LaunchOptions
from mms.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class FoundSettings:
    """Settings and whose they are; without a process id no server runs."""

    settings: Settings
    pid: int | None


def find_settings(mms_config: str | None, pid_file: Path) -> FoundSettings:
    """Those of the named file; else of the server that runs; else of one that would be started here.

    Raises ConfigurationError and PidFileError.
    """
    if mms_config is not None:
        options = LaunchOptions(mms_config=mms_config)
        return FoundSettings(load_settings(options, environ=os.environ), None)
    pid = PidFile(pid_file).read()
    words = command_words(pid or 0)
    if pid is None or ARGV_WORD not in words:
        return FoundSettings(load_settings(LaunchOptions(), environ=os.environ), None)
    return FoundSettings(load_settings(_options(pid, words), environ=environment_of(pid)), pid)


def _options(pid: int, words: list[str]) -> LaunchOptions:
    """How a server was started."""
    given = words[words.index(ARGV_WORD) :]
    # The descriptor is the server's; in this process the number means something else.
    options = LaunchOptions.from_argv([w for w in given if not w.startswith("--ready-fd")])
    # Relative to the server's folder, not to ours.
    options.mms_config = os.path.join(f"/proc/{pid}/cwd", options.mms_config or os.devnull)
    return options
