"""What a server answers, and what is asked of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mms.client.errors import ClientError

_MOST_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. The names in `headers` are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    #: Of an answer that is read in pieces, as they come; then `body` is empty.
    pieces: Iterator[bytes] | AsyncIterator[bytes] | None = field(default=None, repr=False)

    @property
    def content_type(self) -> str:
        """The media type, in lower case and without parameters; empty where the answer has none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body's JSON. Raises ServerRefused for a body that is none: another server answers there."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ServerRefused(f"the answer is not JSON: {self.text[:200]!r}", self) from None

    @property
    def value(self) -> Any:
        """The body as what it is: JSON, text or bytes. Models often do not say, so JSON and text are tried."""
        kind = self.content_type
        if kind and kind != "application/json" and not kind.endswith("+json"):
            return self.text if kind.startswith("text/") else self.body
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            pass
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return self.body

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the server expects to be able to answer; None where it does not say."""
        text = self.headers.get("retry-after", "").strip()
        return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def check(self) -> Answer:
        """Return the answer. Raises ServerRefused for one that is an error, with the server's own words."""
        if self.status < 400:
            return self
        kind, message = _error_of(self)
        raise ServerRefused(message, self, type=kind)


class ServerRefused(ClientError):
    """The server answered with an error.

    `type`: the error's kind as the server names it; empty where the answer is not of its form. `answer`: None for what
    came in the middle of a stream.
    """

    def __init__(
        self,
        message: str,
        answer: Answer | None = None,
        *,
        type: str = "",
        status: int = 0,
    ) -> None:
        super().__init__(message)
        self.answer = answer
        self.type = type
        #: Of HTTP.
        self.status = status if answer is None else answer.status

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the server expects to be able to answer; None where it does not say."""
        return None if self.answer is None else self.answer.retry_after_s


def _error_of(answer: Answer) -> tuple[str, str]:
    """Return (type, message) of an error."""
    status = answer.status
    try:
        error = json.loads(answer.body)
        if isinstance(error.get("error"), str):
            # The form of the Open Inference Protocol.
            return "", f"{status}: {error['error']}"
        reason = f" ({error['reason']})" if "reason" in error else ""
        kind = str(error["type"])
        return kind, f"{status} {kind}: {error['message']}{reason}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", f"{status}: {answer.text.strip()[:_MOST_SHOWN] or '(empty body)'}"


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `path`: with the query, percent-encoded.

    `is_repeatable`: the server may get it twice. `tells_time`: the server is told for how long an answer is waited for.
    `is_streamed`: the answer is read in pieces, unless it is an error.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Of the two addresses of a server.
    is_management: bool = False
    is_repeatable: bool = False
    tells_time: bool = False
    is_streamed: bool = False
    #: For the answer, or, of one that is streamed, for its head and then for each piece; in seconds.
    timeout_s: float = 0.0
