"""The process that loads a model once and forks its workers, which share its memory until they write to it."""

from __future__ import annotations

import os
import signal
import sys

from mms.processes.keeper import adopt_no_more, become_subreaper, end_like, keep
from mms.wire import (
    FORK,
    LOADED,
    ROLE_PARENT,
    ROLE_WORK,
    Fork,
    Load,
    ProtocolError,
    encode_frame,
)
from mms.worker.connection import connect, connect_control, read_frames
from mms.worker.lifeline import hold_lifeline
from mms.worker.loading import success
from mms.worker.model import Model
from mms.worker.output_pump import OutputPump
from mms.worker.serving import answer_load, connect_calls, receive_load, serve, settle_memory
from mms.worker.surroundings import ignore_signals


def run_parent(address: str, secret: str) -> int:
    """Dial in, load, fork a worker for each request of the front. Returns the exit code of the process.

    It has no thread of its own: a lock that one held would stay locked in its children.
    """
    hold_lifeline(address, secret)
    connection = connect(address, secret, ROLE_PARENT)
    load = receive_load(connection)
    if load is None:
        return 0
    model = answer_load(connection, load)
    if model is None:
        return 1
    # Its own keeper adopts for it. That loads what its forks need for the same call.
    adopt_no_more()
    settle_memory()
    # The kernel reaps the workers. Not before: a handler that runs programs while it loads needs their exit codes.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for frames in read_frames(connection):
        for kind, _, payload, _ in frames:
            if kind != FORK:
                raise ProtocolError(f"frame of kind {kind} on a parent's connection")
            message = Fork.from_payload(payload)
            sys.stdout.flush()
            sys.stderr.flush()
            try:
                pid = os.fork()
            except OSError as error:
                sys.stderr.write(f"Worker {message.worker_name} cannot be forked: {error}\n")
                continue
            if pid == 0 and not _is_kept():
                # Ends as any process does: by the way out of here, with the handler's exit functions.
                return _run_child(address, message, model, load)
    return 0


def _is_kept() -> bool:
    """Fork once more: False in the worker. This process is the worker's keeper then, and ends here."""
    # Out of the parent's group, whose end is not the worker's.
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ignore_signals()
    become_subreaper()
    pid = os.fork()
    if pid == 0:
        return False
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    end_like(keep(pid))


def _run_child(address: str, message: Fork, model: Model, load: Load) -> int:
    # A group of its own, so that it can be ended with all that it starts.
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ignore_signals()
    model.context.system_properties["gpu_id"] = message.gpu_id
    hold_lifeline(address, message.secret)
    work = connect(address, message.secret, ROLE_WORK)
    control = connect_control(address, message.secret)
    connect_calls(control, load)
    pump = OutputPump(control.send_log)
    pump.start()
    try:
        work.sendall(encode_frame(LOADED, 0, success(model, load_s=0.0).to_payload()))
        return serve(work, control, model, load)
    finally:
        pump.finish()
