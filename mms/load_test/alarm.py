"""A timer that is exact to some microseconds; those of event loops are to a millisecond."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

_CLOCK_MONOTONIC = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Rings once after a time. On Linux a timerfd wakes the loop, elsewhere its own timer does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ring: Callable[[], None]) -> None:
        self._loop = loop
        self._on_ring = on_ring
        self._handle: asyncio.Handle | None = None
        self._file = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._file = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file >= 0:
            loop.add_reader(self._file, self._ring)

    def set(self, delay_s: float) -> None:
        """Ring in so many seconds, and not when it was to ring before."""
        if self._file < 0:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_later(max(delay_s, 0.0), self._on_ring)
            return
        # A value of zero would stop it.
        nanoseconds = max(int(delay_s * 1e9), 1)
        value = _Timespec(*divmod(nanoseconds, 1_000_000_000))
        spec = _TimerSpec(_Timespec(0, 0), value)
        self._libc.timerfd_settime(self._file, 0, ctypes.byref(spec), None)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _ring(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            return
        self._on_ring()
