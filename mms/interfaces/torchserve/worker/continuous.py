"""TorchServe's continuous batching: a handler that is called for all running requests, until it says that one ends."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

from mms.interfaces.torchserve.context import Context
from mms.interfaces.torchserve.sent_values import part_of
from mms.worker.continuous.running_batch import RunningBatch
from mms.worker.continuous.sequence import Sequence
from mms.worker.running.awaiting import is_awaitable, wait_for

#: Its key in `model-config.yaml`.
KEY = "continuousBatching"


class _Known(NamedTuple):
    """What the handler may ask its context of a request."""

    id: bytes
    types: Any
    block: Any
    processor: Any


class ContinuousBatch(RunningBatch):
    """The running batch of a handler.

    Each call has the data of requests that are new to the handler, and `{}` for those that it has seen before, whose
    state it keeps in `context.cache` by their ids. `context.stopping_criteria` has a function for each request of the
    call; it takes what the handler has returned for it and returns False where more is to come.
    """

    def __init__(self, entry_point: Callable[..., Any], context: Context, places: int) -> None:
        super().__init__(context, places)
        self._entry_point = entry_point
        self._handler_context = context
        self._seen: set[Sequence] = set()

    def _admit(self, request: Any) -> _Known:
        context = self._handler_context
        (known_id,), (types,), (block,) = context._ids, context._types, context._blocks
        processors = context.request_processor
        assert processors is not None
        return _Known(known_id, types, block, processors[0])

    def _requests_of(self, active: list[Sequence]) -> tuple[Any, ...]:
        known = [sequence.state for sequence in active]
        return (
            [each.id for each in known],
            [each.types for each in known],
            [each.block for each in known],
            {place: sequence.id for place, sequence in enumerate(active)},
            self._handler_context._processors_of([each.processor for each in known]),
        )

    def _step(self, active: list[Sequence]) -> Any:
        context = self._handler_context
        data = [{} if sequence in self._seen else sequence.request for sequence in active]
        self._seen.update(active)
        values = self._entry_point(data, context)
        if is_awaitable(values):
            values = wait_for(values)
        if not isinstance(values, list) or len(values) != len(active):
            # The running batch says what is wrong with it.
            return values
        criteria = context.stopping_criteria
        if criteria and len(criteria) != len(active):
            raise TypeError(
                f"context.stopping_criteria has {len(criteria)} functions for {len(active)} requests"
            )
        for place, (sequence, value) in enumerate(zip(active, values, strict=True)):
            is_complete = criteria[place](value) if criteria else True
            # None, too, ends it: TorchServe answers it as any other request.
            if is_complete is None or is_complete:
                sequence.end()
        return [part_of(value) for value in values]

    def _retire(self, sequence: Sequence) -> None:
        self._seen.discard(sequence)
        cache = getattr(self._handler_context, "cache", None)
        if isinstance(cache, MutableMapping):
            # The handler has not heard of a client that has gone.
            cache.pop(sequence.id, None)
