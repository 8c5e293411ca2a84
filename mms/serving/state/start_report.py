"""The lines that a started server prints: its addresses, its models, and which of those are not up."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mms import faults
from mms.interfaces import INTERFACES
from mms.processes.launch_options import default_pid_file
from mms.serving.state.sample_call import curl_words, prediction_path, sample_call
from mms.serving.state.startup_models import StartupProblem
from mms.version import __version__

if TYPE_CHECKING:
    from mms.serving.served import ServedModel
    from mms.settings import Settings

#: Of more models only so many are named.
_MAX_NAMES = 10
_HEADINGS = StartupProblem("MODEL", "STATE", "WHY")


class StartFailed(Exception):
    """The server cannot come up. The message is one line for people, `rows` are more of them."""

    def __init__(self, message: str, rows: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.rows = rows


def banner(
    settings: Settings,
    models: Sequence[ServedModel],
    *,
    is_foreground: bool,
    pid_file: str | None = None,
    is_by_hand: bool = False,
) -> list[str]:
    """Return the lines for a terminal. Blocks.

    `models`: those that are registered; `pid_file`: where the server's process id is; `is_by_hand`: with how to call
    the first model, which the server was started for.
    """
    rows = _rows(settings, models, is_foreground, pid_file, is_by_hand)
    width = max(len(label) for label, _ in rows)
    return [
        f"Multi Model Server {__version__}",
        *(f"  {label:<{width}}  {value}" for label, value in rows),
    ]


def banner_object(settings: Settings, models: Sequence[ServedModel], message: str) -> str:
    """Return what a server that was started by hand says, as a line of JSON for who reads its log as JSON. Blocks."""
    rows = _rows(settings, models, is_foreground=True, pid_file=None, is_by_hand=True)
    members = {label.lower().replace(" ", "_"): value for label, value in rows}
    members["models"] = sorted({served.name for served in models})
    return json.dumps({"message": message, "version": __version__, **members}, ensure_ascii=False)


def _rows(
    settings: Settings,
    models: Sequence[ServedModel],
    is_foreground: bool,
    pid_file: str | None,
    is_by_hand: bool,
) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [("Inference", str(settings.inference_address))]
    if settings.is_single_listener:
        rows = [("Inference and management", str(settings.inference_address))]
    else:
        rows.append(("Management", str(settings.management_address)))
    if settings.grpc_address is not None:
        rows.append(("gRPC", str(settings.grpc_address)))
    for interface in INTERFACES:
        name = interface.address_setting
        address = settings.get(name) if name else None
        if address is not None:
            rows.append((interface.title, str(address)))
    return rows + [
        ("Models", _model_names([served.name for served in models])),
        *(_call_rows(settings, models) if is_by_hand else ()),
        *(_console_rows(settings) if is_by_hand else ()),
        ("Logs", os.path.abspath(settings.log_dir)),
        ("Stop", "Ctrl+C" if is_foreground else _stop_command(pid_file)),
    ]


def _stop_command(pid_file: str | None) -> str:
    """Return what stops a server in the background; one that has a PID file of its own is found by it."""
    command = "multi-model-server --stop"
    if pid_file is None or pid_file == str(default_pid_file().absolute()):
        return command
    return f"{command} --pid-file {shlex.quote(pid_file)}"


def _model_names(models: Sequence[str]) -> str:
    names = sorted(set(models))
    if not names:
        return "none yet; POST /models?url=... of the management API registers one"
    if len(names) > _MAX_NAMES:
        names[_MAX_NAMES:] = [f"and {len(names) - _MAX_NAMES} more"]
    return ", ".join(names)


def _call_rows(settings: Settings, models: Sequence[ServedModel]) -> list[tuple[str, str]]:
    """Return rows that say where the first model answers, and a command that asks it."""
    served = next((each for each in models if each.owner is None), None)
    if served is None:
        return [("Call", "nothing yet: the model is not up")]
    address = settings.inference_address
    path = prediction_path(served.name)
    rows = [("Call", " ".join(["POST", *curl_words(address, path)]))]
    # It reads files and declarations of the model, and the server is up already.
    with faults.contained("sample call", served.name, served.version):
        rows.append(("Try it", sample_call(served).as_curl(address)))
    return rows


def _console_rows(settings: Settings) -> list[tuple[str, str]]:
    """Return where the page is that shows the models; a browser cannot open a Unix socket."""
    address = settings.management_address.reachable
    return [] if address.scheme == "unix" else [("Console", f"{address}/console")]


def problem_rows(problems: Sequence[StartupProblem]) -> list[str]:
    """Return a table with a line for each model that is not up; nothing where all are."""
    if not problems:
        return []
    table = [_HEADINGS, *problems]
    widths = [max(len(p.model) for p in table), max(len(p.state) for p in table)]
    return [
        f"{p.model:<{widths[0]}}  {p.state:<{widths[1]}}  {' '.join(p.reason.split())}"
        for p in table
    ]
