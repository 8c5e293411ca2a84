"""What the launcher hands the server process on its command line, and what the server tells the launcher back."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

#: What start scripts wait for on standard output.
STARTED = "Model server started."
#: Tools find the server by this word among the arguments of exactly one process.
ARGV_WORD = "com.amazonaws.ml.mms.ModelServer"

_BY_HAND = "--by-hand"
_NO_SNAPSHOTS = "--no-snapshots"
_MODEL = "--model"
_READY_FD = "--ready-fd"
_CLUSTER_FD = "--cluster-fd"
_SETTING = "--set"
#: Flags with one value -> the option.
_FLAGS = {
    "--mms-config": "mms_config",
    "--model-store": "model_store",
    "--log-config": "log_config",
    "--pid-file": "pid_file",
    "--component": "component",
    "--follow": "followed",
    "--stands-for": "stands_for",
    _READY_FD: "ready_fd",
    _CLUSTER_FD: "cluster_fd",
}


def default_pid_file() -> Path:
    """Return where MMS keeps it: one for each temporary directory."""
    return Path(tempfile.gettempdir()) / ".model_server.pid"


@dataclass(slots=True)
class LaunchOptions:
    """The command line of a server process. None: not given."""

    mms_config: str | None = None
    model_store: str | None = None
    models: list[str] = field(default_factory=list)
    log_config: str | None = None
    pid_file: str | None = None
    #: Settings that come before those of the file and the environment.
    settings: dict[str, str] = field(default_factory=dict)
    #: A class to serve from its folder, as JSON; the server starts with it or not at all.
    component: str | None = None
    #: The file or folder of that class, whose changes have it loaded anew; the server starts without it, too.
    followed: str | None = None
    #: The interface whose server's command was called: settings come together as they do there.
    stands_for: str | None = None
    #: Settings of an earlier server, which that server has written by itself, are not read.
    ignores_snapshots: bool = False
    #: Somebody sits at the terminal who tries it: the first lines say how to call it.
    is_by_hand: bool = False
    #: A descriptor that the launcher waits on for a line: `ready`, or `failed: ` and the reason. Before it come `up`
    #: once the server listens, and lines for people, each behind `warning: `, `banner: ` or `row: `.
    ready_fd: int | None = None
    #: Of a front of a cluster: a socket to the actor that has started it (`mms/cluster/`).
    cluster_fd: int | None = None

    def to_argv(self) -> list[str]:
        # Flag and value are one word, so that a value may be anything.
        argv = [ARGV_WORD]
        for flag, name in _FLAGS.items():
            value = getattr(self, name)
            if value is not None:
                argv.append(f"{flag}={value}")
        if self.is_by_hand:
            argv.append(_BY_HAND)
        if self.ignores_snapshots:
            argv.append(_NO_SNAPSHOTS)
        argv += [f"{_SETTING}={name}={value}" for name, value in self.settings.items()]
        argv += [f"{_MODEL}={model}" for model in self.models]
        return argv

    @classmethod
    def from_argv(cls, argv: Sequence[str]) -> LaunchOptions:
        """Read the options from what `to_argv` returns. Exits with status 2 for anything else."""
        options = cls()
        if list(argv[:1]) != [ARGV_WORD]:
            _exit_misused(f"the first argument should be {ARGV_WORD}")
        for word in argv[1:]:
            flag, sign, value = word.partition("=")
            if word == _BY_HAND:
                options.is_by_hand = True
            elif word == _NO_SNAPSHOTS:
                options.ignores_snapshots = True
            elif flag == _MODEL and sign:
                options.models.append(value)
            elif flag == _SETTING and "=" in value:
                name, _, text = value.partition("=")
                options.settings[name] = text
            elif flag in (_READY_FD, _CLUSTER_FD) and value.isdecimal():
                setattr(options, _FLAGS[flag], int(value))
            elif flag in _FLAGS and flag not in (_READY_FD, _CLUSTER_FD) and sign:
                setattr(options, _FLAGS[flag], value)
            else:
                _exit_misused(f"unknown argument {word}")
        for descriptor in (options.ready_fd, options.cluster_fd):
            if descriptor is not None:
                # Workers must not hold it open: its end tells the other side that the server has died.
                os.set_inheritable(descriptor, False)
        return options

    def report_up(self) -> None:
        """The server listens; its models may still be loading."""
        if self.ready_fd is not None:
            _write(self.ready_fd, "up")

    def report_warning(self, text: str) -> None:
        """People are to know this at once. Without a launcher only the log says it."""
        if self.ready_fd is not None:
            _write(self.ready_fd, f"warning: {' '.join(text.split())}")

    def report_ready(self, banner: Sequence[str] = (), rows: Sequence[str] = ()) -> None:
        """The start is over. `banner`: for a terminal; `rows`: what people are to know in any case."""
        if self.ready_fd is None:
            return
        if _is_stderr_lent():
            _let_go_of_stderr()
        self._report(
            [*(f"banner: {line}" for line in banner), *(f"row: {row}" for row in rows), "ready"]
        )

    def report_failed(self, reason: str, rows: Sequence[str] = ()) -> None:
        """The server does not come up; `reason` is made one line, and `rows` follow it.

        Without a launcher it goes to standard output, as in MMS.
        """
        line = " ".join(reason.split())
        if self.ready_fd is None:
            _write(1, "\n".join((line, *rows)))
        else:
            self._report([*(f"row: {row}" for row in rows), f"failed: {line}"])

    def _report(self, lines: Sequence[str]) -> None:
        fd, self.ready_fd = self.ready_fd, None
        assert fd is not None
        _write(fd, "\n".join(lines))
        os.close(fd)

    def remove_pid_file(self) -> None:
        """Remove the PID file if it still names this process."""
        if self.pid_file is None:
            return
        path = Path(self.pid_file)
        try:
            if path.read_text().strip() == str(os.getpid()):
                path.unlink()
        except OSError:
            return


def _exit_misused(problem: str) -> NoReturn:
    sys.stderr.write(f"python -m mms.server: {problem}\n")
    sys.exit(2)


def _is_stderr_lent() -> bool:
    """Return whether standard error is the launcher's, which shows it when the start is over: a file without a name."""
    return os.fstat(2).st_nlink == 0


def _let_go_of_stderr() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _write(fd: int, line: str) -> None:
    data = f"{line}\n".encode("utf-8", "replace")
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        # The reader is gone; nobody waits for this line.
        return
