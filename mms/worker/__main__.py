"""`python -m mms.worker --connect <address> --name <name> [--parent]`: started by the front, never by people.

`--fork-server` takes the place of the address: the process waits on its standard input for workers to fork.
"""

from __future__ import annotations

import os
import sys

from mms.worker.process.setup import set_up

#: What the front knows this worker by; it is for nobody else.
_SECRET_VARIABLE = "MMS_WORKER_SECRET"
_USAGE = (
    "usage: python -m mms.worker --connect unix:PATH|tcp:HOST:PORT --name NAME [--parent]\n"
    "       python -m mms.worker --fork-server --name NAME\n"
)


def main(arguments: list[str]) -> int:
    if "--fork-server" not in arguments:
        return _run(arguments, is_set_up=False)
    set_up()
    from mms.worker.forking.fork_server import run_fork_server
    from mms.worker.forking.identity import is_shadowed, take_identity

    asked = run_fork_server()
    if asked is None:
        return 0
    command, variables = asked["command"], asked["variables"]
    if is_shadowed(asked["folders"]):
        os.execve(command[0], command, {**os.environ, **variables})
    take_identity(variables, command)
    return _run(sys.argv[2:], is_set_up=True)


def _run(arguments: list[str], *, is_set_up: bool) -> int:
    """Be a worker, or a parent that has loaded its model and forks them."""
    address = name = ""
    is_parent = False
    remaining = list(arguments)
    while remaining:
        option = remaining.pop(0)
        if option == "--parent":
            is_parent = True
        elif option == "--connect" and remaining:
            address = remaining.pop(0)
        elif option == "--name" and remaining:
            name = remaining.pop(0)
        else:
            sys.stderr.write(_USAGE)
            return 2
    secret = os.environ.pop(_SECRET_VARIABLE, "")
    if not address or not secret:
        sys.stderr.write(f"{_USAGE}The variable {_SECRET_VARIABLE} holds the front's secret.\n")
        return 2
    if not is_set_up:
        set_up()
    try:
        if is_parent:
            from mms.worker.process.parent import run_parent

            return run_parent(address, secret)
        from mms.worker.serving import run_worker

        return run_worker(address, secret)
    except (BrokenPipeError, ConnectionResetError):
        # The front is gone.
        return 0
    except OSError as error:
        sys.stderr.write(f"Worker {name}: connection to {address} failed: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
