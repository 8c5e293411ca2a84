"""Running the commands under test, and finding every process that came from one of them."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from archiver.cli import main as archiver_main

ORIGINAL_SERVER_VARIABLE = "CONFORMANCE_SERVER"
ORIGINAL_ARCHIVER_VARIABLE = "CONFORMANCE_ARCHIVER"
_TAG_VARIABLE = "CONFORMANCE_PROCESS_TAG"
_PASSED_VARIABLES = ("HOME", "LANG", "JAVA_HOME")
_CONFORMANCE = Path(__file__).parents[1] / "conformance"
#: Below 32767, from which on the server refuses them, and below those that kernels hand out.
_PORTS = range(20000, 30000)
_PORTS_OF_A_RUN = 100

T = TypeVar("T")
#: Open for as long as this process lives.
_marks: list[socket.socket] = []


def is_original() -> bool:
    """Whether the suite runs against AWS Multi Model Server itself, to check the suite."""
    return ORIGINAL_SERVER_VARIABLE in os.environ


def _command_folder() -> Path:
    return Path(os.environ.get(ORIGINAL_SERVER_VARIABLE, sys.executable)).parent


def command_path(name: str, variable: str = "") -> str:
    """The executable beside the running python (or beside the original server), or the one that the variable names."""
    if variable and variable in os.environ:
        return os.environ[variable]
    beside = _command_folder() / name
    if beside.exists():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"no command {name!r} in {_command_folder()} nor on PATH")
    return found


def server_command() -> str:
    return command_path("multi-model-server", ORIGINAL_SERVER_VARIABLE)


def archiver_command() -> str:
    return command_path("model-archiver", ORIGINAL_ARCHIVER_VARIABLE)


def base_environment(directory: Path, tag: str = "") -> dict[str, str]:
    """A small environment whose temporary files and logs stay below `directory`."""
    temporary = directory / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    environment |= {
        # Runtime python3 is looked up there, and must find what the server needs.
        "PATH": f"{_command_folder()}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "LOG_LOCATION": str(directory / "logs"),
        "METRICS_LOCATION": str(directory / "logs"),
        # Nobody else's server is asked, and to read all authorities takes a tenth of a second at each start.
        "SSL_CERT_FILE": os.devnull,
    }
    if tag:
        environment[_TAG_VARIABLE] = tag
    if is_original():
        # Its loader of legacy archives needs these packages to exist, whatever the model uses.
        environment["PYTHONPATH"] = str(_CONFORMANCE / "original_needs")
    return environment


def run_command(
    arguments: Sequence[str],
    directory: Path,
    environment: dict[str, str] | None = None,
    timeout_s: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end. A server that it leaves behind does not hold its output open."""
    directory.mkdir(parents=True, exist_ok=True)
    # A server in the background goes on writing to them when they have no name any more.
    out, err = (_new_file(directory) for _ in range(2))
    with open(out, "ab") as out_file, open(err, "ab") as err_file:
        finished = subprocess.run(
            list(arguments),
            cwd=directory,
            env=environment if environment is not None else base_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=out_file,
            stderr=err_file,
            timeout=timeout_s,
            check=False,
        )
    texts = [file.read_text(encoding="utf-8") for file in (out, err)]
    for file in (out, err):
        file.unlink()
    return subprocess.CompletedProcess(finished.args, finished.returncode, *texts)


def run_archiver(
    arguments: Sequence[str], directory: Path, *, in_process: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run `model-archiver` in a folder. In this process that takes a hundredth of the time."""
    if is_original() or not in_process:
        return run_command([archiver_command(), *arguments], directory)
    directory.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    out, err = io.StringIO(), io.StringIO()
    os.chdir(directory)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = archiver_main(list(arguments))
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(list(arguments), code, out.getvalue(), err.getvalue())


def _new_file(directory: Path) -> Path:
    descriptor, name = tempfile.mkstemp(dir=directory)
    os.close(descriptor)
    return Path(name)


def tagged_processes(tag: str) -> list[psutil.Process]:
    """Every live process that inherited the tag, however far it is from its starter."""
    line = f"{_TAG_VARIABLE}={tag}".encode()
    found = []
    for name in os.listdir("/proc"):
        # Each server that stops has all processes of the machine looked at: psutil takes ten times as long for it, and
        # pathlib three times. One that has ended has none.
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if name.isdecimal() and line in _environ(name):
                found.append(psutil.Process(int(name)))
    return found


def _environ(pid: str) -> list[bytes]:
    fd = os.open(f"/proc/{pid}/environ", os.O_RDONLY)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts).split(b"\0")


def command_line(process: psutil.Process) -> list[str]:
    """Its arguments, none where it has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def started_by(front_pid: int, file: str) -> psutil.Process:
    """The one child of a front that runs this file: the supervisor, or what writes the log."""
    (found,) = [
        child
        for child in psutil.Process(front_pid).children()
        if any(argument.endswith(f"/{file}") for argument in command_line(child))
    ]
    return found


def kill_tagged(tag: str) -> None:
    for process in tagged_processes(tag):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """A port that nobody listens on, and that no other run of tests takes until this process ends."""
    ports = _own_ports()
    for _ in range(2 * _PORTS_OF_A_RUN):
        port = next(ports)
        if _is_free(port):
            return port
    raise RuntimeError("all ports of this process are in use")


@functools.cache
def _own_ports() -> Iterator[int]:
    """A share of the ports, in turn. Who listens on the first of a share has it, which others see."""
    shares = list(range(_PORTS.start, _PORTS.stop, _PORTS_OF_A_RUN))
    random.Random().shuffle(shares)
    for first in shares:
        mark = socket.socket()
        try:
            mark.bind(("127.0.0.1", first))
            mark.listen()
        except OSError:
            mark.close()
            continue
        _marks.append(mark)
        return itertools.cycle(range(first + 1, first + _PORTS_OF_A_RUN))
    raise RuntimeError(f"every share of the ports {_PORTS.start} to {_PORTS.stop - 1} is taken")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
