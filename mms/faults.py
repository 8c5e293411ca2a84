"""Exceptions that nothing foresaw: logged with their traceback, counted, and kept to what they came from."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("mms.faults")

_Callback = TypeVar("_Callback", bound="Callable[..., Any]")


class Place(NamedTuple):
    """Where an exception came from. `where`: a step, such as `dispatch`; the model is empty where none is concerned."""

    model: str
    version: str
    where: str


_counts: Counter[Place] = Counter()


def note(
    where: str,
    error: BaseException,
    model: str = "",
    version: str | None = None,
    *,
    request_ids: Sequence[bytes] = (),
) -> None:
    """Log an exception with its traceback and count it. `request_ids`: whose requests it failed."""
    _counts[Place(model, version or "", where)] += 1
    of_model = f" of model {model}" if model else ""
    failed = b", ".join(request_ids).decode("ascii", "replace")
    requests = f"; failed requests: {failed}" if failed else ""
    logger.error("Unexpected error in %s%s%s", where, of_model, requests, exc_info=error)


@contextmanager
def contained(where: str, model: str = "", version: str | None = None) -> Iterator[None]:
    """Let no exception out of the block: it is noted instead."""
    try:
        yield
    except Exception as error:
        note(where, error, model, version)


def ends_connection(callback: _Callback) -> _Callback:
    """A method of a connection that its transport, a timer or another connection calls.

    What it raises ends that connection, which has `abort`: the event loop would log it and leave the client waiting.
    """
    is_begin = callback.__name__ == "connection_made"
    is_end = callback.__name__ == "connection_lost"

    @functools.wraps(callback)
    def call(connection: Any, *arguments: Any) -> Any:
        try:
            return callback(connection, *arguments)
        except Exception as error:
            note("connection", error)
            with contained("connection"):
                if is_end:
                    # Nothing calls it again, and what it left undone would stay for ever.
                    callback(connection, *arguments)
                else:
                    (arguments[0] if is_begin else connection).abort()
        return None

    return cast(_Callback, call)


def counts() -> dict[Place, int]:
    """How many there were so far, by place."""
    return dict(_counts)


def on_loop_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The event loop's handler: what came out of a callback or a task of nobody's is counted, too."""
    error = context.get("exception")
    if error is None:
        loop.default_exception_handler(context)
    else:
        logger.error("%s", context.get("message"))
        note("event loop", error)
