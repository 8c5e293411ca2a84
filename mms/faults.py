"""Exceptions that nothing foresaw: logged with their traceback, counted, and kept to what they came from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("mms.faults")


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
