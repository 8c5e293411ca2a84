"""Texts, bytes in base64, and points of time: each a list of BYTES."""

from __future__ import annotations

import base64
import binascii
import datetime
from typing import Any, ClassVar, List  # noqa: UP035  # annotations of models are compared with it

from ..types import Parameters, RequestInput, ResponseOutput
from .base import InputCodec, register_input_codec, register_request_codec
from .content import SingleInputRequestCodec


def is_list_of(payload: Any, kind: type) -> bool:
    return isinstance(payload, list) and all(isinstance(each, kind) for each in payload)


def encode_str(elem: str) -> bytes:
    return elem.encode()


def decode_str(encoded: Any, str_codec: str = "utf-8") -> str:
    return encoded.decode(str_codec) if isinstance(encoded, bytes) else str(encoded)


class _ListCodec(InputCodec):
    """Elements of one type, each as text or bytes."""

    _kind: ClassVar[type] = object

    @classmethod
    def can_encode(cls, payload: Any) -> bool:
        return is_list_of(payload, cls._kind)

    @classmethod
    def encode_output(
        cls, name: str, payload: Any, use_bytes: bool = True, **kwargs: Any
    ) -> ResponseOutput:
        packed = [cls.pack(each) for each in payload]
        return ResponseOutput(
            name=name,
            datatype="BYTES",
            shape=[len(packed), 1],
            data=packed if use_bytes else [each.decode() for each in packed],
            parameters=Parameters(content_type=cls.ContentType),
        )

    @classmethod
    def decode_input(cls, request_input: RequestInput) -> list[Any]:
        packed = request_input.data.root
        return [cls.unpack(each) for each in (packed if isinstance(packed, list) else [packed])]

    @classmethod
    def pack(cls, element: Any) -> bytes:
        raise NotImplementedError

    @classmethod
    def unpack(cls, element: Any) -> Any:
        raise NotImplementedError


@register_input_codec
class StringCodec(_ListCodec):
    """A list of texts."""

    ContentType = "str"
    TypeHint = List[str]  # noqa: UP006  # annotations of models are compared with it
    _kind = str

    @classmethod
    def pack(cls, element: Any) -> bytes:
        return encode_str(element)

    @classmethod
    def unpack(cls, element: Any) -> str:
        return decode_str(element)


@register_input_codec
class Base64Codec(_ListCodec):
    """A list of bytes, which travel in base64."""

    ContentType = "base64"
    TypeHint = List[bytes]  # noqa: UP006  # annotations of models are compared with it
    _kind = bytes

    @classmethod
    def pack(cls, element: Any) -> bytes:
        return base64.b64encode(element.encode() if isinstance(element, str) else element)

    @classmethod
    def unpack(cls, element: Any) -> bytes:
        data: bytes = element.encode() if isinstance(element, str) else element
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error:
            # Bytes as they are.
            return data


@register_input_codec
class DatetimeCodec(_ListCodec):
    """A list of points of time, in the form of ISO 8601."""

    ContentType = "datetime"
    TypeHint = List[datetime.datetime]  # noqa: UP006  # annotations of models are compared with it
    _kind = datetime.datetime

    @classmethod
    def pack(cls, element: Any) -> bytes:
        return str(element if isinstance(element, str) else element.isoformat()).encode()

    @classmethod
    def unpack(cls, element: Any) -> datetime.datetime:
        return datetime.datetime.fromisoformat(decode_str(element))


@register_request_codec
class StringRequestCodec(SingleInputRequestCodec):
    """A request of one tensor as a list of texts."""

    InputCodec = StringCodec
    ContentType = "str"
    TypeHint = List[str]  # noqa: UP006  # annotations of models are compared with it
