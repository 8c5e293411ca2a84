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

#: What PYTHONPATH is to be once the worker has imported what it needs.
MODEL_PATH_VARIABLE = "MMS_WORKER_PYTHONPATH"
#: Like `python -m mms.worker`, which would put the current folder first.
_START = (
    "import sys; sys.path[:] = [p for p in sys.path if p] + [sys.argv.pop(1)]; "
    "from mms.worker.__main__ import main; sys.exit(main(sys.argv[2:]))"
)

#: What the name of a fork server is filled up to.
_COMMAND_CHARACTERS = 240

#: For the front alone.
OWN_VARIABLES = (SECRET_VARIABLE, MODEL_PATH_VARIABLE, "MMS_KEYSTORE_PASS", "MMS_API_KEY")
#: What programs need to run, whatever is allowed.
_NEEDED_VARIABLES = re.compile(
    "PATH|LD_LIBRARY_PATH|PYTHONPATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|TEMP"
)


def interpreter(runtime: str) -> str:
    """Return the path of the interpreter for a manifest's `runtime`: python, python2, python3, or a path.

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
    packages: str | None = None,
) -> dict[str, str]:
    """Return the variables of a worker.

    Source: MMS hands on its own environment, sets MMS_DECODE_INPUT_REQUEST, extends PYTHONPATH by the handler's folder,
    the model's folder and its own home, and hides the variables whose whole name matches `hidden`. Here the worker
    extends PYTHONPATH itself, once it has imported what it needs: before, a file of the model's with the name of a
    module of Python's would stop it, and a `sitecustomize.py` would run with the rights of the server. With `allowed`
    a variable's whole name must match it, unless programs need it to run. The front's own passwords stay its own.
    `packages`: a folder of what was installed for the model.
    """
    variables = {
        name: value
        for name, value in environ.items()
        if name not in OWN_VARIABLES
        and (allowed is None or _NEEDED_VARIABLES.fullmatch(name) or allowed.fullmatch(name))
    }
    variables["MMS_DECODE_INPUT_REQUEST"] = "true" if decode_input_request else "false"
    given = [
        os.path.abspath(part) for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part
    ]
    parts = [*given, model_dir]
    module_part = handler.partition(":")[0]
    if "/" in module_part:
        parts.insert(0, os.path.join(model_dir, os.path.dirname(module_part)))
    if packages is not None:
        parts.append(packages)
    home = str(server_home())
    if "site-packages" not in home and "dist-packages" not in home:
        # Else programs of another interpreter would look where packages are not made for it.
        parts.append(home)
    if given:
        variables["PYTHONPATH"] = os.pathsep.join(given)
    else:
        variables.pop("PYTHONPATH", None)
    if hidden is None or not hidden.fullmatch("PYTHONPATH"):
        variables[MODEL_PATH_VARIABLE] = os.pathsep.join(parts)
    if hidden is not None:
        variables = {k: v for k, v in variables.items() if not hidden.fullmatch(k)}
    return variables


def worker_command(runtime: str, address: str, name: str, *, is_parent: bool) -> list[str]:
    """Return the command line of a worker or of a parent that workers are forked from.

    The package is found by any interpreter, behind all that this has: in a folder of installed packages, too, nothing
    takes the place of Python's own modules.
    """
    command = [*_command(runtime), "--connect", address, "--name", name]
    if is_parent:
        command.append("--parent")
    return command


def fork_server_command(runtime: str, name: str) -> list[str]:
    """Return the command line of a fork server, with room for those of workers, which take its place in processes."""
    return [*_command(runtime), "--fork-server", "--name", name.ljust(_COMMAND_CHARACTERS)]


def _command(runtime: str) -> list[str]:
    return [interpreter(runtime), "-c", _START, str(server_home()), "mms.worker"]
