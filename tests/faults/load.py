"""A load over real sockets that counts what becomes of every request: answered, right, wrong, lost.

Each request carries a token that no other has, and a right answer echoes it. So one that belongs to another request is
seen, and one that never comes, too.

    with Load(port, [Target("/predictions/echo")]) as load:
        load.wait_for_right(50)
        ...  # the fault
    load.count.check()
"""

from __future__ import annotations

import asyncio
import itertools
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_tokens = itertools.count(1)
#: Before the next try to connect, in seconds.
_CONNECT_AGAIN_S = 0.02
_MAX_EXAMPLES = 20


def _same(token: str) -> bytes:
    return token.encode()


def _is_echo(status: int, body: bytes, token: str) -> bool:
    return status == 200 and body == token.encode()


@dataclass
class Target:
    """What is asked for. `encode` makes the body of a token, `is_right` judges (status, body, token).

    `fails_with`: statuses and words (`{500: "Worker died."}`) that are errors of the right kind; where it is None any
    status of 400 and more is. Other answers that are not right are wrong.
    """

    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/plain"})
    encode: Callable[[str], bytes] = _same
    is_right: Callable[[int, bytes, str], bool] = _is_echo
    fails_with: Mapping[int, str] | None = None

    def bytes_for(self, token: str) -> bytes:
        body = self.encode(token)
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@dataclass
class Count:
    """sent = answered + lost; answered = right + wrong + failed."""

    sent: int = 0
    answered: int = 0
    right: int = 0
    #: Success with other content than its own, or an error that is not of the target's `fails_with`.
    wrong: int = 0
    #: Sent, and the connection ended or the time did before there was a whole answer.
    lost: int = 0
    #: Errors of the right kind, by status.
    failures: Counter[int] = field(default_factory=Counter)
    #: Connections that were refused, which no request was sent on.
    refused: int = 0
    #: The longest time between two right answers, in seconds.
    longest_gap_s: float = 0.0
    #: Some of what was wrong or lost.
    examples: list[str] = field(default_factory=list)
    #: Seconds from sending to the whole answer, of right answers.
    times_s: list[float] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def __str__(self) -> str:
        failures = ", ".join(f"{count} x {status}" for status, count in self.failures.items())
        return (
            f"{self.sent} sent, {self.answered} answered, {self.right} right, {self.wrong} wrong, {self.lost} lost, "
            f"failed: {failures or 'none'}; {self.refused} connections refused; longest gap {self.longest_gap_s:.2f} s"
        )

    def check(self, *, failures: int | None = None) -> None:
        """Nothing is lost, nothing is wrong; `failures`: how many may have failed at most."""
        problems = "\n".join(self.examples)
        assert self.sent == self.answered + self.lost, str(self)
        assert not self.lost and not self.wrong, f"{self}\n{problems}"
        assert failures is None or self.failed <= failures, f"{self}\n{problems}"

    def note(self, example: str) -> None:
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(example)


class Load:
    """Sends from a thread of its own until it is left or stopped. Each connection has one request at a time.

    `where`: a port of this machine, or the path of a Unix socket. `pause_s`: between an answer and the next request of
    a connection. `answer_timeout_s`: a request without an answer for so long is lost.
    """

    def __init__(
        self,
        where: int | str,
        targets: Sequence[Target],
        *,
        connections: int = 8,
        pause_s: float = 0.005,
        answer_timeout_s: float = 30.0,
    ) -> None:
        self.count = Count()
        self._where = where
        self._targets = targets
        self._connections = connections
        self._pause_s = pause_s
        self._answer_timeout_s = answer_timeout_s
        self._last_right_at = 0.0
        self._stops = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._problem: BaseException | None = None

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._last_right_at = time.monotonic()
        self._thread.start()

    def stop(self) -> Count:
        """Send no more; wait for the answers of what was sent. Raises what broke the load itself."""
        self._stops.set()
        self._thread.join(self._answer_timeout_s + 10)
        assert not self._thread.is_alive(), f"the load does not end: {self.count}"
        if self._problem is not None:
            raise self._problem
        return self.count

    def wait_for_right(self, count: int = 1, timeout_s: float = 30.0) -> float:
        """Until so many more right answers have come. Returns the seconds that it took."""
        begun = time.monotonic()
        with self._changed:
            wanted = self.count.right + count
            has_come = self._changed.wait_for(lambda: self.count.right >= wanted, timeout_s)
        assert has_come, f"no {count} right answers in {timeout_s} s: {self.count}"
        return time.monotonic() - begun

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as problem:
            self._problem = problem

    async def _send_all(self) -> None:
        targets = itertools.cycle(self._targets)
        await asyncio.gather(*(self._send(targets) for _ in range(self._connections)))

    async def _send(self, targets: Iterator[Target]) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._stops.is_set():
            if streams is None:
                try:
                    streams = await self._connect()
                except OSError:
                    self.count.refused += 1
                    await asyncio.sleep(_CONNECT_AGAIN_S)
                    continue
            if streams[0].at_eof():
                # The server ended it between two requests, which a client may see before it sends.
                streams[1].transport.abort()
                streams = None
                continue
            if _has_news(streams[1]):
                # Its end has come, and the loop has not read it yet: nobody has asked for anything.
                await asyncio.sleep(0)
                continue
            target = next(targets)
            if not await self._ask(*streams, target):
                streams[1].transport.abort()
                streams = None
            await asyncio.sleep(self._pause_s)
        if streams is not None:
            streams[1].transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._where, str):
            return await asyncio.open_unix_connection(self._where)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._where)
        try:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            # The server is gone again.
            writer.transport.abort()
            raise
        return reader, writer

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target
    ) -> bool:
        """One request and its answer. Returns whether the connection can take another."""
        token = f"token-{next(_tokens):08d}-"
        begun = time.monotonic()
        self.count.sent += 1
        try:
            writer.write(target.bytes_for(token))
            status, body, is_kept = await asyncio.wait_for(
                _read_answer(reader), self._answer_timeout_s
            )
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            self.count.lost += 1
            took_s = time.monotonic() - begun
            self.count.note(f"lost {token} to {target.path} after {took_s:.2f} s: {error!r}")
            return False
        self._judge(target, token, status, body, begun)
        return is_kept

    def _judge(self, target: Target, token: str, status: int, body: bytes, begun: float) -> None:
        count = self.count
        now = time.monotonic()
        count.answered += 1
        if target.is_right(status, body, token):
            count.longest_gap_s = max(count.longest_gap_s, now - self._last_right_at)
            self._last_right_at = now
            count.times_s.append(now - begun)
            with self._changed:
                count.right += 1
                self._changed.notify_all()
        elif _is_fair_failure(target, status, body):
            count.failures[status] += 1
        else:
            count.wrong += 1
            count.note(f"wrong answer to {token} of {target.path}: {status} {body[:300]!r}")


def _is_fair_failure(target: Target, status: int, body: bytes) -> bool:
    if b"token-" in body:
        # Content of another request, whatever the status.
        return False
    if target.fails_with is None:
        return status >= 400
    return status in target.fails_with and target.fails_with[status].encode() in body


def _has_news(writer: asyncio.StreamWriter) -> bool:
    """Return whether the system has something for the client."""
    number = writer.get_extra_info("socket").fileno()
    return number >= 0 and bool(select.select((number,), (), (), 0)[0])


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """(status, body, whether the connection stays). Raises EOFError, OSError, ValueError."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, status = head[0].split(" ", 2)[:2]
    if version != "HTTP/1.1":
        raise ValueError(f"not a status line: {head[0]!r}")
    headers = {}
    for line in head[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip().lower()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(headers["content-length"]))
    return int(status), body, headers.get("connection") != "close"
