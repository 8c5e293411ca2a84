"""What the front keeps from its workers: a look into its process, rights that programs bring, files that are open."""

from __future__ import annotations

import os

from mms.processes import prctl

_STANDARD_ERROR = 2


def hide_process() -> bool:
    """Close /proc/<pid>/environ, mem and fd of this process, and ptrace, to all but root; no core file is left either.

    Returns whether the system can. Programs that this process starts are not concerned.
    """
    return prctl.set_option(prctl.DUMPABLE, 0)


def refuse_new_rights() -> bool:
    """No program that this thread starts from now on, or that such a program starts, has more rights than this process.

    Here and not in each worker, since they inherit it, and would need a library for it that takes time and memory.
    Returns whether the system can.
    """
    return prctl.set_option(prctl.NO_NEW_PRIVS, 1)


def keep_inherited_files() -> None:
    """Let no program that this process starts have the files that were open when it was started itself.

    Shells, supervisors and container tools leave such open; Python closes to children what it opens itself alone.
    """
    for name in os.listdir("/dev/fd"):
        if int(name) > _STANDARD_ERROR:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                # That of the listing itself, which is closed by now.
                continue
