"""Stands for Ray where it is not installed: its actors are processes of this machine, its objects are bytes.

It has what the server uses of it, and no more: actors have one node, each, which `fake_node.py` in the test is. So they
are not this process's children, and stay when it dies.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from ray import util as util

_JOB: dict[str, str] = {}


class _Runtime:
    def get_node_id(self) -> str:
        return "fake0000"


def ask_node(request: Any, path: str | None = None) -> Any:
    """Ask the node, or the actor whose socket this is. Raises RuntimeError where it ends without an answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path or os.environ["FAKE_NODE"])
            connection.sendall(pickle.dumps(request))
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as sent:
                answer = sent.read()
        except OSError:
            answer = b""
    if not answer:
        raise RuntimeError("The actor died.\n\tclass_name: WorkerHost")
    return pickle.loads(answer)


def init(**options: Any) -> None:
    if options["address"] == "unreachable:1":
        raise ConnectionError("there is no cluster\n\tactor_id: 1")
    _JOB["namespace"] = options["namespace"]


def shutdown() -> None:
    return


def put(value: bytes) -> bytes:
    return value


def get(value: bytes) -> bytes:
    return value


def get_gpu_ids() -> list[int]:
    return [int(gpu) for gpu in os.environ.get("FAKE_GPUS", "").split(",") if gpu]


def get_runtime_context() -> _Runtime:
    return _Runtime()


def nodes() -> list[dict[str, Any]]:
    return [{"NodeID": "fake0000", "Alive": True, "Resources": {"CPU": 4.0}}]


class _Reference:
    def __init__(self, done: Future[Any]) -> None:
        self._done = done

    def future(self) -> Future[Any]:
        return self._done


class _Method:
    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._name = name

    def remote(self, *arguments: Any) -> _Reference:
        done: Future[Any] = Future()

        def call() -> None:
            try:
                done.set_result(ask_node((self._name, arguments), self._path))
            except RuntimeError as error:
                done.set_exception(error)

        threading.Thread(target=call, daemon=True).start()
        return _Reference(done)


class _Actor:
    def __init__(self, pid: int, path: str) -> None:
        self.pid = pid
        self.run = _Method(path, "run")
        self.end_reason = _Method(path, "end_reason")


def actors() -> Mapping[str, tuple[int, str]]:
    """Return name -> process and socket of the actors of this namespace."""
    found: Mapping[str, tuple[int, str]] = ask_node(("list", _JOB["namespace"]))
    return found


def get_actor(name: str) -> _Actor:
    found = actors().get(name)
    if found is None:
        raise ValueError(name)
    return _Actor(*found)


def kill(actor: _Actor) -> None:
    os.kill(actor.pid, signal.SIGKILL)


class _ActorClass:
    def __init__(self, kind: type, options: dict[str, Any] | None = None) -> None:
        self._kind = kind
        self._options = options or {}

    def options(self, **options: Any) -> _ActorClass:
        return _ActorClass(self._kind, options)

    def remote(self) -> _Actor:
        options = self._options
        assert options["lifetime"] == "detached"
        variables = (options["runtime_env"] or {}).get("env_vars", {})
        if options["num_gpus"]:
            variables = {**variables, "FAKE_GPUS": "2"}
        start = ("start", _JOB["namespace"], options["name"], {**os.environ, **variables})
        pid, path = ask_node(start)
        ask_node(self._kind, path)
        return _Actor(pid, path)


def remote(kind: type) -> _ActorClass:
    return _ActorClass(kind)


def serve_actor(descriptor: int) -> None:
    """Do one call after the other, in the process of an actor. The first one makes it."""
    listening = socket.socket(fileno=descriptor)
    actor: Any = None
    while True:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as sent:
            request = pickle.load(sent)
            if actor is None:
                actor = request()
                answer = "made"
            else:
                answer = getattr(actor, request[0])(*request[1])
            with contextlib.suppress(OSError):
                # Who asked may have been killed.
                connection.sendall(pickle.dumps(answer))
