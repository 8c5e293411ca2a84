"""Live requests and their answers, for who looks at a model. What rules hide is hidden before anything is kept.

Without a watcher a request costs one look at a flag.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from mms import faults
from mms.core import Request
from mms.core.request import Buffer, Reply, StreamReply
from mms.core.streams.open_stream import OpenStream
from mms.errors import ServerError, ServiceUnavailable

#: What credentials travel in. No rule shows it.
_CREDENTIALS: Final = frozenset(
    (
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-amz-security-token",
    )
)
HIDDEN: Final = "***"
#: Of a body that is shown. A document is shown whole or not at all: nothing in one that is cut could be hidden.
_MOST_DOCUMENT_BYTES: Final = 16 * 1024
_MOST_TEXT_BYTES: Final = 4 * 1024
_MOST_HEADERS: Final = 64
_MOST_WATCHERS: Final = 8
MOST_SAMPLES: Final = 100


class Redaction:
    """Which values are hidden: those of headers, parameters, and members of JSON, by their names in any case."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = _CREDENTIALS | {name.lower() for name in names}

    def __repr__(self) -> str:
        return f"<Redaction of {len(self._names)} names>"

    def hides(self, name: str) -> bool:
        return name.lower() in self._names

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(name, HIDDEN if self.hides(name) else value) for name, value in pairs]

    def document(self, value: Any) -> Any:
        """Return a document of JSON without what is hidden. Raises RecursionError."""
        if isinstance(value, dict):
            return {
                name: HIDDEN if self.hides(name) else self.document(member)
                for name, member in value.items()
            }
        if isinstance(value, list):
            return [self.document(item) for item in value]
        return value

    def body(self, content_type: str, body: Buffer) -> dict[str, Any]:
        """Return what is shown of a body: its size, and `json`, `text`, or why neither."""
        size = len(body)
        kind = content_type.partition(";")[0].strip().lower()
        shown: dict[str, Any] = {"bytes": size}
        if not size:
            return shown
        start = bytes(body[:64]).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if kind == "application/json" or kind.endswith("+json") or start in (b"{", b"["):
            if size > _MOST_DOCUMENT_BYTES:
                return shown | {"omitted": "a document of this size is not shown"}
            try:
                return shown | {"json": self.document(json.loads(bytes(body)))}
            except (ValueError, RecursionError):
                return shown | {"omitted": "it says to be JSON and cannot be read"}
        if kind == "application/x-www-form-urlencoded":
            if size > _MOST_TEXT_BYTES:
                return shown | {"omitted": "a form of this size is not shown"}
            return shown | {"text": self.query(bytes(body).decode("latin-1"))}
        if kind.startswith("multipart/"):
            return shown | {"omitted": "forms of several parts are not shown"}
        try:
            text = bytes(body[:_MOST_TEXT_BYTES]).decode(
                "utf-8", "strict" if size <= _MOST_TEXT_BYTES else "ignore"
            )
        except UnicodeDecodeError:
            return shown | {"omitted": "it is no text"}
        if "\0" in text:
            return shown | {"omitted": "it is no text"}
        return shown | {"text": text} | ({"isCut": True} if size > _MOST_TEXT_BYTES else {})

    def query(self, text: str) -> str:
        """Return a query string without what is hidden."""
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_HEADERS)
        except ValueError:
            return HIDDEN
        return urlencode(self.pairs(pairs), safe="*")


class Watcher:
    """Who looks at a model: the samples that it has not taken yet."""

    def __init__(self, model: str, count: int, wake: Callable[[], None]) -> None:
        self.model = model
        self.left = count
        self.samples: deque[dict[str, Any]] = deque()
        #: Is called with each sample.
        self.wake = wake

    def __repr__(self) -> str:
        return f"<Watcher of {self.model}, {self.left} to come>"

    def add(self, sample: dict[str, Any]) -> None:
        self.samples.append(sample)
        self.wake()


class RequestSamples:
    """Those who look, and what is hidden from them. Called on the event loop."""

    def __init__(self, redaction: Redaction) -> None:
        self.redaction = redaction
        #: Whether anybody looks at anything.
        self.is_on = False
        self._watchers: list[Watcher] = []

    def __repr__(self) -> str:
        return f"<RequestSamples of {self._watchers!r}>"

    @contextmanager
    def watched(
        self, model: str, count: int, wake: Callable[[], None] = lambda: None
    ) -> Iterator[Watcher]:
        """Have the next requests to a model kept for the caller. Raises ServiceUnavailable where too many look."""
        if len(self._watchers) >= _MOST_WATCHERS:
            raise ServiceUnavailable(
                f"{_MOST_WATCHERS} clients look at requests already.", retry_after_s=10
            )
        watcher = Watcher(model, count, wake)
        self._watchers.append(watcher)
        self.is_on = True
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
            self.is_on = bool(self._watchers)

    @faults.contained("sample")
    def note_request(self, request: Request) -> None:
        """Note a request for each who looks at its model."""
        for watcher in self._watchers:
            if watcher.model == request.name and watcher.left:
                watcher.left -= 1
                has_streams = hasattr(request.reply, "open_stream")
                kind = _SampledStreamReply if has_streams else _SampledReply
                request.reply = kind(
                    request.reply, watcher, self.redaction, _of_request(self.redaction, request)
                )


class _SampledReply:
    """Notes an answer behind whoever takes it."""

    __slots__ = ("_redaction", "_reply", "_sample", "_started", "_watcher")

    def __init__(
        self, reply: Reply, watcher: Watcher, redaction: Redaction, sample: dict[str, Any]
    ) -> None:
        self._reply: Any = reply
        self._watcher = watcher
        self._redaction = redaction
        self._sample = sample
        self._started = time.monotonic()

    def answer(
        self, request: Request, status: int, phrase: bytes, headers: bytes, body: Buffer
    ) -> None:
        self._reply.answer(request, status, phrase, headers, body)
        self._note(status, headers, body)

    def fail(self, request: Request, error: ServerError) -> None:
        self._reply.fail(request, error)
        self._add(error.http_status, {"error": str(error.message or error)[:_MOST_TEXT_BYTES]})

    def give_up(self) -> None:
        self._reply.give_up()

    @faults.contained("sample")
    def _note(self, status: int, headers: bytes, body: Buffer) -> None:
        pairs = _header_lines(headers)
        content_type = next((v for n, v in pairs if n.lower() == "content-type"), "")
        shown = {"headers": dict(self._redaction.pairs(pairs))}
        self._add(status, shown | {"body": self._redaction.body(content_type, body)})

    @faults.contained("sample")
    def _add(self, status: int, shown: Mapping[str, Any]) -> None:
        elapsed_ms = round((time.monotonic() - self._started) * 1000, 3)
        self._sample["answer"] = {"status": status, "elapsedMs": elapsed_ms, **shown}
        self._watcher.add(self._sample)


class _SampledStreamReply(_SampledReply):
    """The same for clients that take parts, of which only the head is noted."""

    __slots__ = ()

    def open_stream(
        self, request: Request, status: int, phrase: bytes, headers: bytes, stream: OpenStream
    ) -> StreamReply:
        opened: StreamReply = self._reply.open_stream(request, status, phrase, headers, stream)
        self._add(
            status,
            {
                "headers": dict(self._redaction.pairs(_header_lines(headers))),
                "body": {"omitted": "it comes in parts"},
            },
        )
        return opened


def _of_request(redaction: Redaction, request: Request) -> dict[str, Any]:
    parts = [part.decode("latin-1") for part in request.headers.split(b"\n")[: 2 * _MOST_HEADERS]]
    pairs = [(n, v[:_MOST_TEXT_BYTES]) for n, v in zip(parts[::2], parts[1::2], strict=False)]
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "requestId": request.id.decode("ascii", "replace"),
        "modelName": request.name,
        "modelVersion": request.version,
        "request": {
            "query": redaction.query(request.query.decode("latin-1")[:_MOST_TEXT_BYTES]),
            "headers": dict(redaction.pairs(pairs)),
            "body": redaction.body(request.content_type.decode("latin-1"), request.body),
        },
    }


def _header_lines(headers: bytes) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in headers.decode("latin-1").split("\r\n")[:_MOST_HEADERS]:
        name, colon, value = line.partition(":")
        if colon:
            found.append((name.strip(), value.strip()[:_MOST_TEXT_BYTES]))
    return found
