"""What a codec is, and those that there are."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from ..types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput

_C = TypeVar("_C")

InputCodecLike = Any
RequestCodecLike = Any


class InputCodec:
    """Reads inputs and writes outputs."""

    ContentType: ClassVar[str] = ""
    TypeHint: ClassVar[Any] = type(None)

    @classmethod
    def can_encode(cls, payload: Any) -> bool:
        return False

    @classmethod
    def encode_output(cls, name: str, payload: Any, **kwargs: Any) -> ResponseOutput:
        raise NotImplementedError

    @classmethod
    def decode_output(cls, response_output: ResponseOutput) -> Any:
        return cls.decode_input(response_output)  # type: ignore[arg-type]  # they have the same members

    @classmethod
    def encode_input(cls, name: str, payload: Any, **kwargs: Any) -> RequestInput:
        return RequestInput(**vars(cls.encode_output(name, payload, **kwargs)))

    @classmethod
    def decode_input(cls, request_input: RequestInput) -> Any:
        raise NotImplementedError

    @classmethod
    def encode(cls, name: str, payload: Any) -> ResponseOutput:
        return cls.encode_output(name, payload)

    @classmethod
    def decode(cls, request_input: RequestInput) -> Any:
        return cls.decode_input(request_input)


class RequestCodec:
    """Reads whole requests and writes whole answers."""

    ContentType: ClassVar[str] = ""
    TypeHint: ClassVar[Any] = type(None)

    @classmethod
    def can_encode(cls, payload: Any) -> bool:
        return False

    @classmethod
    def encode_response(
        cls, model_name: str, payload: Any, model_version: str | None = None, **kwargs: Any
    ) -> InferenceResponse:
        raise NotImplementedError

    @classmethod
    def decode_response(cls, response: InferenceResponse) -> Any:
        raise NotImplementedError

    @classmethod
    def encode_request(cls, payload: Any, **kwargs: Any) -> InferenceRequest:
        raise NotImplementedError

    @classmethod
    def decode_request(cls, request: InferenceRequest) -> Any:
        raise NotImplementedError

    @classmethod
    def encode(
        cls, model_name: str, payload: Any, model_version: str | None = None
    ) -> InferenceResponse:
        return cls.encode_response(model_name, payload, model_version)

    @classmethod
    def decode(cls, request: InferenceRequest) -> Any:
        return cls.decode_request(request)


_input_codecs: dict[str, Any] = {}
_request_codecs: dict[str, Any] = {}


def register_input_codec(codec: _C) -> _C:
    """Make a codec known by its content type; a class decorator."""
    _input_codecs[codec.ContentType] = codec  # type: ignore[attr-defined]  # each has one
    return codec


def register_request_codec(codec: _C) -> _C:
    _request_codecs[codec.ContentType] = codec  # type: ignore[attr-defined]  # each has one
    return codec


def find_input_codec(
    content_type: str | None = None, payload: Any = None, type_hint: Any = None
) -> Any:
    """Return the codec of a content type, else of a value, else of an annotation; None where there is none."""
    return _find(_input_codecs, content_type, payload, type_hint)


def find_request_codec(
    content_type: str | None = None, payload: Any = None, type_hint: Any = None
) -> Any:
    return _find(_request_codecs, content_type, payload, type_hint)


def _find(codecs: dict[str, Any], content_type: str | None, payload: Any, type_hint: Any) -> Any:
    if content_type:
        return codecs.get(content_type)
    for codec in codecs.values():
        is_found = codec.can_encode(payload) if type_hint is None else codec.TypeHint == type_hint
        if is_found:
            return codec
    return None
