"""Output of a process that has no pipe of its own to the front."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

_READ_BYTES = 64 * 1024
#: A line of output is passed on at this length at the latest, so that an endless line does not pile up.
_LINE_BYTES = 32 * 1024
#: What is left to be passed on when the process ends gets this long.
_FINISH_S = 1.0


class OutputPump:
    """Takes standard output and error of the process, and passes their lines on, with the name of the stream."""

    def __init__(self, pass_on: Callable[[str, list[str]], None]) -> None:
        self._pass_on = pass_on
        self._names: dict[int, str] = {}
        self._rest: dict[int, bytes] = {}
        self._thread = threading.Thread(target=self._pump, name="mms-output", daemon=True)

    def __repr__(self) -> str:
        return f"<OutputPump of {', '.join(self._names.values())}>"

    def start(self) -> None:
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            source, sink = os.pipe()
            os.dup2(sink, descriptor)
            os.close(sink)
            self._names[source] = name
            self._rest[source] = b""
        self._thread.start()

    def finish(self) -> None:
        """Pass on what was written so far. Nothing that comes later is."""
        sys.stdout.flush()
        sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
        self._thread.join(_FINISH_S)

    def _pump(self) -> None:
        poller = select.poll()
        for source in self._names:
            poller.register(source, select.POLLIN)
        open_count = len(self._names)
        while open_count:
            for source, _ in poller.poll():
                content = os.read(source, _READ_BYTES)
                if not content:
                    poller.unregister(source)
                    open_count -= 1
                try:
                    self._take(source, content)
                except OSError:
                    # The front is gone; the control connection's own thread ends the process.
                    return

    def _take(self, source: int, content: bytes) -> None:
        lines = (self._rest[source] + content).split(b"\n")
        rest = lines.pop()
        if not content and rest:
            lines.append(rest)
            rest = b""
        while len(rest) > _LINE_BYTES:
            lines.append(rest[:_LINE_BYTES])
            rest = rest[_LINE_BYTES:]
        self._rest[source] = rest
        if lines:
            texts = [str(line, "utf-8", "replace").rstrip("\r") for line in lines]
            self._pass_on(self._names[source], texts)
