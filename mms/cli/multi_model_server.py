"""`multi-model-server`: checks what it is given, and becomes or starts the server process.

Messages and the order of checks are MMS's own, since scripts know them. Standard library alone: it must start at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from mms.arg_parser import ArgParser
from mms.cli.pid_file import PidFile, PidFileError, is_server
from mms.cli.starting import become, start
from mms.cli.stopping import stop
from mms.processes.launch_options import LaunchOptions, default_pid_file
from mms.text import properties

_REMOTE = re.compile(r"(.+=)?(https?|s3|gs)://.+", re.IGNORECASE)
_CONFIG_NAME = "config.properties"
_SAGEMAKER = "sagemaker"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return its exit code: 0 only if the server came up, was stopped, or was not running."""
    open_closed_streams()
    arguments = ArgParser.mms_parser().parse_args(argv)
    try:
        return _run(arguments)
    except PidFileError as error:
        print(error)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell, nor may Python's own flush at the end complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130


def mxnet_main(argv: Sequence[str] | None = None) -> int:
    """Run the command by its former name."""
    open_closed_streams()
    print(
        "Warning: Calling MMS with mxnet-model-server. Please move to multi-model-server.",
        flush=True,
    )
    return main(argv)


def open_closed_streams() -> None:
    """Give the numbers 0 to 2 to the null device where they are closed, lest a pipe of ours gets one of them."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        os.set_inheritable(fd, True)
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.version:
        from mms.version import __version__, form

        print(f"{__version__} ({form()})")
        return 0
    pid_file = PidFile(Path(arguments.pid_file or default_pid_file()).absolute())
    if arguments.stop:
        return stop(pid_file)
    problem = _check(arguments, pid_file)
    if problem is not None:
        print(problem)
        return 1
    options = LaunchOptions(
        mms_config=_config(arguments.mms_config),
        model_store=arguments.model_store,
        models=arguments.models or [],
        log_config=os.path.realpath(arguments.log_config) if arguments.log_config else None,
        pid_file=str(pid_file.path),
    )
    sys.stdout.flush()
    if arguments.foreground:
        become(options, pid_file)
    return start(options, pid_file)


def _config(given: str | None) -> str | None:
    """Return the path of the file as the server gets it: a whole path, which `--stop` finds, too."""
    if given == _SAGEMAKER:
        return given
    path = os.path.abspath(given or _CONFIG_NAME)
    return path if os.path.isfile(path) else None


def _check(arguments: argparse.Namespace, pid_file: PidFile) -> str | None:
    """Return why the server cannot start, in MMS's order and words."""
    pid = pid_file.read()
    if pid is not None:
        if is_server(pid):
            return (
                "Model server is already running, please use multi-model-server --stop to stop MMS."
            )
        print("Removing orphan pid file.", flush=True)
        pid_file.remove()
    if arguments.log_config and not os.path.isfile(os.path.realpath(arguments.log_config)):
        return f"--log-config file not found: {os.path.realpath(arguments.log_config)}"
    temp = os.environ.get("TEMP")
    if temp and not os.path.isdir(temp):
        return f"Invalid temp directory: {temp}, please check TEMP environment variable."
    config = arguments.mms_config
    if config and config != _SAGEMAKER and not os.path.isfile(config):
        return f"--mms-config file not found: {config}"
    _tell_vmargs(Path(config or _CONFIG_NAME))
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


if __name__ == "__main__":
    sys.exit(main())
