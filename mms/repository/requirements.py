"""The packages that a model's archive asks for in a `requirements.txt`, installed with pip into a folder or a venv.

What is installed is kept by what was asked for: the files' content, the interpreter and the way. All of it blocks.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

logger = logging.getLogger("mms.repository")

FOLDER: Final = "folder"
VENV: Final = "venv"
#: What pip's users call the file; a manifest may name another one.
DEFAULT_NAME: Final = "requirements.txt"

#: Lines of pip's that a failure shows.
_LAST_LINES: Final = 20
_MAX_LINE: Final = 500
_LOCK_LOOK_S: Final = 0.1
_END_LOOK_S: Final = 0.05
#: What pip gets to end by itself once it is to stop, in seconds.
_END_S: Final = 5.0
#: Written last, beside the folder; one without it is what an installation that was cut off has left.
_COMPLETE: Final = ".complete"
_INCLUDE: Final = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)(?:\s+|=)(\S+)")
#: A package that lies in the archive itself.
_LOCAL: Final = re.compile(r"^\s*(?:(?:-e|--editable)[\s=]|\.|file:)")
# Neither the model's folder nor what PYTHONPATH names may take the place of a module that pip imports.
_PIP: Final = (
    "import sys; sys.path = sys.path['' in sys.path[:1]:]; "
    "import runpy; runpy.run_module('pip', run_name='__main__')"
)
_WRITE: Final = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
_PACKAGE_FOLDERS: Final = (
    "import sysconfig as s; print(s.get_path('purelib'), s.get_path('platlib'), sep='\\n')"
)

#: Gets one line of progress; called in the thread that installs.
Tell = Callable[[str], None]


class RequirementsFailed(Exception):
    """Requirements could not be installed. The message is one line, `output` has pip's last lines."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True, slots=True)
class Requirements:
    """An archive's requirements, and where they are installed. `key`: the same for the same content."""

    file: Path
    #: Its name in the archive.
    name: str
    mode: str
    interpreter: str
    target: Path
    #: Folders of the archive that hold wheels.
    wheel_folders: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.target.name

    @property
    def python(self) -> str | None:
        """The interpreter of the venv."""
        return str(self.target / "bin" / "python") if self.mode == VENV else None

    @property
    def packages(self) -> str | None:
        """The folder that workers import from."""
        return str(self.target) if self.mode == FOLDER else None


def requirements_file(folder: Path, named: str | None) -> str | None:
    """Return the file of an archive's requirements: the manifest's, else `requirements.txt`; None without one."""
    name = named or DEFAULT_NAME
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not (folder / path).is_file():
        return None
    return name


def find_requirements(
    folder: Path, name: str, mode: str, interpreter: str, cache: Path
) -> Requirements:
    """Return the requirements of an archive. `cache`: the folder of all that was ever installed. Raises OSError."""
    wheels = sorted(path for path in folder.rglob("*.whl") if path.is_file())
    digest = hashlib.sha256(f"{mode}\0{os.path.realpath(interpreter)}\0".encode())
    status = os.stat(interpreter)
    digest.update(f"{status.st_size} {status.st_mtime_ns}\0".encode())
    has_local = False
    for path in _with_includes(folder, folder / name):
        text = path.read_bytes()
        digest.update(b"%d\0%s" % (len(text), text))
        has_local |= any(
            _LOCAL.match(line) for line in text.decode("utf-8", "replace").splitlines()
        )
    contents = sorted(p for p in folder.rglob("*") if p.is_file()) if has_local else wheels
    for path in contents:
        digest.update(f"{path.relative_to(folder)}\0".encode("utf-8", "surrogateescape"))
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return Requirements(
        file=folder / name,
        name=name,
        mode=mode,
        interpreter=interpreter,
        target=cache / f"{mode}-{digest.hexdigest()[:32]}",
        wheel_folders=tuple(sorted({str(path.parent) for path in wheels})),
    )


def _with_includes(folder: Path, file: Path) -> Iterator[Path]:
    """Yield a file of requirements and those of the archive that it includes, each once."""
    waiting, seen = [file], set()
    while waiting:
        path = waiting.pop()
        real = Path(os.path.realpath(path))
        if real in seen or not real.is_file() or not real.is_relative_to(os.path.realpath(folder)):
            continue
        seen.add(real)
        yield path
        lines = path.read_text("utf-8", "replace").splitlines()
        waiting += [path.parent / match[1] for line in lines if (match := _INCLUDE.match(line))]


@dataclass(slots=True, eq=False)
class Installation:
    """One run of pip, which may be ended from another thread. Its process gets `environment` and runs as `user`."""

    requirements: Requirements
    environment: Mapping[str, str]
    timeout_s: float
    tell: Tell
    #: Arguments of `subprocess.Popen` that say as who it runs.
    user: Mapping[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _is_cancelled: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Install, unless that was done before. Raises RequirementsFailed."""
        wanted = self.requirements
        deadline = time.monotonic() + self.timeout_s
        try:
            wanted.target.parent.mkdir(parents=True, exist_ok=True)
            with self._locked(wanted.target.with_suffix(".lock"), deadline):
                complete = wanted.target.with_suffix(_COMPLETE)
                if complete.exists() and wanted.target.is_dir():
                    return
                complete.unlink(missing_ok=True)
                self._install(wanted, deadline)
                complete.touch()
        except OSError as error:
            raise RequirementsFailed(f"{wanted.name} could not be installed: {error}") from error

    def cancel(self) -> None:
        """End it; `run` raises RequirementsFailed."""
        with self._lock:
            self._is_cancelled = True
            process = self._process
        if process is not None:
            _kill(process)

    @contextmanager
    def _locked(self, path: Path, deadline: float) -> Iterator[None]:
        """Keep out another server that installs the same."""
        with path.open("wb") as file:
            is_told = False
            while not _is_locked(file):
                self._check(deadline)
                if not is_told:
                    is_told = True
                    self.tell("waiting for another server that is installing the same packages")
                time.sleep(_LOCK_LOOK_S)
            yield

    def _install(self, wanted: Requirements, deadline: float) -> None:
        shutil.rmtree(wanted.target, ignore_errors=True)
        wanted.target.mkdir(mode=0o755)
        if self.user:
            os.chown(wanted.target, self.user["user"], self.user["group"])
        pip = [wanted.interpreter, "-c", _PIP]
        if wanted.mode == VENV:
            make = [wanted.interpreter, "-I", "-m", "venv", "--without-pip", str(wanted.target)]
            self._run(make, deadline)
            pip += ["--python", str(wanted.target / "bin" / "python")]
        command = [
            *(*pip, "install", "--no-input", "--disable-pip-version-check", "--no-color"),
            *("--progress-bar", "off", "--no-warn-script-location", "-r", str(wanted.file)),
            *(f"--find-links={folder}" for folder in wanted.wheel_folders),
        ]
        if wanted.mode == FOLDER:
            command += ["--target", str(wanted.target)]
        if not wanted.wheel_folders or not self._succeeds([*command, "--no-index"], deadline):
            self._run(command, deadline)
        if wanted.mode == VENV:
            self._add_servers_packages(wanted, deadline)

    def _add_servers_packages(self, wanted: Requirements, deadline: float) -> None:
        """Behind the venv's own come the packages that workers of this interpreter have otherwise."""
        theirs = self._package_folders(wanted.interpreter, deadline)
        own = self._package_folders(str(wanted.python), deadline)[0]
        text = "".join(f"{line}\n" for line in dict.fromkeys(theirs))
        file = os.path.join(own, "_packages_of_the_server.pth")
        # As the user: what the packages' own code has left there may be links to files of others.
        self._run([wanted.interpreter, "-I", "-c", _WRITE, file, text], deadline, is_told=False)

    def _package_folders(self, python: str, deadline: float) -> list[str]:
        return self._run([python, "-I", "-c", _PACKAGE_FOLDERS], deadline, is_told=False)

    def _succeeds(self, command: Sequence[str], deadline: float) -> bool:
        try:
            self._run(command, deadline)
        except RequirementsFailed:
            self._check(deadline)
            self.tell("the archive's wheels are not enough; the package index is used")
            return False
        return True

    def _run(self, command: Sequence[str], deadline: float, *, is_told: bool = True) -> list[str]:
        """Run a program to its end and return its last lines. Raises RequirementsFailed, OSError."""
        self._check(deadline)
        lines: deque[str] = deque(maxlen=_LAST_LINES)
        with self._lock:
            # In the archive's folder, where relative paths of the file lead.
            process = self._process = subprocess.Popen(
                command,
                cwd=self.requirements.file.parent,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self.user,
            )
        timer = threading.Timer(max(deadline - time.monotonic(), 0), _kill, (process,))
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    text = line.decode("utf-8", "replace").rstrip()[:_MAX_LINE]
                    if text:
                        lines.append(text)
                        if is_told:
                            self.tell(text)
            code = process.wait()
        finally:
            timer.cancel()
            with self._lock:
                self._process = None
        self._check(deadline)
        if code != 0:
            errors = [line for line in lines if line.startswith("ERROR: ")] or list(lines)[-1:]
            reason = "; ".join(line.removeprefix("ERROR: ") for line in errors)
            raise RequirementsFailed(
                f"{self.requirements.name} could not be installed: {reason or f'exit code {code}'}",
                "\n".join(lines),
            )
        return list(lines)

    def _check(self, deadline: float) -> None:
        name = self.requirements.name
        if self._is_cancelled:
            raise RequirementsFailed(f"{name} could not be installed: it was stopped")
        if time.monotonic() >= deadline:
            raise RequirementsFailed(
                f"{name} was not installed within {self.timeout_s:g} seconds; requirements_timeout_s sets the limit"
            )


def pip_environment(environment: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of pip: those of a worker, and what tells pip where the index is and how to get there."""
    named = re.compile(
        r"PIP_\w+|(?:https?|no|all)_proxy|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|NETRC",
        re.IGNORECASE,
    )
    found = {name: value for name, value in environ.items() if named.fullmatch(name)}
    given = {n: v for n, v in environment.items() if n not in ("PYTHONPATH", "PYTHONHOME")}
    return {**given, **found, "PIP_ROOT_USER_ACTION": "ignore", "PYTHONUNBUFFERED": "1"}


def _is_locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + _END_S
        while process.poll() is None and time.monotonic() < end:
            time.sleep(_END_LOOK_S)
