"""Row batching: predictions on arrays that fit together become one call of `predict`, and its rows are shared out."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mms.interfaces.seldon.codec.forms import Form, Incoming, is_numeric
from mms.interfaces.seldon.components.component import Answer, Component, Request
from mms.interfaces.seldon.components.formats import MessageFormat
from mms.interfaces.seldon.components.results import Result

_log = logging.getLogger("mms.seldon")

_PREDICT = "predict"


class _Member(NamedTuple):
    """A decoded request. `place`: where it stands among those that came."""

    place: int
    request: Request
    messages: MessageFormat
    incoming: Incoming

    def success(self, body: bytes) -> Answer:
        return Answer(200, self.messages.headers, body)


class RowJoiner:
    """Answers many requests of one component.

    Arrays fit together if they are numeric, of one type and of equal shape beyond axis 0, with equal names, for the
    same unit, and with equal meta where `predict` takes it. `tags` and `metrics` are asked once for all of them.
    """

    def __init__(self, component: Component) -> None:
        self._component = component
        self._call = component.joinable_call
        if self._call is None:
            _log.warning(
                "row_batching has no effect: predict is given whole messages, or the headers or the Flask request "
                "of each one"
            )
        self._has_told = False

    def __repr__(self) -> str:
        return f"<RowJoiner of {self._component!r}>"

    def answer_all(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the answers in the order of the requests. Raises as `Component.answer`."""
        component = self._component
        if self._call is None or len(requests) < 2:
            return [component.answer(request) for request in requests]
        answers: dict[int, Answer] = {}
        groups: dict[Hashable, list[_Member]] = {}
        for index, request in enumerate(requests):
            if request.operation != _PREDICT:
                answers[index] = component.answer(request)
                continue
            messages = component.format_of(request)
            try:
                incoming = self._call.decode(messages, component.content_of(request))
            except MemoryError:
                raise
            except Exception as error:
                answers[index] = component.failure(request, error)
                continue
            member = _Member(index, request, messages, incoming)
            key = self._key(member)
            groups.setdefault(index if key is None else key, []).append(member)
        for members in groups.values():
            joined = self._answer_joined(members) if len(members) > 1 else None
            if joined is None:
                joined = [self._answer_one(member) for member in members]
            for member, answer in zip(members, joined, strict=True):
                answers[member.place] = answer
        return [answers[index] for index in range(len(requests))]

    def _key(self, member: _Member) -> Hashable:
        """Equal for what can be joined; None for what cannot."""
        assert self._call is not None
        value, names, meta, form, _ = member.incoming
        if form is Form.NONE or value.ndim == 0 or not is_numeric(value):
            return None
        if names is not None and (
            isinstance(names, str)
            or not isinstance(names, Sequence)
            or not all(isinstance(name, str) for name in names)
        ):
            return None
        return (
            value.dtype.str,
            value.shape[1:],
            None if names is None else tuple(names),
            repr(meta) if self._call.takes_meta else None,
            id(member.request.unit),
            member.messages.is_proto,
        )

    def _answer_one(self, member: _Member) -> Answer:
        assert self._call is not None
        try:
            unit = member.request.unit
            return member.success(
                self._call.answer_incoming(member.messages, member.incoming, unit)
            )
        except MemoryError:
            raise
        except Exception as error:
            return self._component.failure(member.request, error)

    def _answer_joined(self, members: list[_Member]) -> list[Answer] | None:
        """None where each has to be asked for itself."""
        assert self._call is not None
        value = np.concatenate([member.incoming.value for member in members])
        _, names, meta, _, _ = members[0].incoming
        try:
            result = self._call.run(value, names, meta)
        except MemoryError:
            raise
        except Exception:
            # Whose request it was shows when each is asked for itself.
            return None
        if not self._has_rows(result, len(value)):
            return None
        unit = members[0].request.unit
        try:
            collected = self._call.collect(value, result, unit)
        except Exception as error:
            return [self._component.failure(member.request, error) for member in members]
        answers = []
        start = 0
        for member in members:
            end = start + len(member.incoming.value)
            answers.append(
                self._answer_rows(member, result._replace(data=result.data[start:end]), collected)
            )
            start = end
        return answers

    def _has_rows(self, result: Result, count: int) -> bool:
        data = result.data
        is_rows = isinstance(data, list) or (isinstance(data, np.ndarray) and data.ndim > 0)
        if is_rows and len(data) == count:
            return True
        if not self._has_told:
            self._has_told = True
            what = f"{len(data)} rows" if is_rows else f"no rows, but {type(data).__name__},"
            _log.warning(
                "predict returned %s for %d rows; such requests are no longer joined, and "
                "predict is called for each of them",
                what,
                count,
            )
        return False

    def _answer_rows(self, member: _Member, rows: Result, collected: Any) -> Answer:
        assert self._call is not None
        incoming = member.incoming
        try:
            meta = collected.meta(incoming.meta, incoming.puid)
            return member.success(self._call.encode(member.messages, rows, incoming.form, meta))
        except Exception as error:
            return self._component.failure(member.request, error)
