"""Fakes that the tests of decisions share."""

from __future__ import annotations

from typing import Any

import pytest

from mms.core import (
    ModelConfig,
    ModelVersion,
    Pool,
    Request,
    SequencedVersion,
    Worker,
    WorkerState,
    recovery,
)
from mms.core.request import Buffer
from mms.core.sequences.rules import SequenceRules
from mms.core.streams.places import end_stream, open_stream
from mms.errors import ServerError


class FakeReply:
    """Keeps what requests were told, by request."""

    def __init__(self) -> None:
        self.answers: list[tuple[Request, int, bytes]] = []
        self.failures: list[tuple[Request, ServerError]] = []

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self.answers.append((request, status, bytes(body)))

    def fail(self, request: Request, error: ServerError) -> None:
        self.failures.append((request, error))

    def messages(self) -> list[str | None]:
        return [error.message for _, error in self.failures]


class Bench:
    """A model with ready workers, and requests for it."""

    def __init__(self, workers: int = 1, **config: object) -> None:
        self.reply = FakeReply()
        self.model = ModelVersion("m", None, ModelConfig(**config))  # type: ignore[arg-type]
        self.pool = Pool(self.model)
        self.made = 0
        started, _ = self.pool.scale(workers, workers)
        for worker in started:
            self.make_ready(worker)

    @property
    def workers(self) -> list[Worker]:
        return self.model.workers

    def make_ready(self, worker: Worker) -> None:
        worker.state = WorkerState.READY
        worker.link = object()
        worker.ready_at = 1.0

    def request(self, now: float = 0.0, deadline: float = 0.0) -> Request:
        self.made += 1
        return Request(
            id=b"%036d" % self.made,
            name="m",
            version=None,
            passes_query=False,
            content_type=b"",
            query=b"",
            headers=b"",
            body=b"x",
            reply=self.reply,
            received_at=now,
            deadline=deadline,
        )

    def enqueue(self, count: int, now: float = 0.0) -> list[Request]:
        requests = [self.request(now) for _ in range(count)]
        for request in requests:
            self.model.enqueue(request)
        return requests

    def dispatch(self, now: float = 0.0) -> list[tuple[int, int]]:
        """Sends as (index of the worker, size of the batch)."""
        return [
            (self.workers.index(worker), len(batch.requests))
            for worker, batch in self.model.dispatch(now)
        ]

    def finish(self, worker: Worker, took_s: float = 0.01, now: float = 0.0) -> None:
        """The worker answers the batch at its head."""
        for request in worker.in_flight[0].requests:
            request.answer(200, b"", b"", b"OK")
        self.model.finish_head(worker, took_s, True, now)

    def crash(self, worker: Worker, now: float = 0.0) -> None:
        """The worker's process ends unasked."""
        worker.state = WorkerState.BACKOFF
        worker.link = None
        recovery.lose_worker(self.model, worker, now)


class SequenceBench(Bench):
    """A model with sequences."""

    def __init__(self, workers: int = 1, batch_size: int = 4, **rules: Any) -> None:
        super().__init__(0)
        config = ModelConfig(
            batch_size=batch_size,
            batch_policy=rules.pop("policy", "adaptive"),
            has_retry=False,
            sequences=SequenceRules(**{"most_waiting": 9, **rules}),
        )
        self.model: SequencedVersion = SequencedVersion("m", None, config)
        self.pool = Pool(self.model)
        started, _ = self.pool.scale(workers, workers)
        for worker in started:
            self.make_ready(worker)

    def ask(self, id: str = "", now: float = 0.0, headers: bytes = b"") -> Request:
        """Send a request of a sequence."""
        request = self.request(now)
        lines = [b"Ts_Request_Sequence_Id", id.encode()] if id else []
        request.head.headers = b"\n".join([*lines, *([headers] if headers else [])])
        self.model.enqueue(request)
        return request

    def sent(self, now: float = 0.0) -> list[tuple[int, list[Request]]]:
        """Send what can go, as (index of the worker, its requests)."""
        return [
            (self.workers.index(worker), batch.requests)
            for worker, batch in self.model.dispatch(now)
        ]

    def answer(self, worker: Worker, now: float = 0.0, headers: bytes = b"") -> None:
        for request in worker.in_flight[0].requests:
            request.answer(200, b"", headers, b"OK")
        self.model.finish_head(worker, 0.01, True, now)

    def stream(self, worker: Worker, *requests: Request) -> None:
        """The batch at the head goes on as streams of these requests."""
        for request in requests:
            self.made += 1
            open_stream(self.model, worker, self.made, request, 0.0, lambda number, more: None)
        self.model.finish_head(worker, 0.01, True, 0.0)

    def end_streams(self, worker: Worker, *requests: Request) -> None:
        for request in requests:
            stream = worker.streams.of(request)
            assert stream is not None
            end_stream(self.model, worker, stream)
            request.answer(200, b"", b"", b"OK")


@pytest.fixture
def sequences() -> type[SequenceBench]:
    return SequenceBench


@pytest.fixture
def bench() -> type[Bench]:
    return Bench
