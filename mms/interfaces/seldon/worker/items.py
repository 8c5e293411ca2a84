"""Items of a batch -> requests to a Seldon component -> results, and the threads beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from mms.interfaces.seldon.components.component import Answer, Component, Request
from mms.interfaces.seldon.components.formats import JSON_HEADERS
from mms.interfaces.seldon.components.rows import RowJoiner
from mms.interfaces.seldon.errors import INTERNAL_ERROR, error_body
from mms.interfaces.seldon.series import Deployment
from mms.interfaces.seldon.unit import UnitNames
from mms.wire import PASSES_QUERY, GraphNode, Item, ModelOperation, ResultItem
from mms.wire.operation import NO_NODE
from mms.worker.loading.model import Tell
from mms.worker.log_records.log_lines import write_log
from mms.worker.log_records.running_traces import names_of_traces
from mms.worker.log_records.tracebacks import model_traceback, shown_error
from mms.worker.requests.answer_head import encode_headers, reason_phrase

_PREDICT = ModelOperation("predict")
_JSON_LINES = encode_headers(JSON_HEADERS)

_Action = Callable[[], object]


class SeldonItems:
    """Serves one component."""

    def __init__(
        self,
        component: Component,
        model_name: str,
        *,
        joins_rows: bool = False,
        service: _Action | None = None,
        keep: _Action | None = None,
        close: _Action | None = None,
        debug_errors: bool = False,
    ) -> None:
        """`service`: runs in a thread of its own. `keep`: called before the first batch, `close` after the last one.

        `debug_errors`: answers tell the exception of a hook with its file and line.
        """
        self._component = component
        self._model_name = model_name
        self._joiner = RowJoiner(component) if joins_rows else None
        self._service = service
        self._keep = keep
        self._close = close
        self._is_open = debug_errors

    def __repr__(self) -> str:
        return f"<SeldonItems of model {self._model_name}>"

    @property
    def is_ready(self) -> bool:
        return True

    def start(self, tell: Tell) -> None:
        if self._service is not None:
            threading.Thread(target=self._service, name="custom-service", daemon=True).start()
        if self._keep is not None:
            self._keep()

    def close(self) -> None:
        if self._close is not None:
            self._close()

    def take_series(self) -> list[dict[str, Any]]:
        return self._component.take_series()

    def serve_items(self, items: list[Item]) -> list[ResultItem]:
        if self._joiner is None:
            answer = self._component.answer
            return [
                self._result(index, item, answer(self._request(item)))
                for index, item in enumerate(items)
            ]
        answers = self._joiner.answer_all([self._request(item) for item in items])
        return [
            self._result(index, item, found)
            for index, (item, found) in enumerate(zip(items, answers, strict=True))
        ]

    def _result(self, index: int, item: Item, answer: Answer) -> ResultItem:
        status, headers, body, error = answer
        if error is not None:
            self._log(item[0], answer, error)
            if self._is_open and _is_unforeseen(answer, error):
                body = error_body(shown_error(error), INTERNAL_ERROR)
        lines = _JSON_LINES if headers is JSON_HEADERS else encode_headers(headers)
        return index, 0, status, reason_phrase(status), lines, body

    def _request(self, item: Item) -> Request:
        _, flags, content_type, query, block, _, body, operation = item
        if operation is None:
            operation = _PREDICT
        units = self._component.units
        return Request(
            operation.name,
            bytes(content_type),
            bytes(query) if flags & PASSES_QUERY else b"",
            body,
            units.own if operation.node is NO_NODE else units.find(_names_of(operation.node)),
            block,
        )

    def _log(self, request_id: bytes, answer: Answer, error: Exception) -> None:
        where = f"Model {self._model_name}: {request_id.decode('ascii', 'replace')}"
        if _is_unforeseen(answer, error):
            write_log(f"{where} failed:{names_of_traces()}\n{model_traceback(error)}")
            return
        info = str(getattr(error, "message", None) or error)
        line = info.replace("\r", "\\r").replace("\n", "\\n")
        write_log(f"{where} was answered with {answer.status}: {line}{names_of_traces()}\n")


def _names_of(node: GraphNode) -> UnitNames:
    deployment = Deployment(
        node.deployment or None, node.predictor or None, node.predictor_version or None
    )
    return UnitNames(node.name or None, node.image or None, deployment)


def _is_unforeseen(answer: Answer, error: Exception) -> bool:
    """Return whether it is no answer that a component has chosen, by an exception that is made for it."""
    return answer.status >= 500 and not hasattr(error, "to_dict")
