"""The server's side of the socket to the actor that runs it: what the cluster knows, and changes of that."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from mms.cluster.registry import (
    Entry,
    Known,
    first_front,
    forget_oldest,
    names_of_members,
    share_of,
)
from mms.launch.message_channel import MessageChannel

#: How long a start waits for what is registered, in seconds.
_KNOW_S: Final = 60.0
#: How long a front waits for another one to have loaded a model, in seconds.
_BORROW_S: Final = 7200.0
#: How long a change waits, in seconds; the actor gives up before.
_CHANGE_S: Final = 60.0


class OwnerAway(OSError):
    """The owner of the cluster cannot be reached. The message says so."""

    def __init__(self) -> None:
        super().__init__(0, "the owner of the cluster does not answer; Ray starts it anew")


class ClusterMember:
    """This server as a front of a cluster. Owned by the event loop."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: of the socket, which is taken over."""
        self._socket = socket.socket(fileno=descriptor)
        self._channel: MessageChannel | None = None
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self.front = ""
        self.revision = 0
        #: By the names of models.
        self.names: dict[str, Known] = {}
        #: The fronts among which workers are shared.
        self.sharing: tuple[str, ...] = ()
        self.is_owner_there = True
        #: Called with the names that are new, and whether workers are shared otherwise by now.
        self.on_news: Callable[[list[str], bool], None] = lambda names, is_shared_anew: None
        #: Called with a number, and the model, version and assignment of a front that borrows.
        self.on_lend: Callable[[int, Mapping[str, Any]], None] = lambda number, message: (
            self.answer_lend(number, "it is just starting")
        )
        #: Called once, where the actor is gone.
        self.on_lost: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<ClusterMember {self.front} at {self.revision}>"

    async def start(self) -> None:
        """Learn what is registered. Raises OwnerAway."""
        self._channel = MessageChannel(self._socket, self._take, self._on_channel_lost)
        number, answer = self._call()
        self._channel.send({"know": number})
        told = await self._answer_of(number, answer, _KNOW_S)
        self.front = str(told["front"])
        self._learn(told)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        for call in self._calls.values():
            call.cancel()

    def report_up(self, addresses: Mapping[str, str]) -> None:
        """It serves. `addresses`: what it listens on, by the names of the settings."""
        self._send({"up": dict(addresses)})

    def report_applied(self, revision: int, failures: Mapping[str, str]) -> None:
        """All up to a revision is registered here, but for the models that could not be, with the reason."""
        self._send({"applied": revision, "failures": dict(failures)})

    async def change(self, entries: Mapping[str, list[Entry]]) -> list[str]:
        """Have the cluster know these in place of what it knows of the names. Returns the names that are refused.

        A name is refused that another front has changed since this one has heard of it. Raises OwnerAway.
        """
        bases = {name: self.names[name].revision for name in entries if name in self.names}
        number, answer = self._call()
        self._send({"change": number, "bases": bases, "entries": dict(entries)})
        told = await self._answer_of(number, answer, _CHANGE_S)
        if told.get("away"):
            raise OwnerAway
        return list(told["refused"])

    def share(self, count: int, name: str) -> int:
        """Return how many of a model's workers are this front's."""
        return share_of(count, name, self.front, self.sharing)

    def lender_of(self, name: str) -> str | None:
        """Return the front that others ask for a model of which they have no worker; None: it is this one, or none."""
        lender = first_front(name, self.front, self.sharing)
        return None if lender == self.front else lender

    async def borrow(
        self, lender: str, name: str, version: str | None, assignment: Mapping[str, Any]
    ) -> str:
        """Have another front dial in as a worker of a model, once it has loaded it. Returns why it does not; empty: it
        does. Raises OwnerAway."""
        number, answer = self._call()
        self._send(
            {
                "borrow": number,
                "lender": lender,
                "model": name,
                "version": version,
                "assignment": dict(assignment),
            }
        )
        return str(await self._answer_of(number, answer, _BORROW_S))

    def answer_lend(self, number: int, refusal: str) -> None:
        """Say what came of a call of `on_lend`."""
        self._send({"lent": number, "refusal": refusal})

    # The channel

    def _call(self) -> tuple[int, asyncio.Future[Any]]:
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        return number, answer

    async def _answer_of(self, number: int, answer: asyncio.Future[Any], timeout_s: float) -> Any:
        try:
            await asyncio.wait((answer,), timeout=timeout_s)
            if not answer.done() or answer.cancelled():
                raise OwnerAway
            return answer.result()
        finally:
            self._calls.pop(number, None)

    def _send(self, message: dict[str, Any]) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def _take(self, message: dict[str, Any]) -> None:
        if "answer" in message:
            call = self._calls.get(message["answer"])
            if call is not None and not call.done():
                call.set_result(message["value"])
        elif "news" in message:
            self._learn(message["news"])
        elif "lend" in message:
            self.on_lend(message["lend"], message)
        elif "owner" in message:
            self.is_owner_there = bool(message["owner"])

    def _learn(self, news: Mapping[str, Any]) -> None:
        names = names_of_members(news["names"])
        self.names.update(names)
        self.revision = max(self.revision, int(news["revision"]))
        sharing = tuple(news["sharing"])
        is_shared_anew, self.sharing = sharing != self.sharing, sharing
        self.on_news(list(names), is_shared_anew)
        forget_oldest(self.names)

    def _on_channel_lost(self) -> None:
        for call in self._calls.values():
            call.cancel()
        self.on_lost()
