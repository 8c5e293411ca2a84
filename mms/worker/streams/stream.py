"""One stream of a worker: from an iterator, from an async iterator, or pushed while the entry point runs."""

from __future__ import annotations

import types
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mms.wire import FAILED, Buffer, ResultItem
from mms.wire.streams import BEGUN, END, WINDOW_BYTES, cost_of
from mms.worker.log_records.log_lines import write_log
from mms.worker.log_records.tracebacks import model_traceback
from mms.worker.streams.form import ChunkForm

if TYPE_CHECKING:
    import asyncio

#: How long all wait for a client that does not take what was made for it, in seconds.
MOST_WAIT_S: Final = 5.0

#: What an iterator yields whose next chunk has to wait for what becomes of other streams.
NOT_NOW: Final = object()


class LastChunk(NamedTuple):
    """What an iterator yields that knows that nothing comes behind it."""

    value: Any


class Stream:
    """Writes the items of one stream. Owned by the thread that runs batches."""

    def __init__(self, number: int, form: ChunkForm) -> None:
        self.number = number
        self.form = form
        #: What may be sent beyond what the client has taken, in bytes.
        self.credit = WINDOW_BYTES
        self.has_begun = False
        #: Its last item is made.
        self.is_ended = False
        #: Its next chunk has to wait for what becomes of others.
        self.is_held_up = False
        #: It stands in the line of those whose turn comes.
        self.is_in_line = False
        #: How long the model's code took for the last chunk, in nanoseconds.
        self.step_ns = 0
        #: How many steps in a row took next to no time.
        self.quick_steps = 0

    def __repr__(self) -> str:
        ended = " ended" if self.is_ended else ""
        return f"<{type(self).__name__} {self.number}, credit {self.credit}{ended}>"

    # What the pump does with it

    def step(self) -> ResultItem | None:
        """Have the model's code make the next item; None where it gave nothing to send. Raises SystemExit."""
        raise NotImplementedError

    def on_credit(self) -> None:
        """There is credit again."""

    def close(self) -> bool:
        """Nobody waits for it any more: it has no further items. End the code that makes it; return whether it has."""
        self.is_ended = True
        return True

    # Its items

    def item_of(self, value: Any, flags: int = 0) -> ResultItem:
        """Return the item of a value. One that cannot be written ends the stream as a failure."""
        try:
            body = self.form.body(value)
            return self.item(flags, body)
        except Exception as error:
            return self.failed(error)

    def item(self, flags: int, body: Buffer) -> ResultItem:
        """Raises what the head raises, where it is the first one."""
        status, phrase, headers = 0, b"", b""
        if not self.has_begun:
            status, phrase, headers = self.form.head()
            self.has_begun = True
            flags |= BEGUN
        if flags & END:
            self.is_ended = True
        self.credit -= cost_of(body)
        return self.number, flags, status, phrase, headers, body

    def end(self) -> ResultItem:
        """Return the item of a good end."""
        try:
            return self.item(END, b"")
        except Exception as error:
            return self.failed(error)

    def failed(self, error: BaseException) -> ResultItem:
        """Return the item of an end for what the code has raised."""
        self.is_ended = True
        status, message = self.form.failure(error)
        return self.number, FAILED, status, b"", b"", message


class IteratorStream(Stream):
    """Chunks of an iterator, mostly a generator. Its code runs on the thread that runs batches, between them."""

    def __init__(self, number: int, form: ChunkForm, iterator: Iterator[Any]) -> None:
        super().__init__(number, form)
        self._iterator = iterator

    def step(self) -> ResultItem | None:
        self.form.enter()
        try:
            try:
                value = next(self._iterator)
            except StopIteration:
                return self.end()
            except SystemExit:
                raise
            except BaseException as error:
                return self.failed(error)
            self.is_held_up = value is NOT_NOW
            return None if value is None or value is NOT_NOW else self._item_before_close(value)
        finally:
            self.form.leave()

    def _item_before_close(self, value: Any) -> ResultItem:
        if isinstance(value, LastChunk):
            item = self.item_of(value.value, END)
        else:
            item = self.item_of(value)
        if self.is_ended:
            self._close_iterator()
        return item

    def close(self) -> bool:
        self.is_ended = True
        self.form.enter()
        try:
            self._close_iterator()
        finally:
            self.form.leave()
        return True

    def comes_from(self, iterator: Any) -> bool:
        return self._iterator is iterator

    def _close_iterator(self) -> None:
        close = getattr(self._iterator, "close", None)
        try:
            if callable(close):
                close()
        except SystemExit:
            raise
        except BaseException as error:
            write_log(f"A generator failed as it was closed:\n{model_traceback(error)}")


class AsyncStream(Stream):
    """Chunks of an async iterator. A task of its own drives it, so that what it waits for holds up nobody else."""

    def __init__(
        self,
        number: int,
        form: ChunkForm,
        iterator: Any,
        loop: asyncio.AbstractEventLoop,
        put: Callable[[AsyncStream, ResultItem], None],
    ) -> None:
        """`put`: takes its items."""
        super().__init__(number, form)
        self._iterator = iterator
        self._put = put
        self._loop = loop
        #: Nobody waits for it; its code may not have ended yet.
        self.is_closed = False
        self._has_credit: asyncio.Future[None] | None = None
        self.task = loop.create_task(self._drive(), name=f"stream {number}")

    def on_credit(self) -> None:
        if self._has_credit is not None and not self._has_credit.done():
            self._has_credit.set_result(None)

    def close(self) -> bool:
        """The code ends at what it waits for, or later, where it does not want to."""
        self.is_ended = self.is_closed = True
        self.task.cancel()
        return False

    async def _drive(self) -> None:
        try:
            await self._send_all()
        finally:
            await self._close_iterator()

    async def _send_all(self) -> None:
        while not self.is_ended:
            while self.credit <= 0:
                self._has_credit = self._loop.create_future()
                await self._has_credit
            try:
                value = await _within(self.form, anext(self._iterator))
            except StopAsyncIteration:
                self._put_made(self.end)
                return
            except SystemExit:
                raise
            except BaseException as error:
                if self.is_closed:
                    raise
                self._put_made(partial(self.failed, error))
                return
            if value is not None and not self.is_closed:
                self._put_made(partial(self.item_of, value))

    def _put_made(self, make: Callable[[], ResultItem]) -> None:
        self.form.enter()
        try:
            item = make()
        finally:
            self.form.leave()
        self._put(self, item)

    async def _close_iterator(self) -> None:
        close = getattr(self._iterator, "aclose", None)
        if close is None:
            return
        try:
            await _within(self.form, close())
        except SystemExit:
            raise
        except BaseException as error:
            write_log(f"An async generator failed as it was closed:\n{model_traceback(error)}")


@types.coroutine
def _within(form: ChunkForm, awaitable: Any) -> Generator[Any, Any, Any]:
    """Await something, with the stream's own context while its code runs and others' while it waits."""
    steps = awaitable.__await__()
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        form.enter()
        try:
            if thrown is None:
                waited_for = steps.send(sent)
            else:
                error, thrown = thrown, None
                waited_for = steps.throw(error)
        except StopIteration as stop:
            return stop.value
        finally:
            form.leave()
        try:
            sent = yield waited_for
        except BaseException as error:
            thrown = error


class PushedStream(Stream):
    """Chunks that the model's code sends itself while its entry point runs."""
