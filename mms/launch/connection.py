"""A worker as the front reaches it, once its connections are there."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from mms import faults
from mms.core import Batch
from mms.launch.interface import OUT_OF_MEMORY, LaunchFailed, LinkListener, Unsendable
from mms.launch.line_turns import Lines, LineTurns
from mms.observe.metrics.lines import one_line
from mms.processes.activity import Sight, look_at
from mms.processes.exits import describe_exit
from mms.wire import (
    BYE,
    CALL,
    CANCEL,
    DRAIN,
    HEARTBEAT,
    IMPORTED,
    LOAD,
    LOADED,
    METRIC,
    READINESS,
    RECORDS,
    ROLE_CONTROL,
    ROLE_LIFELINE,
    ROLE_PARENT,
    ROLE_WORK,
    Cancel,
    Load,
    Loaded,
    Metric,
    ProtocolError,
    Readiness,
    encode_batches,
    encode_frame,
)
from mms.wire.frames import KIND_NAMES
from mms.wire.messages import MAX_MESSAGE_BYTES
from mms.wire.records import decode_records
from mms.wire.streams import encode_credit

logger = logging.getLogger("mms.launch")

#: A worker's connections end with its process; how that ended is known shortly after.
CONNECTION_LOST = "connection lost"
_SIGKILLED = describe_exit(-signal.SIGKILL)
_EXIT_S = 0.5
#: No worker loads a model in less, in seconds: a time below it is none at all.
_SHORTEST_LOAD_S = 1e-6
_METRICS = "metrics"
_SERIES = "series"
_FRAMES = "frames"
#: Frames of a worker with a message that is read at once. Bodies of calls and records have limits of their own.
_MESSAGES = (METRIC, LOADED, READINESS)
#: Metrics of one frame that are passed on at once.
_FEW_LINES = 256
#: So much of breaks is forgiven to a worker's frames after a silence, in seconds: they take half of it at once.
_FRAMES_S = 0.03
#: What it costs to read a frame and tell whose turn it is, in seconds.
_FRAME_S = 0.000004
WORKER_ROLES = (ROLE_WORK, ROLE_CONTROL, ROLE_LIFELINE)
PARENT_ROLES = (ROLE_PARENT, ROLE_LIFELINE)


class Link:
    """A worker as the front reaches it: its work connection, its control connection, its process.

    Owned by the event loop. `closed` is done exactly once, after the last frame of the work connection was passed on.
    """

    def __init__(
        self,
        name: str,
        load: Load,
        listener: LinkListener,
        max_frame_bytes: int,
        roles: Collection[str] = WORKER_ROLES,
        *,
        is_preloaded: bool = False,
        turns: LineTurns | None = None,
    ) -> None:
        """`roles`: of the connections that the process may open, each once.

        `turns`: shared with others whose lines are passed on.
        """
        loop = asyncio.get_running_loop()
        self.name = name
        #: Of the process at the other end, by the kernel's word; 0 where it gives none.
        self.pid = 0
        #: The node that it runs on; empty: this machine.
        self.node = ""
        #: What its process holds, as its node says; 0 where this machine can see.
        self.memory_bytes = 0
        self.closed: asyncio.Future[str] = loop.create_future()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.loaded: asyncio.Future[Loaded] = loop.create_future()
        self.listener = listener
        self.max_frame_bytes = max_frame_bytes
        #: Called to end the process; set by the launcher.
        self.end_process: Callable[[], None] = lambda: None
        #: Whether a process may be this worker's; set by the launcher.
        self.is_own_process: Callable[[int], bool] = lambda pid: True
        #: Whether the kernel has just killed a process for want of memory; set by the launcher.
        self.has_oom_kill: Callable[[], bool] = lambda: False
        self._open_roles = set(roles)
        self._load = load
        self._is_preloaded = is_preloaded
        self._work: asyncio.Transport | None = None
        self._control: asyncio.Transport | None = None
        #: Closed by nobody but the worker's end, as the kernel kills the worker when this side is.
        self._lifeline: asyncio.Transport | None = None
        turns = turns or LineTurns()
        #: Of those whose output comes in frames, and of metrics; by the stream.
        self._lines: dict[str, Lines[Any]] = {
            _METRICS: Lines(turns, self._take_metric, self._read_on),
            _SERIES: Lines(turns, self._take_series, self._read_on),
        }
        #: Frames of one that has sent too many lately.
        self._frames: Lines[tuple[int, int, bytes | bytearray]] = Lines(
            turns, self._take_late_frame, self._read_on, _FRAME_S
        )
        self._lines[_FRAMES] = self._frames
        #: What its frames have taken of the loop's time.
        self._frame_time = LineTurns(_FRAMES_S)
        #: Whether it leaves so much unread that no more is read of it.
        self._is_behind = False
        self._reason: str | None = None
        self._exited: asyncio.Future[str] = loop.create_future()
        #: Heartbeats in a row that were sent and have no answer yet.
        self.unanswered_beats = 0

    def __repr__(self) -> str:
        state = "closed" if self.closed.done() else "open"
        return f"<Link {self.name} pid {self.pid} {state}>"

    @property
    def model(self) -> tuple[str, str | None]:
        """(name, version) of the model that its worker is for."""
        return self._load.model_name, self._load.model_version

    # Towards the worker

    async def load(self, timeout_s: float) -> Loaded:
        """Have the model loaded; a worker that was forked from a loaded parent says so by itself.

        Raises LaunchFailed where the worker ends before, or `timeout_s` is over.
        """
        if timeout_s < _SHORTEST_LOAD_S:
            # Else a front that is late would see the worker's answer together with the end of the time.
            raise LaunchFailed("model did not load within 0 seconds")
        if not self._is_preloaded:
            if self._work is None:
                raise LaunchFailed(f"worker {self.name} is not connected")
            self._work.write(encode_frame(LOAD, 0, self._load.to_payload()))
        await asyncio.wait(
            (self.loaded, self.closed), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if self.loaded.done():
            return self.loaded.result()
        if self.closed.done():
            reason = await self.end_reason()
            code = 507 if reason.endswith(OUT_OF_MEMORY) else 500
            raise LaunchFailed(f"worker ended while it loaded the model: {reason}", code)
        raise LaunchFailed(f"model did not load within {timeout_s:g} seconds")

    async def end_reason(self) -> str:
        """Return why the worker can no longer be reached: where nobody wanted that, how its process ended."""
        reason = await asyncio.shield(self.closed)
        if reason == CONNECTION_LOST:
            await asyncio.wait((self._exited,), timeout=_EXIT_S)
            if self._exited.done():
                exited = self._exited.result()
                is_oom = exited == _SIGKILLED and self.is_oom_killed
                return f"{exited}, {OUT_OF_MEMORY}" if is_oom else exited
        return reason

    @property
    def is_oom_killed(self) -> bool:
        """Whether it can no longer be reached, unwanted, just when the kernel has killed a process for memory."""
        closed = self.closed
        return closed.done() and closed.result() == CONNECTION_LOST and self.has_oom_kill()

    def send(self, batches: Sequence[Batch], now: float) -> None:
        """Send batches by one write: a system call costs as much as some batches."""
        work = self._work
        if work is None:
            return
        try:
            buffers = encode_batches(batches, now)
        except Exception as error:
            raise Unsendable(f"{type(error).__name__}: {error}") from error
        if len(buffers) == 1:
            work.write(buffers[0])
        else:
            work.writelines(buffers)

    def cancel(self, request_ids: list[str]) -> None:
        if self._control is not None:
            self._control.write(encode_frame(CANCEL, 0, Cancel(request_ids).to_payload()))

    def answer_call(self, frame: bytes) -> None:
        if self._control is not None:
            self._control.write(frame)

    def beat(self) -> None:
        """Ask for a sign of life."""
        if self._control is not None and not self._has_waiting_lines():
            self.unanswered_beats += 1
            self._control.write(encode_frame(HEARTBEAT, 0))

    def look(self, beat: int) -> Sight | None:
        """Return what its process has done so far, of its own accord; None where that cannot be seen."""
        return look_at(self.pid, beat)

    def ask_for_answers(self) -> None:
        """Have the worker send what it has answered and holds back."""
        if self._control is not None:
            # As with a sign of life, but none that is missed where it does not come.
            self._control.write(encode_frame(HEARTBEAT, 0))

    def grant(self, number: int, more_bytes: int) -> None:
        """Give a stream more credit; 0: have it end."""
        if self._work is not None:
            self._work.write(encode_credit(((number, more_bytes),)))

    def drain(self) -> None:
        if self._work is not None:
            self._work.write(encode_frame(DRAIN, 0))

    def kill(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
        # However that ends: the end of the connection has the launcher see to the process once more.
        with faults.contained("kill", *self.model):
            self.end_process()
        if self._lifeline is not None:
            # Its end kills the process group even where nobody else can any more.
            self._lifeline.abort()
        if self._work is not None:
            self._work.abort()
        else:
            self.close(reason)

    async def wait_connected(self, timeout_s: float) -> None:
        """Return once it has dialled in. Raises LaunchFailed where it does not in time, or ends."""
        try:
            await asyncio.wait(
                (self.connected, self.closed),
                timeout=timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            self.kill("start given up")
            raise
        if self.closed.done():
            reason = await self.end_reason()
            raise LaunchFailed(f"worker ended before it was up: {reason}")
        if not self.connected.done():
            self.kill("did not come up")
            raise LaunchFailed(f"worker was not up within {timeout_s:g} seconds")

    # From the worker

    def on_connected(self, role: str, pid: int | None, transport: asyncio.Transport) -> bool:
        """Take a connection that said hello with this link's secret. Return whether it is taken.

        `pid`: of the process at the other end, by the kernel's word; None where it gives none. The secret opens one
        connection of each role, to one process.
        """
        if role not in self._open_roles or self.closed.done():
            return False
        if pid is not None and pid != self.pid:
            if self.pid or not self.is_own_process(pid):
                return False
            self.pid = pid
        self._open_roles.remove(role)
        if role == ROLE_CONTROL:
            self._control = transport
        elif role == ROLE_LIFELINE:
            self._lifeline = transport
        else:
            self._work = transport
            if not self.connected.done():
                self.connected.set_result(None)
        return True

    def on_frame(self, kind: int, sequence: int, payload: bytes | bytearray) -> None:
        """Any frame but RESULT and CHUNK. Raises ProtocolError for one that a worker may not send.

        One whose frames take too much of the loop's time waits for its turn, and no more is read of it meanwhile.
        """
        spent = self._frame_time
        if not self._frames.is_waiting and spent.may_begin():
            began_at = time.monotonic()
            self._take_frame(kind, sequence, payload)
            spent.spend(began_at - _FRAME_S, time.monotonic())
        else:
            if not self._frames.is_waiting:
                self._pause_reading()
            self._frames.put_off((kind, sequence, payload))

    def _take_late_frame(self, frame: tuple[int, int, bytes | bytearray]) -> None:
        """Take a frame that has waited: there is no read any more that what is wrong with it would end."""
        if self.closed.done():
            return
        try:
            self._take_frame(*frame)
        except ProtocolError as error:
            logger.error("Closing the connection of %s: %s", self.name, error)
            self.kill(f"protocol error: {error}")
        except Exception as error:
            faults.note("frame", error, *self.model)
            self.kill(f"unexpected error: {error}")

    def _take_frame(self, kind: int, sequence: int, payload: bytes | bytearray) -> None:
        if kind in _MESSAGES and len(payload) > MAX_MESSAGE_BYTES:
            raise ProtocolError(
                f"{KIND_NAMES[kind]} frame of {len(payload)} bytes, the limit is {MAX_MESSAGE_BYTES}"
            )
        if kind == METRIC:
            metric = Metric.from_payload(payload)
            if metric.lines:
                self._on_metrics(metric.lines)
            if metric.series:
                self._on_series(metric.series)
        elif kind == HEARTBEAT:
            self.unanswered_beats = 0
        elif kind == CALL:
            self.listener.on_call(sequence, payload)
        elif kind == LOADED:
            loaded = Loaded.from_payload(payload)
            loaded.message, loaded.error = one_line(loaded.message), one_line(loaded.error)
            if not self.loaded.done():
                self.loaded.set_result(loaded)
        elif kind == IMPORTED:
            self.listener.on_imported()
        elif kind == READINESS:
            readiness = Readiness.from_payload(payload)
            readiness.error = one_line(readiness.error)
            self.listener.on_readiness(readiness)
        elif kind == RECORDS:
            self.listener.on_records(sequence, decode_records(sequence, payload))
        elif kind != BYE:
            raise ProtocolError(f"a {KIND_NAMES.get(kind, kind)} frame, which no worker sends")

    def _on_metrics(self, lines: list[str]) -> None:
        own = self._lines[_METRICS]
        if len(lines) <= _FEW_LINES and not own.is_waiting:
            self.listener.on_metrics(lines)
        elif not own.pass_on(lines):
            self._pause_reading()

    def _on_series(self, series: list[dict[str, Any]]) -> None:
        own = self._lines[_SERIES]
        if len(series) <= _FEW_LINES and not own.is_waiting:
            self.listener.on_series(series)
        elif not own.pass_on(series):
            self._pause_reading()

    def _take_series(self, series: dict[str, Any]) -> None:
        self.listener.on_series([series])

    def _take_metric(self, line: str) -> None:
        self.listener.on_metrics([line])

    def on_behind(self, is_behind: bool) -> None:
        """Note whether the worker leaves much unread. While it does, its calls of other models are not read."""
        self._is_behind = is_behind
        if is_behind:
            self._pause_reading()
        else:
            self._read_on()

    def _has_waiting_lines(self) -> bool:
        return any(lines.is_waiting for lines in self._lines.values())

    def _pause_reading(self) -> None:
        """Have the worker wait, once what is between is full."""
        for connection in self._read_connections():
            connection.pause_reading()

    def _read_on(self) -> None:
        if not self._is_behind and not self._has_waiting_lines():
            for connection in self._read_connections():
                connection.resume_reading()

    def _read_connections(self) -> list[asyncio.Transport]:
        """Return the connections that frames come from."""
        both = (self._work, self._control)
        return [each for each in both if each is not None and not each.is_closing()]

    def on_exit(self, reason: str) -> None:
        """The process has ended. What it wrote before is still read; the end of the connection follows."""
        if not self._exited.done():
            self._exited.set_result(reason)
        if self._reason is None:
            self._reason = reason
        if self._work is None:
            self.close(reason)

    def on_disconnected(self, role: str, reason: str) -> None:
        if role == ROLE_CONTROL:
            self._control = None
        elif role == ROLE_LIFELINE:
            self._lifeline = None
        else:
            self._work = None
            self.close(reason)

    def close(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(self._reason or reason)
        if self._control is not None:
            self._control.close()
            self._control = None
        if not self.connected.done():
            self.connected.cancel()
