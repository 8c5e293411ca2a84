"""The heads of the lane's requests: read once, remembered whole.

Clients send the same head over and over. All that the lane knows of a request before its body depends on nothing but
the bytes of its head, so equal bytes need no second look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import httptools

from mms.core.ids import clients_request_id
from mms.core.request_options import (
    DEFAULT_OPTIONS,
    OPTION_HEADERS,
    BodyOptions,
    read_request_options,
)
from mms.errors import BadRequest
from mms.http.answers import AnswerLines, ErrorForm
from mms.http.request_head import MAX_HEADERS_BYTES, MAX_LINE_BYTES, is_kept_alive
from mms.http.routing.paths import check_query
from mms.wire import ModelOperation, RequestHead

#: Methods whose answers differ in form, left to aiohttp.
_FOREIGN_METHODS = frozenset((b"OPTIONS", b"HEAD", b"CONNECT"))
#: The end of a request line, and how the access log names it.
_VERSIONS = {b" HTTP/1.1": "HTTP/1.1", b" HTTP/1.0": "HTTP/1.0"}


class LaneRoute(NamedTuple):
    """What a path stands for.

    `operation`: what the model is asked for, None for MMS's prediction. `methods`: those that the lane serves there,
    None for all. `make_lines`: given the client's headers, makes what writes lines of the answer. `body_options`: reads
    what bodies there say of their deadline and priority.
    """

    model: str
    version: str | None = None
    passes_query: bool = False
    operation: ModelOperation | None = None
    error_form: ErrorForm | None = None
    methods: frozenset[bytes] | None = None
    make_lines: Callable[[bytes], AnswerLines] | None = None
    body_options: BodyOptions | None = None


#: A route with its path as text, for the log; None for a path that the lane does not serve.
KnownRoute: TypeAlias = tuple[LaneRoute, str] | None


class Routing(Protocol):
    """What a head is judged by. Sizes in bytes."""

    routes: dict[bytes, KnownRoute]
    max_body_bytes: int
    #: The client's id is the request's.
    trusts_request_ids: bool
    #: Says whether a head with these headers may ask, and who is counted for it; takes keys out. None: all may.
    admit: Callable[[list[bytes]], str | None] | None

    def resolve(self, path: bytes) -> KnownRoute:
        """Return the route of a path that was not asked for lately."""


class LaneHead(RequestHead):
    """What the head of a request to the lane says, and what its path stands for. Shared by equal heads.

    `raw` is the head as sent; `error_form` and `answer_lines` are None for MMS's own form.
    """

    __slots__ = (
        "answer_lines",
        "body_options",
        "client",
        "content_length",
        "error_form",
        "is_kept_alive",
        "method",
        "name",
        "priority",
        "protocol",
        "raw",
        "request_id",
        "size_bytes",
        "timeout_s",
        "uri",
        "version",
    )

    def __init__(
        self,
        raw: bytes,
        found: _Found,
        routing: Routing,
        method: bytes,
        protocol: str,
        client: str,
    ) -> None:
        """Raises LookupError where the path, or the method there, is none of the lane's.

        Raises BadRequest for wrong options and a query that is not UTF-8.
        """
        path, _, query = found.target.partition(b"?")
        known = routing.routes[path] if path in routing.routes else routing.resolve(path)
        if known is None:
            raise LookupError(path)
        route, uri = known
        if route.methods is not None and method not in route.methods:
            raise LookupError(path)
        if query and route.passes_query:
            check_query(query)
        headers = b"\n".join(found.headers)
        super().__init__(route.passes_query, found.content_type, query, headers, route.operation)
        self.name = route.model
        self.version = route.version
        self.error_form = route.error_form
        self.body_options = route.body_options
        self.answer_lines = route.make_lines(headers) if route.make_lines is not None else None
        #: Whose key it has; nothing for none.
        self.client = client
        self.raw = raw
        self.size_bytes = len(raw)
        self.content_length = found.content_length
        self.method = str(method, "latin-1")
        self.uri = str(found.target, "latin-1") if query else uri
        self.protocol = protocol
        self.is_kept_alive = is_kept_alive(protocol == "HTTP/1.1", found.connection)
        #: The client's own; nothing for one of the server's.
        self.request_id = b""
        if found.request_id and routing.trusts_request_ids:
            self.request_id = clients_request_id(found.request_id)
        self.timeout_s, self.priority = DEFAULT_OPTIONS
        if found.has_terms:
            pairs = zip(found.headers[::2], found.headers[1::2], strict=True)
            self.timeout_s, self.priority = read_request_options(pairs)

    def __repr__(self) -> str:
        return f"<LaneHead {self.method} {self.uri}>"


class _Found:
    """Collects what llhttp finds in one head."""

    __slots__ = (
        "content_length",
        "content_type",
        "headers",
        "connection",
        "has_terms",
        "hosts",
        "is_complete",
        "is_foreign",
        "request_id",
        "target",
    )

    def __init__(self) -> None:
        self.connection = b""
        self.target = b""
        self.headers: list[bytes] = []
        self.hosts = 0
        self.content_length = 0
        self.content_type = b""
        self.request_id = b""
        self.has_terms = False
        self.is_foreign = False
        self.is_complete = False

    def on_url(self, target: bytes) -> None:
        self.target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers += (name, value)
        length = len(name)
        if length == 4:
            if name.lower() == b"host":
                self.hosts += 1
        elif length == 14:
            if name.lower() == b"content-length":
                # llhttp has refused anything but one plain number.
                self.content_length = int(value)
        elif length == 12:
            if name.lower() == b"content-type":
                # Two of them are aiohttp's to refuse.
                self.is_foreign = self.is_foreign or bool(self.content_type)
                self.content_type = value
            elif name.lower() == b"x-request-id":
                self.request_id = self.request_id or value
        elif length == 10 and name.lower() == b"connection":
            self.connection += value + b","
        elif length == 16 and name.lower() == b"content-encoding":
            self.is_foreign = True
        elif name.lower() in OPTION_HEADERS:
            self.has_terms = True
        elif (length == 17 and name.lower() == b"transfer-encoding") or (
            (length == 6 and name.lower() == b"expect")
            or (length == 7 and name.lower() == b"upgrade")
        ):
            self.is_foreign = True

    def on_headers_complete(self) -> None:
        self.is_complete = True


def read_head(raw: bytes, routing: Routing) -> LaneHead | None:
    """Return what a whole head says; None for one that the lane does not serve, or that is no HTTP."""
    found = _Found()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(raw)
    except (httptools.HttpParserUpgrade, httptools.HttpParserError):
        return None
    line_end = raw.find(b"\r\n")
    protocol = _VERSIONS.get(raw[max(line_end - 9, 0) : line_end])
    method = parser.get_method()
    if (
        not found.is_complete
        # llhttp leaves out what stands before a method and ends no line.
        or not 0x41 <= raw[0] <= 0x5A
        or found.is_foreign
        or found.hosts > 1
        or (not found.hosts and protocol == "HTTP/1.1")
        or found.content_length > routing.max_body_bytes
        or line_end > MAX_LINE_BYTES
        or len(raw) - line_end > MAX_HEADERS_BYTES
        or method in _FOREIGN_METHODS
        or protocol is None
    ):
        return None
    client = routing.admit(found.headers) if routing.admit is not None else ""
    if client is None:
        return None
    try:
        return LaneHead(raw, found, routing, method, protocol, client)
    except (LookupError, BadRequest):
        # aiohttp's side has the answer.
        return None
