"""`torchserve`: checks what it is given, and becomes or starts the server process.

It is `multi-model-server` with TorchServe's flags, messages, configuration and APIs. Messages and the order of checks
are
TorchServe's own, since scripts know them. Standard library alone: it must start at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mms.cli.multi_model_server import open_closed_streams
from mms.cli.pid_file import PidFile, PidFileError, is_server
from mms.cli.starting import become, start
from mms.cli.stopping import StopMessages, stop
from mms.interfaces.torchserve.cli.arguments import torchserve_parser
from mms.processes.launch_options import LaunchOptions, default_pid_file
from mms.text import properties

_INTERFACE = "torchserve"
#: The release whose behaviour this is.
_RELEASE = "0.12.0"
#: Where the tokens are, in the folder that the server was started in.
_TOKEN_FILE = "key_file.json"
_MESSAGES = StopMessages(
    not_running="TorchServe is not currently running.",
    stopped="TorchServe has stopped.",
    was_stopped="TorchServe already stopped.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return its exit code: 0 only if the server came up, was stopped, or was not running."""
    open_closed_streams()
    arguments = torchserve_parser().parse_args(argv)
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


def _run(arguments: argparse.Namespace) -> int:
    if arguments.version:
        from mms.version import __version__, form

        print(f"TorchServe Version is {_RELEASE}\nin its place: marserve {__version__} ({form()})")
        return 0
    pid_file = PidFile(Path(arguments.pid_file or default_pid_file()).absolute())
    if arguments.stop:
        is_running = pid_file.read() is not None
        code = stop(pid_file, _MESSAGES)
        if is_running and not code:
            Path(_TOKEN_FILE).unlink(missing_ok=True)
        return code
    config = os.environ.get("TS_CONFIG_FILE") or arguments.ts_config
    problem = _check(arguments, config, pid_file)
    if problem is not None:
        print(problem)
        return 1
    options = LaunchOptions(
        # Whole paths, which `--stop` finds, too.
        mms_config=os.path.abspath(config) if config else None,
        model_store=arguments.model_store,
        models=arguments.models or [],
        log_config=os.path.realpath(arguments.log_config) if arguments.log_config else None,
        pid_file=str(pid_file.path),
        settings=_settings(arguments),
        stands_for=_INTERFACE,
        ignores_snapshots=arguments.no_config_snapshots,
    )
    sys.stdout.flush()
    if arguments.foreground:
        become(options, pid_file)
    # TorchServe's server goes on writing its log to where the command's output went, which its users read.
    return start(options, pid_file, keeps_streams=True)


def _settings(arguments: argparse.Namespace) -> dict[str, str]:
    settings = {
        "workflow_store": arguments.workflow_store,
        "plugins_path": arguments.plugins_path,
        "cpp_log_config": arguments.cpp_log_config,
        "disable_token_authorization": "true" if arguments.disable_token_auth else None,
        "enable_model_api": "true" if arguments.enable_model_api else None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _check(arguments: argparse.Namespace, config: str | None, pid_file: PidFile) -> str | None:
    """Return why the server cannot start, in TorchServe's order and words."""
    pid = pid_file.read()
    if pid is not None:
        if is_server(pid):
            return "TorchServe is already running, please use torchserve --stop to stop TorchServe."
        print("Removing orphan pid file.", flush=True)
        pid_file.remove()
    if arguments.log_config and not os.path.isfile(os.path.realpath(arguments.log_config)):
        return f"--log-config file not found: {os.path.realpath(arguments.log_config)}"
    temp = os.environ.get("TEMP")
    if temp and not os.path.isdir(temp):
        return f"Invalid temp directory: {temp}, please check TEMP environment variable."
    if config and not os.path.isfile(config):
        return f"--ts-config file not found: {config}"
    values = _values(Path(config)) if config else {}
    if values.get("vmargs"):
        print(
            f"Warning: TorchServe is using non-default JVM parameters: {values['vmargs']}",
            flush=True,
        )
    store = arguments.model_store or values.get("model_store")
    if not store:
        return "Missing mandatory parameter --model-store"
    for flag, folder in (("model", arguments.model_store), ("workflow", arguments.workflow_store)):
        if folder and not os.path.isdir(folder):
            return f"--{flag}-store directory not found: {folder}"
    if arguments.cpp_log_config and not os.path.isfile(arguments.cpp_log_config):
        return f"--cpp-log-config file not found: {os.path.realpath(arguments.cpp_log_config)}"
    return None


def _values(config: Path) -> dict[str, str]:
    try:
        text = properties.decode(config.read_bytes())
        return {entry.key: entry.value for entry in properties.parse(text)}
    except (OSError, ValueError):
        # The server says what is wrong with its file.
        return {}


if __name__ == "__main__":
    sys.exit(main())
