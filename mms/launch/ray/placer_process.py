"""The process that talks to Ray for a server. The front starts it.

It stands apart from the front since Ray's library ends its process where its node or its cluster is lost, and since it
has threads and memory that a front has no use for. Actors stay when this process dies, so that the next one finds them
by their names, which are the front's numbers in a namespace of the front's own. They end with the front: hosts see the
end of their connection, and this process ends all others when it sees the end of its own.

Messages on its standard input, a socket: `connect`, `place`, `placed`, `kill` and `forget` come, `connected`, `failed`,
`waiting` and `ended` go.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mms.launch.nodes.assignment import Assignment
from mms.launch.nodes.folders import pack
from mms.launch.ray.waiting import NodeRoom, waiting_reason
from mms.processes.messages import encode_message, receive_message

#: How often it is looked why workers have no node yet, in seconds.
_LOOK_S = 1.0
#: What is told of an error, in characters.
_MOST_CHARS = 400

Send = Callable[[Mapping[str, Any]], None]


class Placer:
    """Has Ray start hosts. `ray` is the library. `send` may be called by any thread."""

    def __init__(self, ray: Any, host_class: type, send: Send) -> None:
        self._ray = ray
        self._host_class = host_class
        self._send = send
        self._lock = threading.Lock()
        #: By the front's number: the actor, None until there is one.
        self._actors: dict[int, Any] = {}
        #: Those without a node: what they want.
        self._waiting: dict[int, tuple[Mapping[str, Any], str]] = {}
        #: Model's key -> path -> its SHA-256 and the references to its chunks.
        self._packed: dict[str, dict[str, tuple[str, list[Any]]]] = {}
        self._packing: dict[str, threading.Lock] = {}
        self._actor_class: Any = None
        #: Held while an actor is asked for.
        self._asking = threading.Lock()
        #: Actors to be ended. Ray may take long for each, where its cluster has no head for a while.
        self._unwanted: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._end_unwanted, daemon=True).start()

    def __repr__(self) -> str:
        return f"<Placer of {len(self._actors)} actors>"

    def take(self, message: Mapping[str, Any]) -> None:
        """Do what a message says, what may take long in a thread."""
        if "place" in message:
            number = message["place"]
            with self._lock:
                self._actors[number] = None
            threading.Thread(target=self._place, args=(number, message), daemon=True).start()
        elif "placed" in message:
            with self._lock:
                self._waiting.pop(message["placed"], None)
        elif "kill" in message:
            self._kill(message["kill"])
        elif "forget" in message:
            with self._lock:
                self._packed.pop(message["forget"], None)
                self._packing.pop(message["forget"], None)

    def connect(self, options: Mapping[str, Any], kept: Collection[int] = ()) -> None:
        """Join the cluster, or start one in this process. Tells the front how that went.

        `kept`: of the actors that an earlier process has asked for, those that stay.
        """
        try:
            self._ray.init(**options)
            address = self._ray.util.get_node_ip_address()
            self._actor_class = self._ray.remote(self._host_class)
            self._take_over(kept)
        except Exception as error:
            self._send({"failed": _told(error)})
            return
        self._send({"connected": {"address": address}})

    def _take_over(self, kept: Collection[int]) -> None:
        """Find the actors of an earlier process again, and end those that are not kept."""
        for name, actor in self._named_actors():
            if name.isdigit() and int(name) in kept:
                self._actors[int(name)] = actor
                # It answers once the worker's end is there.
                self._follow(int(name), actor.end_reason.remote())
            else:
                self._unwanted.put(actor)
        for number in kept:
            if number not in self._actors:
                self._send({"ended": number, "reason": "Ray has it no more"})

    def _named_actors(self) -> Iterator[tuple[str, Any]]:
        """Give all actors of this front that there are, whoever has asked for them."""
        for name in self._ray.util.list_named_actors():
            try:
                actor = self._ray.get_actor(name)
            except ValueError:
                # It has ended just now.
                continue
            yield name, actor

    def close(self) -> None:
        """End all actors of this front, those that still wait for a node, too."""
        with self._lock:
            self._actors.clear()
        # Who is about to ask for one has done so then.
        with self._asking:
            for _, actor in self._named_actors():
                self._ray.kill(actor)

    def look(self) -> None:
        """Tell the front why workers have no node yet, where that has changed."""
        with self._lock:
            waiting = dict(self._waiting)
        if not waiting:
            return
        rooms = self._rooms()
        for number, (wants, told) in waiting.items():
            reason = waiting_reason(wants, rooms)
            if reason == told:
                continue
            with self._lock:
                if number in self._waiting:
                    self._waiting[number] = (wants, reason)
            self._send({"waiting": number, "reason": reason})

    def _rooms(self) -> list[NodeRoom]:
        free: Mapping[str, Mapping[str, float]]
        try:
            free = self._ray._private.state.available_resources_per_node()
        except Exception:
            # It is not part of what Ray promises to have.
            free = {}
        rooms = []
        for node in self._ray.nodes():
            if node.get("Alive"):
                total = node.get("Resources", {})
                rooms.append(NodeRoom(total, free.get(node.get("NodeID", ""), total)))
        return rooms

    def _place(self, number: int, message: Mapping[str, Any]) -> None:
        try:
            packed = self._pack(message["key"], message["folders"])
            assignment = Assignment.of_members(message["assignment"])
            assignment.digests = {path: digest for path, (digest, _) in packed.items()}
            chunks = {digest: list(references) for digest, references in packed.values()}
            wants = message["resources"]
            with self._asking:
                if not self._is_wanted(number):
                    return
                actor = self._actor_class.options(
                    num_cpus=wants.get("num_cpus", 1),
                    num_gpus=wants.get("num_gpus", 0),
                    memory=wants.get("memory") or None,
                    resources=wants.get("resources") or None,
                    scheduling_strategy=message["strategy"],
                    runtime_env=message["runtime_env"] or None,
                    name=str(number),
                    lifetime="detached",
                    max_restarts=0,
                    max_concurrency=1,
                ).remote()
            with self._lock:
                is_wanted = number in self._actors
                if is_wanted:
                    self._actors[number] = actor
                    self._waiting[number] = (wants, "")
            if not is_wanted:
                self._unwanted.put(actor)
                return
            # The secret goes to the actor alone, and not to the cluster's store of actors.
            self._follow(number, actor.run.remote(assignment.to_members(), chunks))
        except Exception as error:
            self._end(number, _told(error))

    def _is_wanted(self, number: int) -> bool:
        with self._lock:
            return number in self._actors

    def _pack(self, key: str, paths: Sequence[str]) -> dict[str, tuple[str, list[Any]]]:
        """Have what workers need in the object store: once for all workers of a model."""
        with self._lock:
            packing = self._packing.setdefault(key, threading.Lock())
        with packing:
            with self._lock:
                found = dict(self._packed.get(key, {}))
            for path in paths:
                if path not in found:
                    references: list[Any] = []

                    def take(chunk: bytes, references: list[Any] = references) -> None:
                        references.append(self._ray.put(chunk))

                    found[path] = (pack(Path(path), take), references)
            with self._lock:
                if self._packing.get(key) is packing:
                    self._packed[key] = found
        return {path: found[path] for path in paths}

    def _follow(self, number: int, reference: Any) -> None:
        """Tell the front of the end of an actor's worker. `reference`: to a call that says why."""
        reference.future().add_done_callback(lambda done: self._on_ended(number, done))

    def _on_ended(self, number: int, done: Any) -> None:
        error = done.exception()
        self._end(number, str(done.result()) if error is None else _told(error))

    def _end(self, number: int, reason: str) -> None:
        with self._lock:
            is_known = number in self._actors
            actor = self._actors.pop(number, None)
            self._waiting.pop(number, None)
        if actor is not None:
            self._unwanted.put(actor)
        if is_known:
            self._send({"ended": number, "reason": reason})

    def _kill(self, number: int) -> None:
        with self._lock:
            actor = self._actors.pop(number, None)
            self._waiting.pop(number, None)
        if actor is not None:
            self._unwanted.put(actor)
        self._send({"ended": number, "reason": "killed"})

    def _end_unwanted(self) -> None:
        while True:
            actor = self._unwanted.get()
            try:
                self._ray.kill(actor)
            except Exception as error:
                sys.stderr.write(f"Ray: an actor cannot be ended: {_told(error)}\n")


def _told(error: BaseException) -> str:
    """Return an error of Ray's in one line, its cause where Ray has wrapped one."""
    cause = getattr(error, "cause", None)
    shown = cause if isinstance(cause, BaseException) else error
    lines = [line.strip() for line in str(shown).splitlines()]
    # Ray lists members of the actor in lines of their own, indented.
    said = [line for line in lines if line and not _is_member(line)]
    text = " ".join(said) or type(shown).__name__
    if len(text) > _MOST_CHARS:
        # A traceback, or what an installer said: its first words say where, its last ones what.
        text = f"{text[: _MOST_CHARS // 4]} ... {text[-_MOST_CHARS * 3 // 4 :]}"
    if isinstance(shown, ModuleNotFoundError) or "No module named 'mms" in text:
        return f'{text}: nodes need the server\'s package, pip install "marserve[ray]"'
    if _is_about_token(error):
        return (
            f"{text}: the cluster asks for a token. Start the server with RAY_AUTH_MODE=token, and have the head's "
            "~/.ray/auth_token on this machine and on all nodes"
        )
    return text


def _is_about_token(error: BaseException | None) -> bool:
    """Return whether it is about a token, or what it comes from is: Ray says it there alone."""
    while error is not None:
        if "InvalidAuthToken" in str(error):
            return True
        error = error.__cause__
    return False


def _is_member(line: str) -> bool:
    name, colon, _ = line.partition(": ")
    return bool(colon) and name in (
        *("class_name", "actor_id", "pid", "namespace", "ip", "name", "node_id"),
    )


def main() -> int:
    """Serve the front until it is gone. Returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # The front ends it, as it does its workers.
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=os.dup(0))
    sending = threading.Lock()

    def send(message: Mapping[str, Any]) -> None:
        with sending:
            try:
                connection.sendall(encode_message(message))
            except OSError:
                # The front is gone, which the reading thread sees.
                return

    first, _ = receive_message(connection)
    if first is None:
        return 0
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.util")
        from mms.launch.ray.actor import WorkerHost
    except ImportError as error:
        send(
            {"failed": f'the package ray cannot be imported ({error}): pip install "marserve[ray]"'}
        )
        return 1
    placer = Placer(ray, WorkerHost, send)
    placer.connect(first["connect"], first["keep"])
    threading.Thread(target=_look_on, args=(placer,), daemon=True).start()
    while True:
        message, _ = receive_message(connection)
        if message is None:
            break
        try:
            placer.take(message)
        except Exception as error:
            sys.stderr.write(f"Ray: {_told(error)}\n")
    try:
        placer.close()
    except Exception as error:
        sys.stderr.write(f"Ray: {_told(error)}\n")
    # It ends what was started in this process.
    ray.shutdown()
    return 0


def _look_on(placer: Placer) -> None:
    while True:
        time.sleep(_LOOK_S)
        try:
            placer.look()
        except Exception as error:
            sys.stderr.write(f"Ray: {_told(error)}\n")


def run() -> None:
    """Serve the front, and end."""
    code = main()
    sys.stderr.flush()
    # Threads of Ray's may hang where the cluster is gone.
    os._exit(code)
