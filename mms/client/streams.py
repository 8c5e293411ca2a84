"""Answers that come little by little, cut into lines or events. Sans-IO."""

from __future__ import annotations

import json
from typing import Final

from mms.client.answer import ServerRefused

#: Of a line or an event; a server that sends more without an end is none of ours.
_MOST_BYTES: Final = 64 * 1024 * 1024
#: What a line of an event costs besides its text.
_LINE_BYTES: Final = 8
NDJSON: Final = "application/x-ndjson"
EVENT_STREAM: Final = "text/event-stream"


class LineReader:
    """Cuts bytes into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are whole now, without their ends. Raises ServerRefused for one that never ends."""
        self._rest += data
        lines: list[bytes] = []
        # What is left is not copied for each part of a long line.
        if b"\n" in data:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
        if len(self._rest) > _MOST_BYTES:
            raise ServerRefused(f"the answer has a line of more than {_MOST_BYTES} bytes")
        return [line.removesuffix(b"\r") for line in lines]

    def end(self) -> list[bytes]:
        """Return what is left after the last line's end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [rest] if rest else []


class EventReader:
    """Cuts bytes into the data of server-sent events, as the HTML standard has them."""

    def __init__(self) -> None:
        self._lines = LineReader()
        self._name = ""
        self._data: list[str] = []
        self._bytes = 0

    def feed(self, data: bytes) -> list[str]:
        """Return the data of the events that are whole now. Raises ServerRefused for an event `error`."""
        found = []
        for line in self._lines.feed(data):
            text = line.decode("utf-8", "replace")
            if text:
                self._take(text)
            elif self._data or self._name:
                found.append(self._finish())
        return found

    def _take(self, text: str) -> None:
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
            # Each costs something, also an empty one.
            self._bytes += len(value) + _LINE_BYTES
            if self._bytes > _MOST_BYTES:
                raise ServerRefused(f"the answer has an event of more than {_MOST_BYTES} bytes")
        elif field == "event":
            self._name = value

    def _finish(self) -> str:
        name, text = self._name, "\n".join(self._data)
        self._name, self._data, self._bytes = "", [], 0
        if name == "error":
            raise failed(text)
        return text


def failed(text: str) -> ServerRefused:
    """Return the error that a stream ended with, as its server has told it."""
    try:
        error = json.loads(text)
        return ServerRefused(
            f"{error['code']} {error['type']}: {error['message']}",
            type=str(error["type"]),
            status=int(error["code"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return ServerRefused(text[:500] or "the stream ended with an error")
