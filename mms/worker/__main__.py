"""`python -m mms.worker --connect <address> --name <name> [--parent]`: started by the front, never by people."""

from __future__ import annotations

import os
import sys

from mms.worker.surroundings import set_up

#: What the front knows this worker by; it is for nobody else.
_SECRET_VARIABLE = "MMS_WORKER_SECRET"
_USAGE = "usage: python -m mms.worker --connect unix:PATH|tcp:HOST:PORT --name NAME [--parent]\n"


def main(arguments: list[str]) -> int:
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
    set_up()
    try:
        if is_parent:
            from mms.worker.parent import run_parent

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
