"""The batch of a model that makes a step for all its sequences at once; they join and leave it between steps.

Each sequence is an iterator to the pump, which asks it for a part when its turn comes. The first one that has none
makes the step, for all whose clients have taken what there was for them. So a client that takes nothing costs its own
sequence its steps, and no other one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from collections.abc import Sequence as Sequences
from functools import partial
from typing import Any

from mms.context import Context
from mms.worker.continuous.sequence import Sequence
from mms.worker.log_records.log_lines import write_log
from mms.worker.log_records.tracebacks import model_traceback
from mms.worker.streams.stream import NOT_NOW, LastChunk


class RunningBatch(ABC):
    """The sequences of one model, and when a step is made. Owned by the thread that runs batches."""

    def __init__(self, context: Context, places: int) -> None:
        self._context = context
        self._most = max(places, 1)
        self._joined: dict[Sequence, None] = {}

    def __repr__(self) -> str:
        return f"<RunningBatch of {len(self._joined)} sequences, {self._most} at most>"

    def handle(self, data: Sequences[Any], context: Context) -> list[Iterator[Any]]:
        """The entry point: return what the answer of each request comes from."""
        ids = context.request_ids or {}
        return [
            _Column(self, Sequence(request, ids[place], partial(self._admit, request)))
            for place, request in enumerate(data)
        ]

    # What kinds of models do in their own ways

    @abstractmethod
    def _admit(self, request: Any) -> Any:
        """Return the model's state of a request. Runs in the context of this request alone."""

    @abstractmethod
    def _step(self, active: list[Sequence]) -> Any:
        """Return a list with a part for each sequence; None: none in this step."""

    @abstractmethod
    def _retire(self, sequence: Sequence) -> None:
        """Let go of a sequence."""

    def _requests_of(self, active: list[Sequence]) -> tuple[Any, ...]:
        """Return what the context knows during a step, as `Context._exchange_batch` takes it, without metrics."""
        return ((), (), (), {}, [])

    # What the columns ask

    def take(self, sequence: Sequence) -> Any:
        """Return the next part of a sequence; None: none now, NOT_NOW: others have to leave first.

        Raises StopIteration, and why it has failed.
        """
        if not sequence.has_joined:
            if len(self._joined) >= self._most:
                self._let_ended_go()
            if len(self._joined) >= self._most:
                return NOT_NOW
            sequence.join()
            self._joined[sequence] = None
            # Others that have come with it are to be in its first step.
            return None
        if not sequence.has_parts and not sequence.is_ended:
            self._make_step()
        if sequence.has_parts:
            part, is_last = sequence.take()
            return LastChunk(part) if is_last else part
        if sequence.is_ended:
            # It is in no step any more that would do so.
            self._let_go(sequence)
            raise StopIteration if sequence.error is None else sequence.error
        return None

    def leave(self, sequence: Sequence) -> None:
        """It gets no further step."""
        sequence.is_ended = True
        if sequence.has_joined and not sequence.has_left:
            sequence.has_left = True
            self._joined.pop(sequence, None)
            self._retire(sequence)

    def _make_step(self) -> None:
        self._let_ended_go()
        active = [sequence for sequence in self._joined if not sequence.has_parts]
        context = self._context
        before = context._exchange_batch((*self._requests_of(active), context._own_metrics))
        send_chunk = context._send_chunk
        context._send_chunk = partial(_send, active)
        try:
            emitted = self._step(active)
            _check(emitted, len(active))
            for sequence, part in zip(active, emitted, strict=True):
                sequence.put(part)
        except SystemExit:
            raise
        except BaseException as error:
            for sequence in active:
                sequence.fail(error)
        finally:
            context._send_chunk = send_chunk
            # What is reported of metrics goes with the stream whose turn it is.
            context._exchange_batch((*before[:5], context._own_metrics))
        self._let_ended_go()

    def _let_ended_go(self) -> None:
        """The model's code may have ended others than those of its step, and at other times."""
        for sequence in [each for each in self._joined if each.is_ended]:
            self._let_go(sequence)

    def _let_go(self, sequence: Sequence) -> None:
        try:
            self.leave(sequence)
        except SystemExit:
            raise
        except BaseException as error:
            write_log(f"A sequence failed as it was retired:\n{model_traceback(error)}")


class _Column:
    """The parts of one sequence."""

    def __init__(self, batch: RunningBatch, sequence: Sequence) -> None:
        self._batch = batch
        self._sequence = sequence

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._batch.take(self._sequence)

    def close(self) -> None:
        self._batch.leave(self._sequence)


def _send(active: list[Sequence], part: Any, place: int) -> bool:
    """What `Context.send_chunk` does during a step."""
    if not 0 <= place < len(active):
        raise IndexError(f"there is no request {place} in this step")
    active[place].put(part)
    return True


def _check(emitted: Any, count: int) -> None:
    if not isinstance(emitted, list) or len(emitted) != count:
        came = f"a list of {len(emitted)}" if isinstance(emitted, list) else type(emitted).__name__
        raise TypeError(
            f"step has returned {came} for {count} sequences; a list with a part for each is right"
        )
