"""The process that writes the log. Run as a file, without installed packages.

Standard input is a pipe with messages: a header (`HEADER`) and packed lines. When it ends, because the server
closes it or is gone, everything is written and the process ends. Signals to stop are nothing to it: a service manager
sends them to all processes of the server, and the server's last lines come after them.

Arguments: the descriptor for `PROGRESS` records (items and lines that are done, lines that were dropped, all of them
since the start of this process), the layout, then the paths of the files.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

# This file is run by its path, isolated from the environment: the server's folder comes last, behind the library.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from mms.log_writer.framing import HEADER, PROGRESS
from mms.log_writer.lines import unpack
from mms.log_writer.writer import ThreadWriter

#: The process gives way to the server, its workers and its clients' side of a small machine.
_NICENESS = 5


def main() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        # A sandbox may refuse, and nothing depends on it.
        os.nice(_NICENESS)
    progress_fd = int(sys.argv[1])
    os.set_blocking(progress_fd, False)

    def tell_progress() -> None:
        try:
            os.write(
                progress_fd,
                PROGRESS.pack(writer.done_items, writer.done_lines, writer.dropped_lines),
            )
        except OSError:
            # The server is gone or has not read for long. All numbers are totals, so the next record makes up for it.
            return

    # Linux lets a process go on for up to a tick of some milliseconds though one with more right waits, unless it calls
    # the system: for that long a request would wait for its lines.
    writer = ThreadWriter(
        sys.argv[3:],
        1,
        layout=sys.argv[2],
        on_progress=tell_progress,
        give_way=getattr(os, "sched_yield", None),
    )
    with open(0, "rb", buffering=256 * 1024) as source:
        while len(head := source.read(HEADER.size)) == HEADER.size:
            (length,) = HEADER.unpack(head)
            data = source.read(length)
            if len(data) < length:
                # The server was killed in the middle of it.
                break
            writer.put(unpack(data))
    writer.close()
    tell_progress()
    # A reader of standard output who never reads holds its thread for good.
    os._exit(0)


if __name__ == "__main__":
    main()
