"""The interpreter and the environment of a worker's process."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping

from mms.launch.interface import LaunchFailed, server_home

#: Set by the front for each worker; not for handlers, and not inherited from a front that runs under another one.
SECRET_VARIABLE = "MMS_WORKER_SECRET"

#: For the front alone.
_OWN_VARIABLES = (SECRET_VARIABLE, "MMS_KEYSTORE_PASS", "MMS_API_KEY")
#: What programs need to run, whatever is allowed.
_NEEDED_VARIABLES = re.compile(
    "PATH|LD_LIBRARY_PATH|PYTHONPATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|TEMP"
)


def interpreter(runtime: str) -> str:
    """The path of the interpreter for a manifest's `runtime`: python, python2, python3, or a path.

    `python` is the interpreter of the server; the other names are looked up in PATH. Raises LaunchFailed.
    """
    if runtime == "python":
        return sys.executable
    found = shutil.which(runtime)
    if found is None:
        if runtime == "python3":
            return sys.executable
        raise LaunchFailed(f"runtime {runtime}: no such interpreter in PATH")
    return found


def worker_environment(
    environ: Mapping[str, str],
    *,
    handler: str,
    model_dir: str,
    decode_input_request: bool,
    hidden: re.Pattern[str] | None,
    allowed: re.Pattern[str] | None = None,
) -> dict[str, str]:
    """The variables of a worker.

    Source: MMS hands on its own environment, sets MMS_DECODE_INPUT_REQUEST, extends PYTHONPATH by the handler's part,
    the model's folder and its own home, and hides the variables whose whole name matches `hidden`. With `allowed` a
    variable's whole name must match it, unless programs need it to run. The front's own passwords are never handed on.
    """
    variables = {
        name: value
        for name, value in environ.items()
        if name not in _OWN_VARIABLES
        and (allowed is None or _NEEDED_VARIABLES.fullmatch(name) or allowed.fullmatch(name))
    }
    variables["MMS_DECODE_INPUT_REQUEST"] = "true" if decode_input_request else "false"
    handler_part = handler.partition(":")[0]
    if ":" in handler and "/" in handler_part:
        handler_part = os.path.dirname(handler_part)
    home = str(server_home())
    if "site-packages" in home or "dist-packages" in home:
        # Where programs of another interpreter should not look.
        home = ""
    parts = [handler_part, environ.get("PYTHONPATH", ""), model_dir, home]
    variables["PYTHONPATH"] = os.pathsep.join(part for part in parts if part)
    if hidden is not None:
        variables = {k: v for k, v in variables.items() if not hidden.fullmatch(k)}
    return variables


def worker_command(runtime: str, address: str, name: str, *, is_parent: bool) -> list[str]:
    """The command line of a worker or of a parent that workers are forked from.

    To be run in `server_home()`, so that the package is found by any interpreter, whatever PYTHONPATH says.
    """
    command = [interpreter(runtime), "-m", "mms.worker", "--connect", address, "--name", name]
    if is_parent:
        command.append("--parent")
    return command
