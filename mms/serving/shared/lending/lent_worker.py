"""One worker that this front is to another one: its connections, and the requests that came by them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from mms import faults
from mms.core import Request
from mms.core.request import Buffer
from mms.errors import ModelNotFound, ServerError, UnexpectedError
from mms.launch.connection import WORKER_ROLES
from mms.launch.nodes.assignment import Assignment, boot_id
from mms.launch.nodes.authority import Identity, worker_context
from mms.launch.nodes.relay import Route
from mms.serving.served import PooledModel
from mms.serving.shared.lending.connection import WorkerSide
from mms.serving.shared.lending.replies import ItemReply, LentBatch, PartsReply
from mms.wire import (
    BATCH,
    CANCEL,
    DRAIN,
    HEARTBEAT,
    HELLO,
    LOAD,
    LOADED,
    PASSES_QUERY,
    ROLE_WORK,
    Cancel,
    Hello,
    Loaded,
    decode_batch,
    encode_frame,
)
from mms.wire.frames import CREDIT
from mms.wire.streams import decode_credit


class Lender(Protocol):
    """Takes requests of other fronts; the model host."""

    def submit_nested(self, request: Request) -> None:
        """Take a request. Raises ModelNotFound and what else keeps it from being answered."""

    def cancel(self, request: Request) -> None: ...

    def dispatch_due(self) -> None: ...


class LentWorker:
    """The connections to one borrower, and its requests that are under way."""

    def __init__(self, lender: Lender, served: PooledModel) -> None:
        self._lender = lender
        self._served = served
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connections: dict[str, WorkerSide] = {}
        self._batches: list[LentBatch] = []
        self._requests: dict[bytes, Request] = {}
        self.streams: dict[int, PartsReply] = {}
        self.answered_at = 0.0
        self.numbers: Iterator[int] = itertools.count(1)
        self._is_draining = False

    def __repr__(self) -> str:
        return f"<LentWorker of {self._served.full_name}, {len(self._batches)} batches>"

    async def dial(self, assignment: Assignment) -> None:
        """Open a worker's connections. Raises OSError, and TimeoutError of asyncio."""
        a = assignment
        for role in WORKER_ROLES:
            connection = WorkerSide(partial(self._take, role), self._on_lost)
            hello = encode_frame(HELLO, 0, Hello(a.secret, role).to_payload())
            make = partial(_itself, connection)
            if a.local_socket and a.boot_id and a.boot_id == boot_id():
                loop = asyncio.get_running_loop()
                await loop.create_unix_connection(make, a.local_socket)
            else:
                context = worker_context(a.authority, Identity(a.certificate, a.key))
                route = Route(a.host, a.port, context, a.front_name, a.silence_s)
                await route.dial(make)
            connection.write(hello)
            self._connections[role] = connection

    def close(self) -> None:
        """End the connections, and what was sent by them."""
        for connection in self._connections.values():
            connection.abort()
        for request in list(self._requests.values()):
            self._lender.cancel(request)
        self._requests.clear()
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            stream.on_credit(0)

    def _on_lost(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def _take(self, role: str, kind: int, sequence: int, payload: Any, bodies: Any) -> None:
        """Take a frame. Raises ProtocolError."""
        if kind == BATCH:
            self._take_batch(sequence, payload, bodies)
        elif kind == LOAD:
            loaded = Loaded(200, interface=self._served.interface)
            self._write(encode_frame(LOADED, sequence, loaded.to_payload()))
        elif kind == HEARTBEAT:
            self._connections[role].write(encode_frame(HEARTBEAT, sequence))
        elif kind == CANCEL:
            for request_id in Cancel.from_payload(payload).request_ids:
                request = self._requests.get(request_id.encode("ascii", "replace"))
                if request is not None:
                    self._lender.cancel(request)
                    self._note_done(request)
        elif kind == CREDIT:
            for number, more in decode_credit(payload):
                stream = self.streams.get(number)
                if stream is not None:
                    stream.on_credit(more)
        elif kind == DRAIN:
            self._is_draining = True
            self._end_if_drained()

    def _write(self, frame: Buffer) -> None:
        connection = self._connections.get(ROLE_WORK)
        if connection is not None:
            connection.write(frame)

    def write_all(self, buffers: Iterable[Buffer]) -> None:
        for buffer in buffers:
            self._write(buffer)

    # Requests

    def _take_batch(self, sequence: int, payload: Any, bodies: Any) -> None:
        batch = LentBatch(self, sequence)
        self._batches.append(batch)
        now = time.monotonic()
        for index, item in enumerate(decode_batch(payload, bodies)):
            request_id, flags, content_type, query, headers, budget_ms, body, operation = item
            request = Request(
                id=bytes(request_id),
                name=self._served.name,
                version=self._served.version,
                passes_query=bool(flags & PASSES_QUERY),
                content_type=bytes(content_type),
                query=bytes(query),
                headers=bytes(headers),
                body=body,
                reply=ItemReply(batch, index),
                received_at=now,
                deadline=now + budget_ms / 1000 if budget_ms else 0.0,
                operation=operation,
            )
            batch.left += 1
            self._requests[request.id] = request
            try:
                self._lender.submit_nested(request)
            except ModelNotFound:
                # The borrower is to ask elsewhere, and tries what it has sent once more.
                self.close()
                return
            except ServerError as error:
                request.fail(error)
            except Exception as error:
                faults.note("lending", error, self._served.name, self._served.version)
                request.fail(UnexpectedError(request.id))
        batch.is_whole = True
        self._lender.dispatch_due()
        self.finish()

    def _note_done(self, request: Request) -> None:
        """A request has been cancelled: it has no answer, and its batch goes on."""
        reply = request.reply
        if isinstance(reply, PartsReply):
            reply.cut()
        elif isinstance(reply, ItemReply):
            reply.fail(request, UnexpectedError(request.id))

    def forget(self, request: Request) -> None:
        self._requests.pop(request.id, None)

    def finish(self) -> None:
        """Say of the batches that are answered that they are, in the order in which they have come."""
        while self._batches and self._batches[0].is_whole and not self._batches[0].left:
            self._batches.pop(0).end()
        self._end_if_drained()

    def is_first(self, batch: LentBatch) -> bool:
        return bool(self._batches) and self._batches[0] is batch

    def begin_next(self) -> None:
        if self._batches:
            self._batches[0].flush()

    def _end_if_drained(self) -> None:
        if self._is_draining and not self._batches and not self.streams:
            for connection in self._connections.values():
                connection.close()


def _itself(connection: WorkerSide) -> WorkerSide:
    return connection
