"""What a forked worker takes on, so that its process is as one that was started for it."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mms.worker.loading.import_recorder import names_in
from mms.worker.process.setup import set_variables

#: How many arguments the interpreter takes of a worker's command line: itself, `-c`, the code, the server's folder.
_INTERPRETER_ARGUMENTS = 4
#: What each worker has imported before it loads a model, however it was started.
_OWN_PACKAGES = ("__main__", "archiver", "mms")


def take_identity(variables: Mapping[str, str], command: Sequence[str]) -> None:
    """Have the variables, besides those of all workers, the command line and random numbers of a process of its own."""
    os.environ.update(variables)
    set_variables()
    sys.argv[:] = ["-c", *command[_INTERPRETER_ARGUMENTS:]]
    sys.orig_argv[:] = command
    show_command(command)
    renew_random_numbers()


def is_shadowed(folders: Sequence[str]) -> bool:
    """Return whether files in a model's folders have names of packages that this process has imported from elsewhere.

    A process that starts anew would import the model's.
    """
    return any(
        name in sys.modules and name not in sys.stdlib_module_names and name not in _OWN_PACKAGES
        for name in names_in(folders)
    )


def show_command(command: Sequence[str]) -> None:
    """Have tools show a command line as this process's, as far as there is room for it. Linux alone."""
    start, size = _room
    if size > 0:
        text = b"".join([os.fsencode(argument) + b"\0" for argument in command])[: size - 1]
        ctypes.memmove(start, text.ljust(size, b"\0"), size)


def _find_room() -> tuple[int, int]:
    """Return where this process has its command line in memory, and its length in bytes; forks have the same."""
    try:
        with open("/proc/self/stat", "rb") as file:
            # Behind the name, which may hold anything, the third member comes first.
            members = file.read().rpartition(b")")[2].split()
        start, end = int(members[45]), int(members[46])
    except (OSError, IndexError, ValueError):
        return 0, 0
    return (start, end - start) if 0 < start < end else (0, 0)


_room = _find_room()
#: The whole state of the generator behind NumPy's functions: 624 numbers of 32 bits.
_STATE_BYTES = 624 * 4


def renew_random_numbers() -> None:
    """Generators seeded before the fork would give all workers the same numbers. Python's own sees to that."""
    modules: Mapping[str, Any] = sys.modules
    np = modules.get("numpy")
    if np is not None and (numpy_random := modules.get("numpy.random")):
        # Its own `seed()` uses much more of the library, and writes to as many pages of a fork.
        state = np.frombuffer(os.urandom(_STATE_BYTES), np.uint32)
        numpy_random.set_state(("MT19937", state, len(state)))
    if (torch := modules.get("torch")) and hasattr(torch, "default_generator"):
        torch.default_generator.seed()
    if processes := modules.get("multiprocessing.process"):
        # What processes of one program prove to each other who they are with.
        processes.current_process().authkey = os.urandom(32)
