"""Requests of one batch whose inputs go to `predict` together."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.model_server import answer_of, asked_for, resolved, validated
from mms.interfaces.mlrun.model.running import prepare, run_event

_ATTRIBUTE = "row_wise"
_HOOKS = ("preprocess", "validate", "predict", "postprocess")
_OPERATIONS = ("", "infer", "predict")
_TRUE_WORDS = ("true", "yes", "on", "1")


def is_row_wise(server: Any, choice: Any = None) -> bool:
    """Return whether a model has an output for each input: as asked for, else by its parameter or attribute.

    Never for a class that has not all the hooks, which answers events by a way of its own.
    """
    if not all(callable(getattr(server, hook, None)) for hook in _HOOKS):
        return False
    if choice is None:
        get_param = getattr(server, "get_param", None)
        choice = get_param(_ATTRIBUTE, None) if callable(get_param) else None
    if choice is None:
        choice = getattr(server, _ATTRIBUTE, False)
    if isinstance(choice, str):
        return choice.strip().lower() in _TRUE_WORDS
    return bool(choice)


class _RowRequest:
    """A request on its way. `error`: what stopped it."""

    __slots__ = (
        "began_ns",
        "error",
        "event",
        "id",
        "operation",
        "outputs",
        "request",
        "started_ns",
    )

    def __init__(self, event: Any) -> None:
        self.event = event
        self.error: Exception | None = None
        self.id: Any = event.id
        self.operation = ""
        self.request: Any = None
        self.outputs: Any = None
        self.started_ns = time.time_ns()
        self.began_ns = time.perf_counter_ns()


class RowJoiner:
    """Runs the requests of a batch through a model's hooks, with one call of `predict` for those that are alike.

    Alike are requests whose members besides `id` and `inputs` are the same after `preprocess` and `validate`. Where the
    joined call fails, each is predicted alone, so that the one at fault is the one that fails.
    """

    def __init__(
        self, server: Any, run: Any, context: GraphContext, content_type: str | None = None
    ) -> None:
        """`run`: for requests that are not joined; its `routed` reads their bodies.

        `content_type`: of bodies that come without one.
        """
        self._server = server
        self._run: Callable[[Any], Any] = run
        self._routed: Callable[[Any], Any] = run.routed
        self._context = context
        self._content_type = content_type
        self._has_paths = bool(
            getattr(server, "_input_path", None) or getattr(server, "_result_path", None)
        )
        self._is_off = False

    def __repr__(self) -> str:
        return f"<RowJoiner of {self._server!r}>"

    def run_all(self, events: Sequence[Any]) -> list[Any]:
        """Return a Response for each event."""
        context = self._context
        if self._is_off or self._has_paths or not self._server.ready:
            return [self._run_alone(event) for event in events]
        answers: list[Any] = []
        asked: list[tuple[int, _RowRequest]] = []
        for place, event in enumerate(events):
            answer = None
            if event.path.strip("/") in _OPERATIONS and event.method != "GET":
                one = _RowRequest(event)
                answer = self._accept(one)
                if answer is None:
                    asked.append((place, one))
            else:
                answer = self._run_alone(event)
            answers.append(answer)
        for group in _alike([one for _, one in asked if one.error is None]):
            self._predict_group(group)
        for place, one in asked:
            answers[place] = run_event(partial(self._finish, one), one.event, context)
        return answers

    def _run_alone(self, event: Any) -> Any:
        return run_event(self._run, event, self._context, default_content_type=self._content_type)

    def _accept(self, asked: _RowRequest) -> Any:
        """Have the hooks before `predict` see a request. Returns an answer where one is due already."""
        server, event = self._server, asked.event
        refusal = prepare(event, self._content_type)
        if refusal is not None:
            return refusal
        try:
            body = self._routed(event).body
            operation, asked.id = asked_for(event, body)
            asked.operation = operation or "infer"
            if asked.operation not in _OPERATIONS:
                return self._run_alone(event)
            request = resolved(server.preprocess(body, asked.operation))
            asked.request = validated(server, request, asked.operation)
        except Exception as error:
            asked.error = error
        return None

    def _predict_group(self, group: list[_RowRequest]) -> None:
        if len(group) > 1:
            request = {key: value for key, value in group[0].request.items() if key != "id"}
            count = sum(len(asked.request["inputs"]) for asked in group)
            try:
                request["inputs"] = _joined([asked.request["inputs"] for asked in group])
                outputs = resolved(self._server.predict(request))
            except MemoryError:
                raise
            except Exception as error:
                self._log(f"a joined predict failed, each request is tried alone: {error!r}")
            else:
                if _split(outputs, count, group):
                    return
                # For good: to predict everything twice would cost more than joining gains.
                self._is_off = True
                self._log(
                    f"row_wise is set, but predict gave no {count} outputs for {count} inputs; "
                    "requests are not joined any more"
                )
        for asked in group:
            try:
                asked.outputs = resolved(self._server.predict(asked.request))
            except MemoryError:
                raise
            except Exception as error:
                asked.error = error
                if isinstance(asked.request, dict):
                    asked.request["id"] = asked.id
                log = getattr(self._server, "_model_logger", None)
                if log is not None:
                    log.push_failure(asked.started_ns, asked.request, error, asked.operation)

    def _finish(self, asked: _RowRequest, event: Any) -> Any:
        """Return the event with its answer. Raises what stopped the request."""
        if asked.error is not None:
            raise asked.error
        server = self._server
        answer = answer_of(server, asked.outputs, asked.id, asked.started_ns)
        answer = resolved(server.postprocess(answer))
        log = getattr(server, "_model_logger", None)
        if log is not None:
            log.push_result(
                asked.started_ns, asked.began_ns, asked.request, answer, asked.operation
            )
        event.body = answer
        return event

    def _log(self, text: str) -> None:
        line = text.replace("\r", "\\r").replace("\n", "\\n")
        sys.stderr.write(f"Model {self._server.name}: {line}\n")


def _alike(asked: list[_RowRequest]) -> list[list[_RowRequest]]:
    """Return groups whose inputs can be joined, in the order of their first; what cannot be joined is alone."""
    groups: list[tuple[Any, list[_RowRequest]]] = []
    for one in asked:
        request = one.request
        others = None
        if isinstance(request, dict) and _is_list(request.get("inputs")):
            others = {key: request[key] for key in request if key not in ("id", "inputs")}
            found = next(
                (g for other, g in groups if other is not None and _same(other, others)), None
            )
            if found is not None and type(found[0].request["inputs"]) is type(request["inputs"]):
                found.append(one)
                continue
        groups.append((others, [one]))
    return [group for _, group in groups]


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    try:
        return bool(one == other)
    except ValueError:
        # Arrays, which do not say whether they are equal.
        return False


def _is_list(inputs: Any) -> bool:
    return isinstance(inputs, list) or (_is_array(inputs) and inputs.ndim > 0)


def _is_array(value: Any) -> bool:
    return hasattr(value, "ndim") and hasattr(value, "shape") and type(value).__module__ == "numpy"


def _joined(lists: list[Any]) -> Any:
    if _is_array(lists[0]):
        # Loaded by whoever made the arrays; no need of the worker's own.
        return sys.modules["numpy"].concatenate(lists)
    return [row for rows in lists for row in rows]


def _split(outputs: Any, count: int, group: list[_RowRequest]) -> bool:
    """Give each request its part of the outputs. Returns False where they are not one for each input."""
    if isinstance(outputs, dict):
        if not outputs or not all(_has_rows(value, count) for value in outputs.values()):
            return False
    elif not _has_rows(outputs, count):
        return False
    start = 0
    for asked in group:
        end = start + len(asked.request["inputs"])
        if isinstance(outputs, dict):
            asked.outputs = {key: value[start:end] for key, value in outputs.items()}
        else:
            asked.outputs = outputs[start:end]
        start = end
    return True


def _has_rows(value: Any, count: int) -> bool:
    return (isinstance(value, list | tuple) or (_is_array(value) and value.ndim > 0)) and len(
        value
    ) == count
