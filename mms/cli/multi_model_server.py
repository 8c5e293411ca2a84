"""`multi-model-server`: checks what it is given, and becomes or starts the server process.

Messages and the order of checks are MMS's own, since scripts know them. Standard library alone: it must start at once.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mms import properties
from mms.arg_parser import ArgParser
from mms.launch_options import ARGV_WORD, LaunchOptions, default_pid_file

_REMOTE = re.compile(r"(.+=)?https?://.+", re.IGNORECASE)
#: How often a start that takes long says that it is still under way, in seconds.
_PROGRESS_S = 5.0
#: Besides the drain timeout, what a stop may take before the server is killed, in seconds.
_STOP_MARGIN_S = 15.0
_DEFAULT_DRAIN_S = 30.0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 0 only if the server came up, was stopped, or was not running."""
    arguments = ArgParser.mms_parser().parse_args(argv)
    if arguments.version:
        from mms.version import __version__

        print(__version__)
        return 0
    pid_file = Path(arguments.pid_file) if arguments.pid_file else default_pid_file()
    if arguments.stop:
        return _stop(pid_file)
    problem = _check(arguments, pid_file)
    if problem is not None:
        print(problem)
        return 1
    options = LaunchOptions(
        mms_config=arguments.mms_config,
        model_store=arguments.model_store,
        models=arguments.models or [],
        log_config=os.path.realpath(arguments.log_config) if arguments.log_config else None,
        pid_file=str(pid_file.absolute()),
    )
    if arguments.foreground:
        return _become(options, pid_file)
    return _start(options, pid_file)


def mxnet_main(argv: Sequence[str] | None = None) -> int:
    """The command's former name."""
    print(
        "Warning: Calling MMS with mxnet-model-server. Please move to multi-model-server.",
        flush=True,
    )
    return main(argv)


def _check(arguments: argparse.Namespace, pid_file: Path) -> str | None:
    """What stands against a start, in MMS's order and words."""
    pid = _read_pid(pid_file)
    if pid is not None:
        if is_server(pid):
            return (
                "Model server is already running, please use multi-model-server --stop to stop MMS."
            )
        print("Removing orphan pid file.", flush=True)
        pid_file.unlink(missing_ok=True)
    if arguments.log_config and not os.path.isfile(os.path.realpath(arguments.log_config)):
        return f"--log-config file not found: {os.path.realpath(arguments.log_config)}"
    temp = os.environ.get("TEMP")
    if temp and not os.path.isdir(temp):
        return f"Invalid temp directory: {temp}, please check TEMP environment variable."
    config = arguments.mms_config
    if config and config != "sagemaker" and not os.path.isfile(config):
        return f"--mms-config file not found: {config}"
    _tell_vmargs(Path(config or "config.properties"))
    store = arguments.model_store
    if store and not os.path.isdir(store):
        return f"--model-store directory not found: {store}"
    if arguments.models and not store:
        for model in arguments.models:
            if model != "ALL" and not _REMOTE.match(model):
                return "--model-store is required to load model locally."
    return None


def _tell_vmargs(config: Path) -> None:
    try:
        text = properties.decode(config.read_bytes())
        values = {entry.key: entry.value for entry in properties.parse(text)}
    except (OSError, ValueError):
        # The server says what is wrong with its file.
        return
    if values.get("vmargs"):
        print(f"Warning: MMS is using non-default JVM parameters: {values['vmargs']}", flush=True)


def _command(options: LaunchOptions) -> list[str]:
    return [sys.executable, "-m", "mms.server", *options.to_argv()]


def _environment() -> dict[str, str]:
    """Ours, with this package found by the server's process even where it is not installed."""
    environment = dict(os.environ)
    home = str(Path(__file__).resolve().parents[2])
    if not re.search(r"(site|dist)-packages$", home):
        paths = [environment.get("PYTHONPATH", ""), home]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def _become(options: LaunchOptions, pid_file: Path) -> int:
    """Turn this process into the server: its signals and its exit code are the server's own."""
    if not _write_pid(pid_file, os.getpid()):
        return 1
    sys.stdout.flush()
    command = _command(options)
    os.execve(command[0], command, _environment())


def _start(options: LaunchOptions, pid_file: Path) -> int:
    """Start the server in the background; return when it serves, or has failed."""
    read_fd, write_fd = os.pipe()
    options.ready_fd = write_fd
    os.set_inheritable(write_fd, True)
    sys.stdout.flush()
    pid = os.posix_spawn(
        sys.executable,
        _command(options),
        _environment(),
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        setsid=True,
    )
    os.close(write_fd)
    if not _write_pid(pid_file, pid):
        os.kill(pid, signal.SIGTERM)
        return 1
    line = _await_line(read_fd)
    if line == "ready":
        return 0
    pid_file.unlink(missing_ok=True)
    reason = line.removeprefix("failed: ")
    _, status = os.waitpid(pid, 0)
    if not reason:
        reason = f"the server process ended with {_describe_status(status)} before it was ready"
    print(reason)
    return 1


def _await_line(read_fd: int) -> str:
    """The server's one line, or what there is of it when the server ends."""
    received = b""
    started = time.monotonic()
    while not received.endswith(b"\n"):
        ready, _, _ = select.select([read_fd], [], [], _PROGRESS_S)
        if not ready:
            waited_s = time.monotonic() - started
            print(f"Waiting for the server to come up ({waited_s:.0f} s) ...", file=sys.stderr)
            continue
        chunk = os.read(read_fd, 65536)
        if not chunk:
            break
        received += chunk
    return received.decode("utf-8", "replace").strip()


def _describe_status(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.WEXITSTATUS(status)}"


def _read_pid(pid_file: Path) -> int | None:
    """The process id of a PID file; None where there is no file. 0 for a file without a number."""
    try:
        return int(pid_file.read_text().strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return 0


def _write_pid(pid_file: Path, pid: int) -> bool:
    try:
        pid_file.write_text(str(pid))
    except OSError as error:
        print(f"PID file {pid_file} cannot be written: {error.strerror}")
        return False
    return True


def is_server(pid: int) -> bool:
    """Whether a process is a server; process ids are given away again."""
    if pid <= 0:
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return ARGV_WORD.encode() in words
    except OSError:
        pass
    if os.path.isdir("/proc/self"):
        return False
    try:
        import psutil

        return ARGV_WORD in psutil.Process(pid).cmdline()
    except (ImportError, OSError, RuntimeError):
        return False
    except psutil.Error:
        return False


def _stop(pid_file: Path) -> int:
    pid = _read_pid(pid_file)
    if pid is None:
        print("Model server is not currently running.")
        return 0
    if not is_server(pid):
        print("Model server already stopped.")
    else:
        _end(pid)
        print("Model server stopped.")
    pid_file.unlink(missing_ok=True)
    return 0


def _end(pid: int) -> None:
    """Ask the server to drain and stop; kill it and its workers when it does not."""
    deadline = time.monotonic() + _drain_s() + _STOP_MARGIN_S
    try:
        os.kill(pid, signal.SIGTERM)
        while is_server(pid):
            if time.monotonic() > deadline:
                _kill_tree(pid)
                return
            time.sleep(0.02)
    except ProcessLookupError:
        return


def _drain_s() -> float:
    """The drain timeout as far as it can be known from here."""
    try:
        return float(os.environ.get("MMS_DRAIN_TIMEOUT_S", _DEFAULT_DRAIN_S))
    except ValueError:
        return _DEFAULT_DRAIN_S


def _kill_tree(pid: int) -> None:
    import psutil

    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    sys.exit(main())
