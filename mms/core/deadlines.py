"""Requests that have waited for too long: past their deadline, or past what their model lets them wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mms.core.request import EXPIRED_QUEUED, Request
from mms.core.worker import Worker
from mms.errors import RequestTimeout

if TYPE_CHECKING:
    from mms.core.model import ModelVersion


def expire(model: ModelVersion, now: float) -> list[tuple[Worker, Request]]:
    """Fail the requests whose deadline has passed, and those that have waited for too long.

    Returns those that workers have, for their code to be told.
    """
    if model.config.max_queue_s:
        _shed(model, now - model.config.max_queue_s)
    if not model.deadline_at or now < model.deadline_at:
        return []
    earliest = 0.0
    expired = []
    running: list[tuple[Worker, Request]] = []
    for request in model.queue:
        if request.deadline and not request.is_done:
            if request.deadline <= now:
                expired.append(request)
            elif not earliest or request.deadline < earliest:
                earliest = request.deadline
    for request in expired:
        model.queue.remove(request)
        model.unanswered.expired_queued += 1
        request.fail(RequestTimeout(EXPIRED_QUEUED))
    for worker in model.workers:
        for batch in worker.in_flight:
            for request in batch.requests:
                if not request.deadline or request.is_done or request in worker.streams:
                    continue
                if request.deadline <= now:
                    running.append((worker, request))
                elif not earliest or request.deadline < earliest:
                    earliest = request.deadline
        for stream in worker.streams:
            request = stream.request
            if not request.deadline or request.is_done:
                continue
            if request.deadline <= now:
                running.append((worker, request))
            elif not earliest or request.deadline < earliest:
                earliest = request.deadline
    model.deadline_at = earliest
    for worker, request in running:
        model.unanswered.expired_running += 1
        its_stream = worker.streams.of(request)
        if its_stream is not None:
            if its_stream.has_begun:
                # What came in time is an answer.
                request.end_stream()
            its_stream.close()
        request.fail(RequestTimeout("The request's deadline passed while it was processed."))
    return running


def _shed(model: ModelVersion, since: float) -> None:
    """Refuse what was received before `since` and still waits; what was in a worker once is not refused."""
    for request in [r for r in model.queue if r.received_at < since and not r.deaths]:
        model.queue.remove(request)
        model.unanswered.shed += 1
        request.fail(model.unavailable())
