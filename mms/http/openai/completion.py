"""What a model sends for a chat or a completion, as documents of OpenAI's API: chunks of a stream, or all of it."""

from __future__ import annotations

import codecs
import time
from typing import Any, Final

import orjson

from mms.core.request import Buffer

#: One of these makes an object that a model sends a part with more than text.
_TELLING: Final = frozenset(("choices", "delta", "finish_reason", "usage"))
#: The members that it may have.
_KNOWN: Final = _TELLING | {"index", "logprobs", "id", "object", "created", "model"}
#: Texts of these names are not to be joined when deltas are: each says the same again.
_ONCE: Final = frozenset(("role", "id", "type", "name"))


class Completion:
    """The answer to one request: its id and model, and what is known of it so far."""

    def __init__(self, request_id: str, model: str, *, is_chat: bool, has_usage: bool) -> None:
        """`has_usage`: a stream ends with the usage, if the model tells it."""
        self.is_chat = is_chat
        self.usage: dict[str, Any] | None = None
        #: Why each choice has ended, by its index; None: it has not.
        self.reasons: dict[int, str | None] = {}
        #: How many calls of tools each choice has, by its index.
        self._calls: dict[int, int] = {}
        self._has_usage = has_usage
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._head = {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{request_id}",
            "object": "",
            "created": int(time.time()),
            "model": model,
        }

    def __repr__(self) -> str:
        return f"<Completion {self._head['id']}>"

    def choices_of(self, part: Buffer) -> list[dict[str, Any]]:
        """Return what a part that the model sends adds, as choices of a chunk; notes its usage and reasons."""
        body = bytes(part)
        told = _object_of(body)
        if told is None:
            text = self._decoder.decode(body)
            choices = [{"delta": text}] if text else []
        else:
            if told.get("usage"):
                self.usage = told["usage"]
            if "choices" in told:
                choices = told["choices"]
            else:
                choices = [told] if told.keys() & {"delta", "finish_reason"} else []
        return [self._choice(choice) for choice in choices]

    def last_choices(self, *, is_cut: bool) -> list[dict[str, Any]]:
        """Return what ends the choices for which the model has told no end itself.

        `is_cut`: the deadline of the request has ended it.
        """
        reason = "length" if is_cut else "stop"
        rest = self._decoder.decode(b"", final=True)
        ends = [self._choice({"delta": rest})] if rest else []
        reasons = self.reasons or {0: None}
        return ends + [
            self._choice({"index": index, "finish_reason": reason})
            for index, known in list(reasons.items())
            if known is None
        ]

    def chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the document of a chunk."""
        kind = "chat.completion.chunk" if self.is_chat else "text_completion"
        return {**self._head, "object": kind, "choices": choices}

    def last_chunk(self) -> dict[str, Any] | None:
        """Return the chunk with the usage, if the client asks for it and the model has told it."""
        if not self._has_usage or self.usage is None:
            return None
        return {**self.chunk([]), "usage": self.usage}

    def whole(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the document of a whole answer."""
        kind = "chat.completion" if self.is_chat else "text_completion"
        found = {**self._head, "object": kind, "choices": choices}
        return found if self.usage is None else {**found, "usage": self.usage}

    def _choice(self, told: dict[str, Any]) -> dict[str, Any]:
        index = told.get("index") or 0
        reason = told.get("finish_reason")
        delta = told.get("delta", told.get("message", told.get("text")))
        is_first = index not in self.reasons
        self.reasons[index] = reason or self.reasons.get(index)
        choice = {
            "index": index,
            "logprobs": told.get("logprobs"),
            "finish_reason": reason,
        }
        if not self.is_chat:
            text = delta.get("content") if isinstance(delta, dict) else delta
            return {**choice, "text": text or ""}
        if not isinstance(delta, dict):
            delta = {"content": delta} if delta else {}
        if is_first:
            delta = {"role": "assistant", **delta}
        if isinstance(delta.get("tool_calls"), list):
            delta = {**delta, "tool_calls": self._numbered(index, delta["tool_calls"])}
        return {**choice, "delta": delta}

    def _numbered(self, choice: int, calls: list[Any]) -> list[Any]:
        """Return calls of tools with the places that clients put pieces together by.

        One without a place begins another call where it has an id or a name; otherwise it goes on with the last one.
        """
        found = []
        for call in calls:
            if isinstance(call, dict):
                count = self._calls.get(choice, 0)
                place = call.get("index")
                if type(place) is not int:
                    place = count if _begins_call(call) else max(count - 1, 0)
                self._calls[choice] = max(count, place + 1)
                call = {**call, "index": place}
            found.append(call)
        return found


def _begins_call(call: dict[str, Any]) -> bool:
    function = call.get("function")
    return bool(call.get("id") or (isinstance(function, dict) and function.get("name")))


class WholeCompletion:
    """Puts what a model sends together, as it comes."""

    def __init__(self, completion: Completion) -> None:
        #: Of the request, of `time.monotonic()`; 0: none.
        self.deadline = 0.0
        self._completion = completion
        self._choices: dict[int, dict[str, Any]] = {}

    def append(self, part: Buffer, /) -> None:
        self._add(self._completion.choices_of(part))

    def clear(self) -> None:
        self._choices.clear()

    def whole(self) -> bytes:
        """Return the document."""
        completion = self._completion
        is_cut = bool(self.deadline) and time.monotonic() >= self.deadline
        self._add(completion.last_choices(is_cut=is_cut))
        choices = []
        for _, choice in sorted(self._choices.items()):
            added = _finished(choice.pop("delta"))
            if not completion.is_chat:
                choices.append({**choice, "text": added.get("text", "")})
                continue
            added.setdefault("content", None if "tool_calls" in added else "")
            choices.append({**choice, "message": added})
        return orjson.dumps(completion.whole(choices))

    def _add(self, choices: list[dict[str, Any]]) -> None:
        for choice in choices:
            index = choice["index"]
            empty = {"index": index, "logprobs": None, "finish_reason": None, "delta": {}}
            known = self._choices.setdefault(index, empty)
            known["finish_reason"] = choice["finish_reason"] or known["finish_reason"]
            if isinstance(choice["logprobs"], dict):
                known["logprobs"] = known["logprobs"] or {}
                _merge(known["logprobs"], choice["logprobs"])
            _merge(known["delta"], choice.get("delta", {"text": choice.get("text")}))

    def __repr__(self) -> str:
        return f"<WholeCompletion of {self._completion!r}>"


class _Text(list[str]):
    """Texts that become one."""


def _merge(known: dict[str, Any], added: dict[str, Any]) -> None:
    for name, value in added.items():
        there = known.get(name)
        if isinstance(value, str) and name not in _ONCE:
            if not isinstance(there, _Text):
                there = known[name] = _Text()
            there.append(value)
        elif isinstance(value, list) and isinstance(there, list | dict | None):
            _merge_list(known, name, value)
        elif value is not None:
            known[name] = value


def _merge_list(known: dict[str, Any], name: str, value: list[Any]) -> None:
    """Calls of tools come in pieces, which say by `index` whose they are; other lists go on."""
    if not all(isinstance(each, dict) and isinstance(each.get("index"), int) for each in value):
        there = known.setdefault(name, [])
        if type(there) is list:
            there.extend(value)
        return
    pieces = known.setdefault(name, {})
    if not isinstance(pieces, dict):
        return
    for each in value:
        piece = pieces.setdefault(each["index"], {})
        for key, inner in each.items():
            if isinstance(inner, dict):
                _merge(piece.setdefault(key, {}), inner)
            elif key != "index":
                _merge(piece, {key: inner})


def _finished(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, dict):
        if value and all(isinstance(key, int) for key in value):
            return [_finished(each) for _, each in sorted(value.items())]
        return {key: _finished(each) for key, each in value.items()}
    return value


def _object_of(body: bytes) -> dict[str, Any] | None:
    """Return what a part says besides text; None where it is text."""
    if body[:1] != b"{":
        return None
    try:
        told = orjson.loads(body)
    except ValueError:
        return None
    if not isinstance(told, dict) or not told.keys() & _TELLING or told.keys() - _KNOWN:
        return None
    usage = told.get("usage")
    choices = told.get("choices", [])
    is_ours = isinstance(choices, list) and (usage is None or isinstance(usage, dict))
    if not is_ours or not all(isinstance(each, dict) and _is_choice(each) for each in choices):
        return None
    return told if _is_choice(told) else None


def _is_choice(told: dict[str, Any]) -> bool:
    index, reason = told.get("index"), told.get("finish_reason")
    deltas = [told.get(name) for name in ("delta", "message", "text")]
    return (
        (index is None or (type(index) is int and index >= 0))
        and (reason is None or isinstance(reason, str))
        and all(delta is None or isinstance(delta, str | dict) for delta in deltas)
    )
