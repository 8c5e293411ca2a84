"""One process of a group: `torchrun ... -m mms.interfaces.torchserve.worker.group.rank`, never started by people."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Client, Connection
from typing import Any

from mms.interfaces.torchserve.worker.group.messages import (
    ADDRESS_VARIABLE,
    GroupAnswer,
    GroupBatch,
)
from mms.interfaces.torchserve.worker.handler_model import open_handler
from mms.service import PredictionException
from mms.wire import Load
from mms.worker.loading.model import Model
from mms.worker.log_records.tracebacks import model_traceback, refusal_text
from mms.worker.process.setup import enter_model, set_up
from mms.worker.running.awaiting import is_awaitable, wait_for


def main() -> int:
    set_up()
    connection = Client(os.environ.pop(ADDRESS_VARIABLE), family="AF_UNIX")
    connection.send(int(os.environ["RANK"]))
    load = Load.from_payload(connection.recv_bytes())
    try:
        enter_model(load.code_folders, load.packages)
        model = open_handler(load)
    except BaseException as error:
        # Of SystemExit, too: a handler that ends the process while it loads has failed to load.
        connection.send(_failure(error))
        return 1
    connection.send(GroupAnswer(metrics=tuple(model.context._taken_metrics())))
    try:
        _serve(connection, model)
    except (EOFError, OSError):
        # The worker is gone.
        return 0
    return 0


def _serve(connection: Connection, model: Model) -> None:
    while True:
        batch: GroupBatch = connection.recv()
        answer = _answer(model, batch)
        try:
            connection.send(answer)
        except (TypeError, AttributeError, ValueError) as error:
            # A result of a type that nothing can send to another process.
            connection.send(GroupAnswer(failure=f"{type(error).__name__}: {error}"))


def _answer(model: Model, batch: GroupBatch) -> GroupAnswer:
    context = model.context
    context._begin(batch.ids, batch.types, batch.blocks)
    try:
        values = model.entry_point(batch.data, context)
        if is_awaitable(values):
            values = wait_for(values)
    except Exception as error:
        return _failure(error)._replace(metrics=tuple(context._taken_metrics()))
    heads: list[tuple[Any, Any, dict[Any, Any]]] | None = None
    if context._has_processors():
        heads = [
            (
                processor.get_response_status_code(),
                processor.get_response_status_phrase(),
                processor.get_response_headers(),
            )
            for processor in context.request_processor or ()
        ]
    return GroupAnswer(values, heads, tuple(context._taken_metrics()))


def _failure(error: BaseException) -> GroupAnswer:
    if isinstance(error, PredictionException):
        text = refusal_text(error)
        return GroupAnswer(failure=text, kind="PredictionException", code=error.error_code)
    kind = "MemoryError" if isinstance(error, MemoryError) else ""
    return GroupAnswer(failure=model_traceback(error), kind=kind)


if __name__ == "__main__":
    sys.exit(main())
