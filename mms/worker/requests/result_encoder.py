"""What a handler returned -> results for the front. A result that cannot be sent fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mms.context import Context
from mms.wire import FAILED, STREAM, Buffer, ResultItem
from mms.worker.log_records.log_lines import write_log
from mms.worker.requests.answer_head import (
    InvalidHead,
    encode_headers,
    encode_phrase,
    encode_status,
)
from mms.worker.requests.failures import failure_text
from mms.worker.requests.indented_json import in_line, indented
from mms.worker.streams.form import is_stream


class UnfitChunk(Exception):
    """A value of a stream that cannot be sent. The message says why."""


#: Types of most results, which need no closer look.
_WHOLE = frozenset((str, bytes, dict, list))
_UNSUPPORTED = "Unsupported model output data type."


class ResultEncoder:
    """Encodes by the type of each element: bytes as they are, text as UTF-8, anything else as JSON."""

    def __init__(
        self, max_response_bytes: int, json_content_type: bool, *, tells_why: bool = False
    ) -> None:
        """`json_content_type`: dicts and lists get the content type application/json unless the handler sets one.

        `tells_why`: what cannot be written is answered with the reason, too.
        """
        self._max_bytes = max_response_bytes
        self._json_content_type = json_content_type
        self._tells_why = tells_why
        #: Takes (an iterator, place of its request in the call) and returns what stands for its stream in the results.
        #: None: there are no streams here.
        self.open_stream: Callable[[Any, int], Buffer] | None = None

    def encode(
        self, values: list[Any], context: Context, indices: Sequence[int]
    ) -> list[ResultItem]:
        """Return one result for each of `indices`, the places in the batch that `values` belong to."""
        if not self._json_content_type and not context._has_processors():
            return self._encode_plain(values, context, indices)
        return [
            self.encode_one(value, context, place, index)
            for place, (value, index) in enumerate(zip(values, indices, strict=True))
        ]

    def _encode_plain(
        self, values: list[Any], context: Context, indices: Sequence[int]
    ) -> list[ResultItem]:
        """Return the results where the handler set nothing of any head."""
        results: list[ResultItem] = []
        add = results.append
        max_bytes = self._max_bytes
        body: Buffer
        for index, value in zip(indices, values, strict=True):
            kind = type(value)
            try:
                if kind is str:
                    body = value.encode()
                elif kind is bytes:
                    body = value
                elif self.open_stream is not None and kind not in _WHOLE and is_stream(value):
                    number = self.open_stream(value, len(results))
                    add((index, STREAM, 200, b"", b"", number))
                    continue
                else:
                    body = _body(value)
            except Exception as error:
                add(self._unsupported(error, context, index))
                continue
            if len(body) > max_bytes:
                add(self._too_large(len(body), context, index))
            else:
                add((index, 0, 200, b"", b"", body))
        return results

    def encode_one(self, value: Any, context: Context, place: int, index: int) -> ResultItem:
        """Return the result of one value. `place`: of its request in the call, `index`: in the batch."""
        try:
            if self.open_stream is not None and type(value) not in _WHOLE and is_stream(value):
                # Its head goes with its first chunk.
                return index, STREAM, 200, b"", b"", self.open_stream(value, place)
            body = _body(value)
        except Exception as error:
            return self._unsupported(error, context, index)
        if len(body) > self._max_bytes:
            return self._too_large(len(body), context, index)
        adds_json_type = self._json_content_type and isinstance(value, (dict, list))
        try:
            if not context._has_processors():
                headers = encode_headers({}, adds_json_type=adds_json_type)
                return index, 0, 200, b"", headers, body
            status, phrase, headers = self.head(context, place, adds_json_type=adds_json_type)
        except Exception as error:
            reason = str(error) if isinstance(error, InvalidHead) else repr(error)
            return self._fail(503, f"Invalid model response: {reason}", context, index)
        if len(headers) > self._max_bytes:
            return self._too_large(len(headers), context, index)
        return index, 0, status, phrase, headers, body

    def head(
        self, context: Context, place: int, *, adds_json_type: bool = False
    ) -> tuple[int, bytes, bytes]:
        """Return (status, phrase, header lines) as the handler has set them. Raises InvalidHead and IndexError."""
        if not context._has_processors():
            return 200, b"", encode_headers({}, adds_json_type=adds_json_type)
        processors = context.request_processor
        if processors is None:
            raise InvalidHead("the handler set context.request_processor to None")
        processor = processors[place]
        return (
            encode_status(processor.get_response_status_code()),
            encode_phrase(processor.get_response_status_phrase()),
            encode_headers(processor.get_response_headers(), adds_json_type=adds_json_type),
        )

    def chunk(self, value: Any) -> Buffer:
        """Return what is sent of a value of a stream; JSON has one line. Raises UnfitChunk."""
        try:
            body = _body(value, in_one_line=True)
        except Exception as error:
            raise UnfitChunk(
                f"{_UNSUPPORTED} A chunk cannot be written: {type(error).__name__}: {error}"
            ) from None
        if len(body) > self._max_bytes:
            raise UnfitChunk(
                f"A chunk of {len(body)} bytes is larger than max_response_size ({self._max_bytes} bytes)"
            )
        return body

    def _unsupported(self, error: Exception, context: Context, index: int) -> ResultItem:
        if isinstance(error, MemoryError):
            return self._fail(507, "Out of resources", context, index)
        why = f"{type(error).__name__}: {error}"
        _log(context, f"a result cannot be written: {why}")
        told = f"{_UNSUPPORTED} It cannot be written: {why}" if self._tells_why else _UNSUPPORTED
        return index, FAILED, 503, b"", b"", failure_text(told)

    def _too_large(self, size_bytes: int, context: Context, index: int) -> ResultItem:
        return self._fail(
            500,
            f"Response of {size_bytes} bytes is larger than max_response_size ({self._max_bytes} bytes)",
            context,
            index,
        )

    def _fail(self, status: int, message: str, context: Context, index: int) -> ResultItem:
        _log(context, message)
        return index, FAILED, status, b"", b"", failure_text(message)


def _body(value: Any, *, in_one_line: bool = False) -> Buffer:
    """Return the body of a result. Raises TypeError or ValueError for what JSON cannot hold."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray)):
        return value
    if isinstance(value, memoryview):
        is_plain = value.contiguous and value.ndim == 1 and value.itemsize == 1
        return value if is_plain else value.tobytes()
    return (in_line(value) if in_one_line else indented(value)).encode()


def _log(context: Context, message: str) -> None:
    text = message.replace("\r", "\\r").replace("\n", "\\n")
    write_log(f"Model {context.model_name}: {text}\n")
