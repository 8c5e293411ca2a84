"""The calls of a component, one for each operation: a message in, the answer's bytes out.

Hooks are asked in Seldon's order: legacy ones, raw ones, typed ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

from mms.interfaces.seldon.codec.array_answers import array_answer
from mms.interfaces.seldon.codec.payload import (
    ClassNames,
    Form,
    Incoming,
    check_json,
    decode_aggregate_json,
    decode_aggregate_proto_bytes,
    decode_json,
    decode_proto_bytes,
    dump_json,
    encode_json,
    encode_proto_bytes,
    merged_meta,
    messages_of_json,
)
from mms.interfaces.seldon.components.additions import Additions, Collected
from mms.interfaces.seldon.components.hooks import HOOK_NAMES, Kind, OwnHooks, RawHook
from mms.interfaces.seldon.components.input_checks import InputChecks
from mms.interfaces.seldon.components.raw_answers import json_answer, proto_answer
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
from mms.interfaces.seldon.errors import (
    SeldonMicroserviceException,
    SeldonNotImplementedError,
    is_not_implemented,
)
from mms.interfaces.seldon.unit import Unit


class Surroundings(NamedTuple):
    """What all calls of a component share."""

    hooks: OwnHooks
    additions: Additions
    class_names: ClassNames
    is_strict: bool
    headers: RequestHeaders
    #: Where requests are checked against what the metadata declare.
    inputs: InputChecks | None


#: Operations whose messages are a model's inputs.
_CHECKED: Final = ("predict", "transform-input", "transform-output", "route")


class Call(ABC):
    """One operation. Raises whatever the hooks raise, and SeldonMicroserviceException for wrong messages."""

    #: The message that a request is, by name.
    request_class: ClassVar = "SeldonMessage"

    def __init__(self, operation: str, surroundings: Surroundings) -> None:
        self.operation = operation
        self.hook_name = HOOK_NAMES[operation]
        self._hooks = surroundings.hooks
        self._additions = surroundings.additions
        self._class_names = surroundings.class_names
        self._is_strict = surroundings.is_strict
        self._headers = surroundings.headers
        self._inputs = surroundings.inputs if operation in _CHECKED else None
        self._raw_json = self._hooks.find_raw(self.hook_name, Kind.JSON)
        self._raw_proto = self._hooks.find_raw(self.hook_name, Kind.PROTO)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.operation}>"

    @property
    def has_raw(self) -> bool:
        """Whether whole messages are given to a hook."""
        return self._raw_json is not None or self._raw_proto is not None

    def find_hook(self) -> Hook | None:
        """The typed hook; one that takes the request's headers is given them."""
        hook = self._hooks.find(self.hook_name)
        return None if hook is None else with_headers(hook, self._headers.read)

    @abstractmethod
    def answer_json(self, content: Any, unit: Unit) -> tuple[int, bytes]:
        """(HTTP status, JSON) for decoded JSON."""

    @abstractmethod
    def answer_proto(self, body: bytes | bytearray, unit: Unit) -> bytes:
        """The serialized answer to a serialized message."""


class MessageCall(Call):
    """An operation whose messages are given to a legacy or raw hook as they came, else to the typed one."""

    def answer_json(self, content: Any, unit: Unit) -> tuple[int, bytes]:
        raw = self._raw_json
        if raw is not None:
            if self._inputs is not None:
                self.decode(content, False)
            try:
                returned = raw.call(self._raw_argument(raw, content))
            except Exception as error:
                if raw.is_legacy or not is_not_implemented(error):
                    raise
            else:
                noted = None if raw.is_legacy else self._additions
                return json_answer(returned, self.operation, noted, unit, self._is_strict)
        return 200, self._typed_json(content, unit)

    def _raw_argument(self, raw: RawHook, content: Any) -> Any:
        """Decoded JSON as a raw hook takes it: as it is, or as the message that its argument is annotated with.

        Raises SeldonMicroserviceException for what is no such message.
        """
        if raw.message_class is None or self._is_strict:
            return content
        from mms.interfaces.seldon.components.feedback import message_of_class

        if isinstance(content, list) and raw.message_class == "SeldonMessageList":
            content = {"seldonMessages": content}
        return message_of_class(content, raw.message_class)

    def answer_proto(self, body: bytes | bytearray, unit: Unit) -> bytes:
        raw = self._raw_proto
        if raw is not None:
            from mms.interfaces.seldon.codec.messages import CLASSES

            message = CLASSES[self.request_class].FromString(bytes(body))
            if self._inputs is not None:
                self.decode(body, True)
            try:
                returned = raw.call(message)
            except Exception as error:
                if raw.is_legacy or not is_not_implemented(error):
                    raise
            else:
                noted = None if raw.is_legacy else self._additions
                return proto_answer(
                    returned, raw.name, noted, self.operation, unit, self._is_strict
                )
        return self._typed_proto(body, unit)

    def decode(self, content: Any, is_proto: bool) -> Incoming:
        """What one message brings. Raises SeldonMicroserviceException, also where it is no input that is declared."""
        if is_proto:
            incoming = decode_proto_bytes(content, self._is_strict)
        else:
            incoming = decode_json(content, self._is_strict)
        if self._inputs is not None:
            self._inputs.check(incoming)
        return incoming

    @abstractmethod
    def _typed_json(self, content: Any, unit: Unit) -> bytes: ...

    @abstractmethod
    def _typed_proto(self, body: bytes | bytearray, unit: Unit) -> bytes: ...

    def _dump(self, result: Result, form: Form, meta: dict[str, Any]) -> bytes:
        data, names = result.data, result.class_names(self._class_names)
        if type(data) is np.ndarray:
            answer = array_answer(data, form, names, meta, self._is_strict)
            if answer is not None:
                return answer
        return dump_json(encode_json(data, form, names, meta), self._is_strict)

    def _serialize(self, result: Result, form: Form, meta: dict[str, Any]) -> bytes:
        names = result.class_names(self._class_names)
        return encode_proto_bytes(result.data, form, names, meta)


class DataCall(MessageCall):
    """`predict`, which answers an empty list where it is absent, and the transforms, which hand on what they get."""

    def __init__(self, operation: str, surroundings: Surroundings) -> None:
        super().__init__(operation, surroundings)
        hook = self.find_hook()
        self._hook = None if hook is None else data_call(hook, self.hook_name)
        #: Whether the hook is given the request's meta.
        self.takes_meta = hook is not None and takes_meta(hook)
        #: Whether it is given the request's headers.
        own = self._hooks.find(self.hook_name)
        self.takes_headers = own is not None and takes_headers(own)

    def collect(self, value: Any, result: Result, unit: Unit) -> Collected:
        """What goes with a result besides its data."""
        return self._additions.collect(self.operation, unit, value, result)

    def run(self, value: Any, names: Any, meta: Any) -> Result:
        hook = self._hook
        if hook is not None:
            try:
                return result_of(hook(value, names, meta))
            except Exception as error:
                if not is_not_implemented(error):
                    raise
        return Result([] if self.operation == "predict" else value, None, [], True)

    def encode(self, result: Result, form: Form, meta: dict[str, Any], is_proto: bool) -> bytes:
        refuse_none(result.data, self.hook_name, self._is_strict)
        if is_proto:
            return self._serialize(result, form, meta)
        return self._dump(result, form, meta)

    def answer(self, incoming: Incoming, unit: Unit, is_proto: bool) -> bytes:
        value, names, meta, form, puid = incoming
        result = self.run(value, names, meta)
        additions = self._additions.meta(self.operation, unit, value, result, meta, puid)
        return self.encode(result, form, additions, is_proto)

    def answer_undecoded(self, body: Any, unit: Unit) -> tuple[int, bytes]:
        """As `answer_json`, for a body that nobody has decoded; a raw hook's bytes and text are sent as they are."""
        raw = self._raw_json
        if raw is None:
            return 200, self._typed_json(body, unit)
        try:
            returned = raw.call(body)
        except Exception as error:
            if raw.is_legacy or not is_not_implemented(error):
                raise
            return 200, self._typed_json(body, unit)
        if isinstance(returned, str | bytes | bytearray):
            return 200, returned.encode() if isinstance(returned, str) else bytes(returned)
        noted = None if raw.is_legacy else self._additions
        return json_answer(returned, self.operation, noted, unit, self._is_strict)

    def _typed_json(self, content: Any, unit: Unit) -> bytes:
        return self.answer(self.decode(content, False), unit, False)

    def _typed_proto(self, body: bytes | bytearray, unit: Unit) -> bytes:
        return self.answer(self.decode(body, True), unit, True)


class RouteCall(MessageCall):
    """`route`: a branch's number. Of the request's meta its answer has the puid alone."""

    def __init__(self, operation: str, surroundings: Surroundings) -> None:
        super().__init__(operation, surroundings)
        hook = self.find_hook()
        self._hook = None if hook is None else data_call(hook, self.hook_name)

    def _typed_json(self, content: Any, unit: Unit) -> bytes:
        if self._hook is None:
            check_json(content, self._is_strict)
            raise absent_hook(self._hooks, "route")
        incoming = self.decode(content, False)
        branch, meta = self._run(incoming, unit)
        return self._dump(branch, incoming.form, meta)

    def _typed_proto(self, body: bytes | bytearray, unit: Unit) -> bytes:
        incoming = self.decode(body, True)
        branch, meta = self._run(incoming, unit)
        return self._serialize(branch, incoming.form, meta)

    def _run(self, incoming: Incoming, unit: Unit) -> tuple[Result, dict[str, Any]]:
        if self._hook is None:
            raise absent_hook(self._hooks, "route")
        result = result_of(self._hook(incoming.value, incoming.names, incoming.meta))
        branch = result.data
        if not self._is_strict and isinstance(branch, np.integer | np.bool_ | np.ndarray):
            # Of numpy's functions that choose, such as argmax.
            branch = branch.item() if branch.ndim == 0 else branch
        if not isinstance(branch, int):
            raise SeldonMicroserviceException(f"Routing response must be int but got {branch}")
        meta = self._additions.meta(
            self.operation, unit, incoming.value, result, None, incoming.puid
        )
        return result._replace(data=np.array([[branch]])), meta


class AggregateCall(MessageCall):
    """`aggregate`: many messages to one, in the form of the first."""

    request_class = "SeldonMessageList"

    def __init__(self, operation: str, surroundings: Surroundings) -> None:
        super().__init__(operation, surroundings)
        hook = self.find_hook()
        self._hook = None if hook is None else aggregate_call(hook)

    def _typed_json(self, content: Any, unit: Unit) -> bytes:
        if self._hook is None:
            for part in messages_of_json(content):
                check_json(part, self._is_strict)
            raise absent_hook(self._hooks, "aggregate")
        messages = decode_aggregate_json(content, self._is_strict)
        result, meta = self._run(messages, unit)
        return self._dump(result, messages[0].form, meta)

    def _typed_proto(self, body: bytes | bytearray, unit: Unit) -> bytes:
        messages = decode_aggregate_proto_bytes(body, self._is_strict)
        result, meta = self._run(messages, unit)
        return self._serialize(result, messages[0].form, meta)

    def _run(self, messages: list[Incoming], unit: Unit) -> tuple[Result, dict[str, Any]]:
        if self._hook is None:
            raise absent_hook(self._hooks, "aggregate")
        values = [message.value for message in messages]
        metas = [message.meta for message in messages]
        result = result_of(self._hook(values, [message.names for message in messages], metas))
        refuse_none(result.data, self.hook_name, self._is_strict)
        meta = self._additions.meta(
            self.operation, unit, values, result, merged_meta(metas), messages[0].puid
        )
        return result, meta


def absent_hook(hooks: OwnHooks, name: str) -> SeldonNotImplementedError:
    if hooks.has_base:
        return SeldonNotImplementedError(f"{name} is not implemented")
    return SeldonNotImplementedError(f"{name.capitalize()} not defined")
