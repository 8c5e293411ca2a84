"""The process that loads a model once and forks its workers, which share its memory until they write to it."""

from __future__ import annotations

from typing import Any

from mms.wire import LOADED, ROLE_PARENT, ROLE_WORK, Load, Loaded, encode_frame
from mms.worker.connection import connect, connect_control
from mms.worker.forking.channel import take_channel
from mms.worker.forking.forker import Forker
from mms.worker.forking.identity import show_command
from mms.worker.forking.safety import fork_problem
from mms.worker.loading.load import success
from mms.worker.loading.model import Model
from mms.worker.process.lifeline import hold_lifeline
from mms.worker.serving import answer_load, connect_calls, receive_load, serve


def run_parent(address: str, secret: str) -> int:
    """Dial in, load, fork a worker for each message on the front's channel. Returns the exit code of the process.

    It has no thread of its own: a lock that one held would stay locked in its children.
    """
    forker = Forker(take_channel())
    hold_lifeline(address, secret)
    connection = connect(address, secret, ROLE_PARENT)
    load = receive_load(connection)
    if load is None:
        return 0
    model = answer_load(connection, load, _note_problem)
    if model is None:
        return 1
    asked = forker.serve()
    if asked is None:
        return 0
    # Ends as any process does: by the way out of here, with the handler's exit functions.
    return _run_child(address, asked, model, load)


def _note_problem(loaded: Loaded) -> None:
    """Threads of a handler's own code are its affair: the handler's guide says that forks have none of them."""
    loaded.fork_problem = fork_problem(allows_python_threads=True)


def _run_child(address: str, asked: dict[str, Any], model: Model, load: Load) -> int:
    show_command(asked["command"])
    model.context.system_properties["gpu_id"] = asked["gpu_id"]
    secret = asked["secret"]
    hold_lifeline(address, secret)
    work = connect(address, secret, ROLE_WORK)
    control = connect_control(address, secret)
    connect_calls(control, load)
    work.sendall(encode_frame(LOADED, 0, success(model, load_s=0.0).to_payload()))
    return serve(work, control, model, load)
