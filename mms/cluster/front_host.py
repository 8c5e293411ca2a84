"""The actor of one front: it runs a server, a process of its own, and carries what server and owner say to each other.

Ray's library has threads, and ends its process where its node is lost. A server has no use for either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

from mms.cluster.registry import Known, forget_oldest, names_of_members
from mms.launch.message_channel import MessageChannel
from mms.processes.launch_options import LaunchOptions
from mms.processes.own_folder import log_variables, own_folder

logger = logging.getLogger("mms.cluster")

OWNER: Final = "owner"
#: Like `python -m`, which would put the current folder first.
_START: Final = "import sys; sys.path[:] = [p for p in sys.path if p]; from mms.server import main; sys.exit(main())"
#: What Ray tells its own worker processes. A server that asks Ray for workers is a stranger to it.
_OF_RAY: Final = ("RAY_JOB_ID", "RAY_RAYLET_PID", "RAY_NODE_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR")
#: Until a server that has ended is started anew, in seconds; it doubles with each that never was up.
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
#: Between two tries to reach the owner, in seconds.
_OWNER_PAUSE_S: Final = 0.2
#: An owner that answers nothing for so long is away, in seconds.
_ANSWER_S: Final = 5.0
#: How long a change waits for an owner that is away, in seconds.
_PATIENCE_S: Final = 20.0
#: How many of a server's last lines are told where it does not come up.
_LINES: Final = 3


class FrontHost:
    """All methods are called by Ray, on the actor's event loop."""

    def __init__(self, name: str, namespace: str, spec: dict[str, Any]) -> None:
        self._name = name
        self._namespace = namespace
        self._spec = spec
        self._owner: Any = None
        self._server: asyncio.subprocess.Process | None = None
        self._channel: MessageChannel | None = None
        self._addresses: dict[str, str] = {}
        self._state, self._reason = "STARTING", ""
        self._node = ""
        #: Grows with each change of what is told of it.
        self._number = 0
        self._changed = asyncio.Event()
        #: What the owner knows, as far as this front does.
        self._revision = 0
        self._names: dict[str, Known] = {}
        self._sharing: list[str] = []
        self._applied = 0
        self._failures: dict[str, str] = {}
        self._has_joined = asyncio.Event()
        #: Whether the server that runs, or that ran last, has served.
        self._has_been_up = False
        self._is_ending = False
        self._calls: set[asyncio.Task[None]] = set()
        #: Loans that the server has been asked for, and has said nothing of.
        self._lending: dict[int, asyncio.Future[str]] = {}
        self._number_of_loan = 0
        self._lines: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    # What the owner calls

    async def describe(self) -> dict[str, Any]:
        """Return how it is, JSON-able. The first call starts it: an actor is made without its event loop."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._run()), loop.create_task(self._watch())]
        return {
            "number": self._number,
            "node": self._node_id(),
            "state": self._state,
            "reason": self._reason,
            "spec": self._spec,
        }

    async def changed(self, seen: int) -> dict[str, Any]:
        """Return the same once it is another than that of a number."""
        await self.describe()
        while self._number <= seen:
            await self._changed.wait()
        return await self.describe()

    async def end(self) -> None:
        """End the server after what it has accepted."""
        self._is_ending = True
        server = self._server
        if server is not None and server.returncode is None:
            server.send_signal(signal.SIGTERM)
            await server.wait()

    # The server

    async def _run(self) -> None:
        """Keep a server running."""
        self._node_id()
        pause_s = _FIRST_PAUSE_S
        while True:
            self._tell("STARTING", self._reason)
            try:
                reason = await self._serve()
            except Exception as error:
                logger.exception("The server of %s", self._name)
                reason = f"{type(error).__name__}: {error}"
            if self._is_ending:
                break
            if self._has_been_up:
                pause_s = _FIRST_PAUSE_S
            logger.error("The server of %s has ended: %s", self._name, reason)
            self._tell("FAILED", reason)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _serve(self) -> str:
        """Run a server to its end. Returns why it has ended."""
        self._has_been_up = False
        own_end, its_end = socket.socketpair()
        # Where its logs are, unless the user says where; the same one for each of its servers.
        folder = own_folder(self._namespace, self._name)
        options = self._options(folder)
        options.cluster_fd = its_end.fileno()
        environment = {k: v for k, v in os.environ.items() if k not in _OF_RAY}
        with its_end:
            server = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _START, *options.to_argv()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment | log_variables(folder),
                cwd=folder,
                start_new_session=True,
                pass_fds=(its_end.fileno(),),
            )
        self._server = server
        self._channel = MessageChannel(own_end, self._take, lambda: None)
        reading = asyncio.get_running_loop().create_task(self._read(server))
        try:
            code = await server.wait()
            with contextlib.suppress(asyncio.TimeoutError):
                # Its workers have the pipe, too, for a moment.
                await asyncio.wait_for(asyncio.shield(reading), 1)
        finally:
            reading.cancel()
            self._forget_server()
            if server.returncode is None:
                server.kill()
        return f"exit code {code}: {' | '.join(self._lines[-_LINES:])}"

    def _forget_server(self) -> None:
        """There is no server any more: what it was asked has no answer, and it has no share of the workers."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        lending, self._lending = self._lending, {}
        for each in lending.values():
            each.cancel()
        self._addresses = {}
        self._applied = 0
        if self._has_joined.is_set() and not self._is_ending:
            self._spawn(self._join())

    def _options(self, folder: Path) -> LaunchOptions:
        options = LaunchOptions(models=list(self._spec["models"]))
        if self._spec["properties"]:
            path = folder / "config.properties"
            path.write_text(self._spec["properties"])
            options.mms_config = str(path)
        options.settings = {"ray_address": _gcs_address(), **self._spec["settings"]}
        for name, text in self._spec["any_port"].items():
            options.settings[name] = f"{text}:{_free_port()}"
        return options

    async def _read(self, server: asyncio.subprocess.Process) -> None:
        """Pass on what the server prints: Ray keeps it with the actor's own lines."""
        assert server.stdout is not None
        while line := await server.stdout.readline():
            text = line.decode("utf-8", "backslashreplace").rstrip()
            self._lines = [*self._lines[-10:], text]
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def _take(self, message: dict[str, Any]) -> None:
        """The server says something."""
        if "up" in message:
            self._addresses = {
                name: _seen_from_outside(address) for name, address in message["up"].items()
            }
            self._has_been_up = True
            self._tell("UP", "")
            self._spawn(self._join())
        elif "applied" in message:
            self._applied, self._failures = message["applied"], message["failures"]
            self._spawn(self._note_applied())
        elif "change" in message:
            self._spawn(self._change(message))
        elif "borrow" in message:
            self._spawn(self._borrow(message))
        elif "lent" in message:
            lending = self._lending.pop(message["lent"], None)
            if lending is not None and not lending.done():
                lending.set_result(message["refusal"])
        elif "know" in message:
            self._spawn(self._know(message["know"]))

    def _answer(self, number: int, answer: Any) -> None:
        if self._channel is not None:
            self._channel.send({"answer": number, "value": answer})

    async def _know(self, number: int) -> None:
        """The server begins, and waits for what is registered."""
        await self._has_joined.wait()
        self._answer(
            number,
            {
                "front": self._name,
                "revision": self._revision,
                "names": {name: known.to_members() for name, known in self._names.items()},
                "sharing": self._sharing,
            },
        )

    async def _change(self, message: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"away": True}
        until = asyncio.get_running_loop().time() + _PATIENCE_S
        while asyncio.get_running_loop().time() < until:
            try:
                owner = await self._find_owner()
                change = owner.change.remote(self._name, message["bases"], message["entries"])
                answer = await asyncio.wait_for(change, _ANSWER_S)
                break
            except Exception as error:
                # Told twice, it is the same change.
                self._lose_owner(error)
                await asyncio.sleep(_OWNER_PAUSE_S)
        self._answer(message["change"], answer)

    async def lend(self, loan: dict[str, Any]) -> str:
        """Have this front dial another one as a worker of a model. Returns why it does not; empty: it does."""
        if self._channel is None or self._state != "UP":
            return "its server is not up"
        number = self._number_of_loan = self._number_of_loan + 1
        lending = self._lending[number] = asyncio.get_running_loop().create_future()
        self._channel.send({**loan, "lend": number})
        return str(await lending)

    async def _borrow(self, message: dict[str, Any]) -> None:
        """Ask the actor of another front."""
        import ray

        loan = {name: message[name] for name in ("model", "version", "assignment")}
        try:
            lender = await asyncio.to_thread(
                ray.get_actor, message["lender"], namespace=self._namespace
            )
            refusal = await lender.lend.remote(loan)
        except Exception as error:
            refusal = " ".join(str(error).split())[:200] or type(error).__name__
        self._answer(message["borrow"], refusal)

    async def _note_applied(self) -> None:
        with contextlib.suppress(Exception):
            owner = await self._find_owner()
            await owner.note_applied.remote(self._name, self._applied, self._failures)

    # The owner

    async def _watch(self) -> None:
        """Have the server know what the owner knows, as soon as that changes."""
        while True:
            try:
                if not self._has_joined.is_set():
                    await self._join()
                owner = await self._find_owner()
                news = await asyncio.wait_for(
                    owner.watch.remote(self._name, self._revision), _ANSWER_S
                )
                if news is None:
                    await self._join()
                else:
                    self._learn(news)
            except Exception as error:
                self._lose_owner(error)
                await asyncio.sleep(_OWNER_PAUSE_S)

    async def _join(self) -> None:
        owner = await self._find_owner()
        names = {name: known.to_members() for name, known in self._names.items()}
        self._learn(await owner.join.remote(self._name, self._addresses, self._revision, names))
        self._has_joined.set()
        await self._note_applied()

    def _learn(self, news: dict[str, Any]) -> None:
        self._names.update(names_of_members(news["names"]))
        forget_oldest(self._names)
        self._sharing = list(news.get("sharing", self._sharing))
        self._revision = max(self._revision, news["revision"])
        is_news = news["names"] or "sharing" in news
        if self._channel is not None and is_news:
            self._channel.send({"news": {**news, "sharing": self._sharing}})

    async def _find_owner(self) -> Any:
        if self._owner is None:
            import ray

            self._owner = await asyncio.to_thread(ray.get_actor, OWNER, namespace=self._namespace)
            self._tell_owner(True)
        return self._owner

    def _lose_owner(self, error: Exception) -> None:
        if self._owner is not None:
            logger.warning("The owner does not answer %s: %s", self._name, error)
            self._tell_owner(False)
        self._owner = None

    def _tell_owner(self, is_there: bool) -> None:
        if self._channel is not None:
            self._channel.send({"owner": is_there})

    # The rest

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _node_id(self) -> str:
        if not self._node:
            import ray

            self._node = ray.get_runtime_context().get_node_id()
        return self._node

    def _tell(self, state: str, reason: str) -> None:
        self._state, self._reason = state, reason
        self._number += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _seen_from_outside(address: str) -> str:
    """Return an address as clients on other machines write it, where it is all of this node's."""
    import ray

    scheme, separator, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if host in ("0.0.0.0", "[::]"):
        host = ray.util.get_node_ip_address()
    return f"{scheme}{separator}{host}:{port}" if separator else address


def _gcs_address() -> str:
    """Return the address of the cluster that this actor is in."""
    import ray

    return str(ray.get_runtime_context().gcs_address)
