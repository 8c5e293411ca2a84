"""What a load is doing, for those who wait for it: in the worker's description, and in the log where it takes long."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from mms import faults
from mms.core import Worker
from mms.observe import events

TURN: Final = "turn"
PACKAGES: Final = "packages"
PROCESS: Final = "process"
IMPORT: Final = "import"
LOAD: Final = "load"

#: What took less of a load is not told, in seconds.
_LEAST_TOLD_S: Final = 0.001
#: After so long it is told what a load is doing, in seconds, and again after twice as long each time.
_TELL_S: Final = 10.0


class LoadStages:
    """The stages of the loads of one worker, one after the other. Called on the event loop."""

    def __init__(self, worker: Worker, model: str) -> None:
        self._worker = worker
        self._model = model
        self._limit_s = 0.0
        self._telling: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<LoadStages of {self._worker.name}: {self._worker.stage or 'none'}>"

    def begin(self, stage: str, limit_s: float = 0.0) -> None:
        """The load goes on with this. `limit_s`: what it may take from now on; 0: nobody says."""
        self._note_time()
        self.end()
        self._worker.stage, self._worker.stage_at = stage, time.monotonic()
        self._limit_s = limit_s
        if stage != TURN:
            # Of a thousand that wait it would be too much; each has its reason in its description.
            self._tell_in(_TELL_S, _TELL_S)

    def note_imported(self) -> None:
        """The model's code has been imported."""
        if self._worker.stage == IMPORT:
            self.begin(LOAD, self._limit_s)

    def complete(self) -> None:
        """The model has been loaded, or could not be."""
        if self._worker.stage == IMPORT:
            # Of a process whose code had been imported before it was forked.
            self._worker.stage = LOAD
        self._note_time()
        self.end()

    def end(self) -> None:
        """Nothing of it goes on, however it has ended."""
        self._worker.stage = ""
        if self._telling is not None:
            self._telling.cancel()

    def _note_time(self) -> None:
        worker = self._worker
        took_s = time.monotonic() - worker.stage_at
        if worker.stage and (took_s >= _LEAST_TOLD_S or worker.stage == LOAD):
            worker.load_times[worker.stage] = took_s

    def _tell_in(self, delay_s: float, passed_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._telling = loop.call_later(delay_s, self._tell, passed_s)

    @faults.contained("progress")
    def _tell(self, passed_s: float) -> None:
        worker = self._worker
        events.worker_loads(worker.name, self._model, worker.stage, passed_s, self._limit_s)
        self._tell_in(passed_s, 2 * passed_s)
