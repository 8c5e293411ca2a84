"""What an import in a fork server must not change, as all workers would have it."""

from __future__ import annotations

import gc
import io
import locale
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mms.worker.forking.process_state import ProcessState

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers exist on Linux alone")


def _set_mask(signals: Any) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)


def _set_locale(name: str) -> None:
    locale.setlocale(locale.LC_ALL, name)


def _set_signal(how: Any) -> None:
    signal.signal(signal.SIGUSR2, how)


def _current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("put", "value", "current", "told"),
    [
        (os.umask, 0o077, _current_umask, "the umask"),
        (_set_mask, [signal.SIGUSR2], list, "what signals do"),
        (_set_signal, signal.SIG_IGN, lambda: signal.SIG_DFL, "what signals do"),
        (sys.setrecursionlimit, 900, sys.getrecursionlimit, "the recursion limit"),
        (socket.setdefaulttimeout, 3.0, socket.getdefaulttimeout, "the time that sockets wait"),
        (logging.disable, 50, lambda: 0, "the root logger"),
        (_set_locale, "POSIX", lambda: locale.setlocale(locale.LC_ALL), "the locale"),
        (gc.set_threshold, 7, lambda: gc.get_threshold()[0], "the collection of garbage"),
    ],
)
def test_what_all_workers_would_have_is_told(
    put: Callable[[Any], object], value: Any, current: Callable[[], Any], told: str
) -> None:
    state, before = ProcessState(), current()
    put(value)
    try:
        assert state.change() == told
    finally:
        put(before)
    assert state.change() == ""


def test_what_each_model_would_find_replaced_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for target, name, value, told in (
        (sys, "stdout", io.StringIO(), "sys.stdout or sys.stderr"),
        (sys, "excepthook", print, "what is done with exceptions (sys.excepthook)"),
        (sys, "path", ["/first", *sys.path], "the beginning of sys.path"),
    ):
        state = ProcessState()
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            assert state.change() == told
        assert state.change() == ""
    monkeypatch.setenv("OF_THE_OPERATOR", "1")
    state = ProcessState()
    monkeypatch.setenv("OF_THE_OPERATOR", "2")
    assert state.change() == "variables that were set"


def test_connections_that_all_workers_would_share_are_told_and_open_files_are_not() -> None:
    state = ProcessState()
    with open(__file__):
        assert state.change() == ""
    with socket.socket():
        assert state.change() == "open connections"


def test_new_variables_and_new_modules_are_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ProcessState()
    monkeypatch.setenv("OF_A_PACKAGE", "1")
    monkeypatch.setattr(sys, "path", [*sys.path, "/of/a/package"])
    assert state.change() == ""
