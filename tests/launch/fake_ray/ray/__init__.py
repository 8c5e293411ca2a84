"""Stands for Ray where it is not installed: its actors are processes of this machine, its objects are bytes.

It has what the server uses of it, and no more: actors have one node, each.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import Future
from typing import Any

from ray import util as util


class _Runtime:
    def get_node_id(self) -> str:
        return "fake0000"


def init(**options: Any) -> None:
    if options["address"] == "unreachable:1":
        raise ConnectionError("there is no cluster\n\tactor_id: 1")


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
    def __init__(self, actor: _Actor, name: str) -> None:
        self._actor = actor
        self._name = name

    def remote(self, *arguments: Any) -> _Reference:
        done: Future[Any] = Future()
        threading.Thread(
            target=self._actor.call, args=(self._name, arguments, done), daemon=True
        ).start()
        return _Reference(done)


class _Actor:
    def __init__(self, kind: type, options: dict[str, Any]) -> None:
        self._kind = kind
        variables = (options["runtime_env"] or {}).get("env_vars", {})
        if options["num_gpus"]:
            variables = {**variables, "FAKE_GPUS": "2"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from ray import serve_actor; serve_actor()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **variables},
        )
        self.run = _Method(self, "run")

    def call(self, name: str, arguments: tuple[Any, ...], done: Future[Any]) -> None:
        output, _ = self.process.communicate(pickle.dumps((self._kind, name, arguments)))
        if self.process.returncode:
            done.set_exception(RuntimeError("The actor died.\n\tclass_name: WorkerHost"))
        else:
            done.set_result(pickle.loads(output))


def serve_actor() -> None:
    kind, name, arguments = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(getattr(kind(), name)(*arguments)))


def kill(actor: _Actor) -> None:
    actor.process.kill()


class _ActorClass:
    def __init__(self, kind: type, options: dict[str, Any] | None = None) -> None:
        self._kind = kind
        self._options = options or {}

    def options(self, **options: Any) -> _ActorClass:
        return _ActorClass(self._kind, options)

    def remote(self) -> _Actor:
        return _Actor(self._kind, self._options)


def remote(kind: type) -> _ActorClass:
    return _ActorClass(kind)
