"""Fakes that the tests of decisions share."""

from __future__ import annotations

import pytest

from mms.core import ModelConfig, ModelVersion, Pool, Request, Worker, WorkerState, recovery
from mms.core.request import Buffer
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


@pytest.fixture
def bench() -> type[Bench]:
    return Bench
