"""The calls of a component, one for each operation: a message in, the answer's bytes out, in either format.

Hooks are asked in Seldon's order: legacy ones, raw ones, typed ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

from mms.interfaces.seldon.codec.forms import ClassNames, Form, Incoming
from mms.interfaces.seldon.codec.json_text import load_json
from mms.interfaces.seldon.components.formats import MessageFormat
from mms.interfaces.seldon.components.hooks import (
    HOOK_NAMES,
    NOT_IMPLEMENTED,
    OwnHooks,
    RawHook,
    ask,
)
from mms.interfaces.seldon.components.input_checks import InputChecks
from mms.interfaces.seldon.components.request_headers import RequestHeaders
from mms.interfaces.seldon.components.results import Result, refuse_none, result_of
from mms.interfaces.seldon.components.signatures import (
    Hook,
    aggregate_call,
    data_call,
    takes_headers,
    takes_meta,
    with_headers,
)
from mms.interfaces.seldon.components.tags_and_metrics import Collected, TagsAndMetrics
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.interfaces.seldon.meta import merged_meta
from mms.interfaces.seldon.unit import Unit


class CallParts(NamedTuple):
    """What all calls of a component share."""

    hooks: OwnHooks
    extras: TagsAndMetrics
    class_names: ClassNames
    is_strict: bool
    headers: RequestHeaders
    #: Where requests are checked against what the metadata declare.
    inputs: InputChecks | None


#: Operations whose messages are a model's inputs.
_CHECKED: Final = ("predict", "transform-input", "transform-output", "route")


class Call(ABC):
    """One operation. Raises whatever the hooks raise, and SeldonMicroserviceException for wrong messages."""

    #: Whether its requests are messages.
    takes_message: ClassVar = True

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.operation}>"

    @abstractmethod
    def answer(self, messages: MessageFormat, content: Any, unit: Unit) -> tuple[int, bytes]:
        """Return (HTTP status, the answer in the format). `content`: decoded JSON, or a serialized message."""


class HookCall(Call):
    """An operation of a hook, which may have a raw or legacy form for whole messages."""

    #: The message that a request is, by name.
    request_class: ClassVar = "SeldonMessage"

    def __init__(self, operation: str, parts: CallParts) -> None:
        super().__init__(operation)
        self.hook_name = HOOK_NAMES[operation]
        self._hooks, self._extras, self._class_names, self._is_strict, headers, inputs = parts
        self._inputs = inputs if operation in _CHECKED else None
        #: By whether messages are protobuf's.
        self._raw = [self._hooks.find_raw(self.hook_name, is_proto) for is_proto in (False, True)]
        hook = self._hooks.find(self.hook_name)
        #: Whether the typed hook is given the request's headers.
        self.takes_headers = hook is not None and takes_headers(hook)
        self._typed_hook: Hook | None = None if hook is None else with_headers(hook, headers.read)

    @property
    def has_raw(self) -> bool:
        """Whether whole messages are given to a hook."""
        return any(raw is not None for raw in self._raw)


class MessageCall(HookCall):
    """An operation whose messages are given to a legacy or raw hook as they came, else to the typed one."""

    def answer(self, messages: MessageFormat, content: Any, unit: Unit) -> tuple[int, bytes]:
        raw = self._raw[messages.is_proto]
        if raw is not None:
            argument = messages.raw_argument(content, raw, self.request_class)
            if self._inputs is not None:
                self.decode(messages, content)
            returned = raw.ask(argument)
            if returned is not NOT_IMPLEMENTED:
                return self._raw_answer(messages, raw, returned, unit)
        return 200, self._typed(messages, content, unit)

    def _raw_answer(
        self, messages: MessageFormat, raw: RawHook, returned: Any, unit: Unit
    ) -> tuple[int, bytes]:
        noted = None if raw.is_legacy else self._extras
        return messages.raw_answer(returned, raw.name, self.operation, noted, unit)

    def decode(self, messages: MessageFormat, content: Any) -> Incoming:
        """Return what a message brings. Raises SeldonMicroserviceException, also where no declared input fits."""
        incoming = messages.decode(content)
        if self._inputs is not None:
            self._inputs.check(incoming)
        return incoming

    @abstractmethod
    def _typed(self, messages: MessageFormat, content: Any, unit: Unit) -> bytes:
        """Return the answer of the typed hook."""

    def _encode(
        self, messages: MessageFormat, result: Result, form: Form, meta: dict[str, Any]
    ) -> bytes:
        return messages.encode(result.data, form, result.class_names(self._class_names), meta)


class DataCall(MessageCall):
    """`predict`, which answers an empty list where it is absent, and the transforms, which hand on what they get."""

    def __init__(self, operation: str, parts: CallParts) -> None:
        super().__init__(operation, parts)
        hook = self._typed_hook
        self._hook = None if hook is None else data_call(hook, self.hook_name)
        #: Whether the hook is given the request's meta.
        self.takes_meta = hook is not None and takes_meta(hook)

    def collect(self, value: Any, result: Result, unit: Unit) -> Collected:
        """Return what goes with a result besides its data."""
        return self._extras.collect(self.operation, unit, value, result)

    def run(self, value: Any, names: Any, meta: Any) -> Result:
        returned = NOT_IMPLEMENTED
        if self._hook is not None:
            returned = ask(self._hook, value, names, meta)
        if returned is NOT_IMPLEMENTED:
            return Result([] if self.operation == "predict" else value, None, [], True)
        return result_of(returned)

    def encode(
        self, messages: MessageFormat, result: Result, form: Form, meta: dict[str, Any]
    ) -> bytes:
        refuse_none(result.data, self.hook_name, self._is_strict)
        return self._encode(messages, result, form, meta)

    def answer_incoming(self, messages: MessageFormat, incoming: Incoming, unit: Unit) -> bytes:
        value, names, meta, form, puid = incoming
        result = self.run(value, names, meta)
        extras = self._extras.meta(self.operation, unit, value, result, meta, puid)
        return self.encode(messages, result, form, extras)

    def predict_value(
        self, value: Any, names: Any, unit: Unit, messages: MessageFormat
    ) -> tuple[Any, dict[str, Any]]:
        """Return (result, tags) for a value that came in no message. `messages`: of hooks that take whole ones."""
        incoming = Incoming(value, names, None, Form.TENSOR, None)
        if self._inputs is not None:
            self._inputs.check(incoming)
        if self._raw[messages.is_proto] is not None:
            sent = messages.encode(value, Form.TENSOR, lambda: names or None, {})
            _, answer = self.answer(messages, load_json(sent), unit)
            content = load_json(answer)
            meta = content.get("meta") if isinstance(content, dict) else None
            return messages.decode(content).value, (meta or {}).get("tags") or {}
        result = self.run(value, names, None)
        refuse_none(result.data, self.hook_name, self._is_strict)
        collected = self.collect(value, result, unit)
        return result.data, {**(collected.tags or {}), **(collected.runtime_tags or {})}

    def answer_undecoded(self, messages: MessageFormat, body: Any, unit: Unit) -> tuple[int, bytes]:
        """Answer a body that nobody has decoded; a raw hook's bytes and text are sent as they are."""
        raw = self._raw[messages.is_proto]
        returned = NOT_IMPLEMENTED if raw is None else raw.ask(body)
        if raw is None or returned is NOT_IMPLEMENTED:
            return 200, self._typed(messages, body, unit)
        if isinstance(returned, str | bytes | bytearray):
            return 200, returned.encode() if isinstance(returned, str) else bytes(returned)
        return self._raw_answer(messages, raw, returned, unit)

    def _typed(self, messages: MessageFormat, content: Any, unit: Unit) -> bytes:
        return self.answer_incoming(messages, self.decode(messages, content), unit)


class RouteCall(MessageCall):
    """`route`: a branch's number. Of the request's meta its answer has the puid alone."""

    def __init__(self, operation: str, parts: CallParts) -> None:
        super().__init__(operation, parts)
        hook = self._typed_hook
        self._hook = None if hook is None else data_call(hook, self.hook_name)

    def _typed(self, messages: MessageFormat, content: Any, unit: Unit) -> bytes:
        if self._hook is None:
            messages.check(content)
            raise self._hooks.absent(self.hook_name)
        value, names, request_meta, form, puid = self.decode(messages, content)
        result = result_of(self._hook(value, names, request_meta))
        branch = result.data
        if not self._is_strict and isinstance(branch, np.integer | np.bool_ | np.ndarray):
            # Of numpy's functions that choose, such as argmax.
            branch = branch.item() if branch.ndim == 0 else branch
        if not isinstance(branch, int):
            raise SeldonMicroserviceException(f"Routing response must be int but got {branch}")
        meta = self._extras.meta(self.operation, unit, value, result, None, puid)
        return self._encode(messages, result._replace(data=np.array([[branch]])), form, meta)


class AggregateCall(MessageCall):
    """`aggregate`: many messages to one, in the form of the first."""

    request_class = "SeldonMessageList"

    def __init__(self, operation: str, parts: CallParts) -> None:
        super().__init__(operation, parts)
        hook = self._typed_hook
        self._hook = None if hook is None else aggregate_call(hook)

    def _typed(self, messages: MessageFormat, content: Any, unit: Unit) -> bytes:
        if self._hook is None:
            messages.check_all(content)
            raise self._hooks.absent(self.hook_name)
        parts = messages.decode_all(content)
        values = [part.value for part in parts]
        metas = [part.meta for part in parts]
        result = result_of(self._hook(values, [part.names for part in parts], metas))
        refuse_none(result.data, self.hook_name, self._is_strict)
        first = parts[0]
        meta = self._extras.meta(
            self.operation, unit, values, result, merged_meta(metas), first.puid
        )
        return self._encode(messages, result, first.form, meta)
