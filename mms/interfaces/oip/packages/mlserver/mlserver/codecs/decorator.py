"""`@decode_args`: a `predict` whose arguments are a request's inputs, each by the codec of its annotation."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from ..types import InferenceRequest, InferenceResponse, ResponseOutput
from .base import InputCodec, find_input_codec, find_request_codec
from .errors import CodecNotFound, InputsNotFound, OutputNotFound


def decode_args(predict: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `predict`. Raises CodecNotFound for an annotation that no codec has."""
    hints = {name: _plain(hint) for name, hint in typing.get_type_hints(predict).items()}
    returned = hints.pop("return", None)
    codecs = {name: _codec(name, hint, is_input=True) for name, hint in hints.items()}
    if returned is None:
        parts: list[Any] = []
    else:
        is_tuple = typing.get_origin(returned) is tuple
        parts = list(typing.get_args(returned)) if is_tuple else [returned]
    encoders = [_codec(None, hint, is_input=False) for hint in parts]

    @functools.wraps(predict)
    async def decoded(self: Any, request: InferenceRequest) -> InferenceResponse:
        result = predict(self, **_arguments(request, codecs))
        if inspect.isawaitable(result):
            result = await result
        values = list(result) if isinstance(result, tuple) else [result]
        outputs: list[ResponseOutput] = []
        for index, value in enumerate(values):
            if index >= len(encoders) or not encoders[index].can_encode(value):
                raise OutputNotFound(index, type(value), parts)
            outputs += _outputs(encoders[index], index, value)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)

    return decoded


def _plain(hint: Any) -> Any:
    """Return what may be None without that."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        others = [each for each in typing.get_args(hint) if each is not type(None)]
        if len(others) == 1:
            return others[0]
    return hint


def _codec(name: str | None, hint: Any, *, is_input: bool) -> Any:
    found = find_input_codec(type_hint=hint) or find_request_codec(type_hint=hint)
    if found is None:
        raise CodecNotFound(name=name, payload_type=str(hint), is_input=is_input)
    return found


def _is_of_inputs(codec: Any) -> bool:
    return isinstance(codec, type) and issubclass(codec, InputCodec)


def _arguments(request: InferenceRequest, codecs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    others = []
    for each in request.inputs:
        codec = codecs.get(each.name)
        if codec is not None and _is_of_inputs(codec):
            found[each.name] = codec.decode_input(each)
        else:
            others.append(each)
    if others:
        # All that no argument has by name are one table, where an argument is that.
        name = next((n for n, codec in codecs.items() if not _is_of_inputs(codec)), None)
        if name is None:
            raise InputsNotFound(others, codecs)
        found[name] = codecs[name].decode_request(InferenceRequest(inputs=others))
    return found


def _outputs(codec: Any, index: int, value: Any) -> list[ResponseOutput]:
    if _is_of_inputs(codec):
        return [codec.encode_output(name=f"output-{index}", payload=value)]
    return list(codec.encode_response("", value).outputs)
