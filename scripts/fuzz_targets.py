"""What is fuzzed: each target takes any bytes, and raises where a rule of its parser is broken.

`scripts/fuzz` looks for such bytes; tests run what it found, and a few examples of their own.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser

from archiver.errors import InvalidManifest
from archiver.manifest import Manifest
from mms import wire
from mms.bodies.invalid_input import InvalidInput
from mms.bodies.multipart import find_boundary, find_parts
from mms.core.request_options import read_request_options
from mms.errors import BadRequest
from mms.http.apis import lenient_json
from mms.http.lane.head import KnownRoute, LaneRoute, read_head
from mms.http.request_head import MAX_HEADERS_BYTES, MAX_LINE_BYTES
from mms.http.routing import parse_query, split_path
from mms.interfaces.seldon.graph import GraphError, read_graph
from mms.text import properties
from mms.wire import FrameDecoder, ProtocolError
from mms.wire.calls import decode_call, decode_called
from mms.wire.records import decode_records
from mms.worker.requests.form_fields import parse_form
from mms.worker.requests.request_decoder import RequestDecoder

_LIMIT_BYTES = 1_000_000
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Blanks may be more than one, to llhttp.
_LINE = re.compile(rb"([A-Z][A-Z-]*) +([\x21-\x7e\x80-\xff]+) +HTTP/1\.[01]")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# The parser wants one to hang its streams on; nothing here waits for any.
_LOOP = asyncio.new_event_loop()
_LOOP.close()


class Target(NamedTuple):
    """`tokens`: what its inputs are made of; `seeds`: good inputs to begin with."""

    check: Callable[[bytes], None]
    tokens: tuple[bytes, ...]
    seeds: tuple[bytes, ...]


class _AnyRoute:
    """A lane that serves every path that is one."""

    def __init__(self) -> None:
        self.routes: dict[bytes, KnownRoute] = {}
        self.max_body_bytes = _LIMIT_BYTES
        self.admit: Callable[[list[bytes]], str | None] | None = None
        self.trusts_request_ids = True

    def resolve(self, path: bytes) -> KnownRoute:
        return (LaneRoute("m"), path.decode("latin-1")) if path.startswith(b"/") else None


# HTTP


def http_stream(data: bytes) -> None:
    """Lane, aiohttp's parser and a plain reader see the same requests in the same bytes."""
    expected: list[tuple[bytes, bytes]] = []
    at = 0
    while (end := data.find(b"\r\n\r\n", at) + 4) >= 4:
        raw = data[at:end]
        head = read_head(raw, _AnyRoute())
        if head is None:
            break
        length = _plain_length(raw)
        assert head.content_length == length, (raw, head.content_length, length)
        assert head.raw == raw and head.size_bytes == len(raw)
        expected.append((head.uri.encode("latin-1"), data[end : end + length]))
        at = end + length
        if at > len(data) or not head.is_kept_alive:
            break
    # What follows is none of the lane's, so that aiohttp alone has to make sense of it.
    for size in (len(data) or 1, 1, 7):
        assert _accepted(data[:at], size) == expected, (data, size, expected)


def _plain_length(raw: bytes) -> int:
    """Return the length of the body of a head that must be beyond doubt."""
    line, *lines = raw[:-4].split(b"\r\n")
    assert _LINE.fullmatch(line), raw
    lengths = []
    for header in lines:
        name, colon, value = header.partition(b":")
        assert colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value), raw
        lowered = name.lower()
        assert lowered not in (b"transfer-encoding", b"upgrade", b"expect"), raw
        if lowered == b"content-length":
            assert value.strip(b" \t").isdigit(), raw
            lengths.append(int(value))
    assert len(lengths) < 2, raw
    return lengths[0] if lengths else 0


def _accepted(data: bytes, size: int) -> list[tuple[bytes, bytes]]:
    """Return the targets and bodies that aiohttp's parser finds in good requests in pieces of `size` bytes."""
    parser = HttpRequestParser(
        BaseProtocol(_LOOP),
        _LOOP,
        2**16,
        max_line_size=2 * MAX_LINE_BYTES,
        max_field_size=2 * MAX_HEADERS_BYTES,
        max_headers=MAX_HEADERS_BYTES,
        auto_decompress=False,
    )
    found: list[Any] = []
    for at in range(0, len(data), size):
        found += parser.feed_data(data[at : at + size])[0]
    return [
        (message.path.encode("utf-8", "surrogateescape"), _whole(payload))
        for message, payload in found
    ]


def _whole(payload: Any) -> bytes:
    """What has come of a body."""
    pieces = []
    while piece := payload.read_nowait():
        pieces.append(piece)
    return b"".join(pieces)


def http_names(data: bytes) -> None:
    """Check that paths, queries and parameters are understood or refused."""
    path, _, query = data.partition(b"?")
    for parse in (split_path, parse_query):
        try:
            parse(path if parse is split_path else query)
        except BadRequest:
            continue
    pairs = [line.partition(b":")[::2] for line in data.split(b"\n")]
    try:
        timeout_s, priority = read_request_options(pairs)
        assert timeout_s >= 0 and priority in (0, 1, 2)
    except BadRequest:
        return


# Bodies


def multipart(data: bytes) -> None:
    """The first line is the content type. Parts are in order, within the body, and do not overlap."""
    content_type, _, body = data.partition(b"\n")
    try:
        boundary = find_boundary(content_type.decode("latin-1"))
        if boundary is None:
            return
        end = 0
        for part in find_parts(body, boundary):
            assert end <= part.start <= part.end <= len(body), part
            assert b"\n--" + boundary + b"--" not in body[part.start : part.end]
            end = part.end
    except InvalidInput:
        return


def form(data: bytes) -> None:
    try:
        fields = parse_form(data)
    except InvalidInput:
        return
    assert all(isinstance(name, str) for name in fields)


def request_body(data: bytes) -> None:
    """The first line is the content type, the second one the query."""
    content_type, _, rest = data.partition(b"\n")
    query, _, body = rest.partition(b"\n")
    item: wire.Item = (b"i" * 36, wire.PASSES_QUERY, content_type, query, b"", 0, body, None)
    batch = RequestDecoder(True).decode_batch([item])
    assert len(batch.data) + len(batch.failures) == 1
    for failure in batch.failures:
        assert failure[2] == 400, failure


def management_json(data: bytes) -> None:
    try:
        lenient_json.loads(data.decode("utf-8", "replace"))
    except lenient_json.LenientJsonError:
        return


# Front and worker


def wire_stream(data: bytes) -> None:
    """Frames mean the same in whatever pieces they come, and their payloads are understood or refused."""
    frames, is_refused = _frames(data, len(data) or 1)
    found, is_found_refused = _frames(data, 3)
    # Where a read brings something bad, what came well in the same read goes with the connection.
    assert found[: len(frames)] == frames and is_refused == is_found_refused
    assert is_refused or len(found) == len(frames)
    for kind, sequence, payload, attachments in frames:
        _decode_payload(kind, sequence, payload, attachments)


def _frames(data: bytes, cut: int) -> tuple[list[wire.Frame], bool]:
    decoder = FrameDecoder(1 << 20)
    frames: list[wire.Frame] = []
    at = 0
    try:
        while at < len(data):
            buffer = decoder.get_buffer()
            size = min(cut, len(buffer), len(data) - at)
            assert size, "no room is left"
            buffer[:size] = data[at : at + size]
            at += size
            del buffer
            frames += decoder.received(size)
    except ProtocolError:
        return frames, True
    return frames, False


def _decode_payload(kind: int, sequence: int, payload: Any, attachments: Any) -> None:
    decoders: dict[int, Callable[[], object]] = {
        wire.BATCH: lambda: wire.decode_batch(payload, attachments),
        wire.RESULT: lambda: wire.decode_result(payload, attachments),
        wire.HELLO: lambda: wire.Hello.from_payload(payload),
        wire.LOAD: lambda: wire.Load.from_payload(payload),
        wire.LOADED: lambda: wire.Loaded.from_payload(payload),
        wire.METRIC: lambda: wire.Metric.from_payload(payload),
        wire.CANCEL: lambda: wire.Cancel.from_payload(payload),
        wire.READINESS: lambda: wire.Readiness.from_payload(payload),
        wire.CALL: lambda: decode_call(payload),
        wire.CALLED: lambda: decode_called(payload),
        wire.RECORDS: lambda: decode_records(sequence, payload),
    }
    decode = decoders.get(kind)
    if decode is None:
        return
    try:
        decode()
    except ProtocolError:
        return


# Files


def manifest(data: bytes) -> None:
    """A manifest that is read can be written and read again."""
    for parse in (Manifest.parse, Manifest.parse_legacy):
        try:
            found = parse(data)
        except InvalidManifest:
            continue
        again = Manifest(json.loads(found.to_json()), is_legacy=found.is_legacy)
        assert again == found
        try:
            found.validate()
        except InvalidManifest:
            continue


def property_file(data: bytes) -> None:
    """Entries that are read can be written and read again."""
    try:
        entries = properties.parse(properties.decode(data))
    except ValueError as error:
        assert str(error).startswith("line "), error
        return
    pairs = [(entry.key, entry.value) for entry in entries]
    assert [(entry.key, entry.value) for entry in properties.parse(properties.write(pairs))] == (
        pairs
    )


def graph(data: bytes) -> None:
    try:
        read_graph(data)
    except GraphError:
        return


_HTTP_TOKENS = (
    *(b"GET ", b"POST ", b"PUT ", b"HEAD ", b"/predictions/m", b"/", b"?a=b", b" HTTP/1.1\r\n"),
    *(b" HTTP/1.0\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"Host: h\r\n", b"Content-Length: 5"),
    *(b"Content-Length: 0\r\n", b"Content-Length:", b"Transfer-Encoding: chunked\r\n", b"chunked"),
    *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n"),
    *(b"Upgrade: h2c\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n", b"A: b\r\n", b";x=y\r\n"),
    *(b"hello", b" ", b"\t", b":", b"\0", b"\xff", b"\x0b", b"00", b"+", b"-1", b"fffffffffffffff"),
    *(b"x-request-timeout: 5\r\n", b"Content-Type: text/plain\r\n", b"http://h/p", b"*", b","),
)
_JSON_TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"1e400", b"-", b"0", b"1.5"),
    *(b"\\u0000", b"\\ud800", b"\\", b" ", b"\n", b"NaN", b"\xef\xbb\xbf", b"\xff", b"1" * 5000),
)
_NAMES = (
    *(b'"model"', b'"modelName"', b'"handler"', b'"runtime"', b'"engine"', b'"engineName"'),
    *(b'"publisher"', b'"extensions"', b'"modelVersion"', b'"userData"', b'"signature"'),
    *(b'"Engine"', b'"Model"', b'"Service"', b'"Signature"', b'"python"', b'"MXNet"'),
)
_REQUESTS = (
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n"
    b"GET /b HTTP/1.0\r\n\r\n"
)
_DASHES = b"--b\r\nContent-Disposition: form-data; name="
_BATCH = b"".join(
    wire.encode_frame(kind, 1, payload)
    for kind, payload in (
        (wire.HELLO, b'{"secret":"s","role":"work","pid":1}'),
        (
            wire.BATCH,
            b"i" * 36 + bytes([1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1] + [0] * 11 + [1]) + b"tqhb",
        ),
        (
            wire.RESULT,
            bytes([0, 0, 0, 1, 1] + [0] * 8) + bytes([0] * 6 + [200] + [0] * 13 + [1]) + b"r",
        ),
        (wire.CALL, b'\0\0\0\x0b{"key":"m"}body'),
        (wire.RECORDS, b"{}\n{}"),
    )
)

TARGETS: dict[str, Target] = {
    "http_stream": Target(http_stream, _HTTP_TOKENS, (_REQUESTS,)),
    "http_names": Target(
        http_names,
        (b"/", b"%2f", b"%", b"..", b"?", b"&", b";", b"=", b"+", b"\n", b"x-request-timeout:")
        + (b"request-timeout:", b"x-request-priority:", b"high", b"1.5", b"0", b"\xff", b"%zz"),
        (b"/predictions/m%20n?a=b&c;d=%41\nx-request-timeout: 5\nrequest-timeout: 1.5",),
    ),
    "multipart": Target(
        multipart,
        (b"multipart/form-data; boundary=b\n", b"boundary=", b'"', b"\\", b";", _DASHES + b"a")
        + (b'; filename="f"', b"\r\n\r\n", b"\r\n", b"\n", b"--b", b"--b--", b"--", b"b", b" ")
        + (b"Content-Type: text/plain", b"x" * 300, b"\xff", b"name*=", b"\t", b":"),
        (
            b"multipart/form-data; boundary=b\n"
            + _DASHES
            + b'"a"\r\n\r\nvalue\r\n'
            + _DASHES
            + b'"f"; filename=g\r\nContent-Type: text/plain\r\n\r\nmore\r\n--b--\r\n',
        ),
    ),
    "form": Target(
        form,
        (b"a=b", b"&", b"=", b"%41", b"%", b"+", b"\r\n", b"\n", b"\xff", b"%e2%82", b"_"),
        (b"a=b&c=%20d+e&f=&g",),
    ),
    "request_body": Target(
        request_body,
        (b"application/json", b"text/plain", b"application/x-www-form-urlencoded", b"\n", b"a=b")
        + (b"multipart/form-data; boundary=b", _DASHES + b"a\r\n\r\nx\r\n--b--", *_JSON_TOKENS),
        (b'application/json\na=b\n{"a": [1, 2.5, "x"]}', b"text/plain\n\nhello"),
    ),
    "management_json": Target(
        management_json,
        (*_JSON_TOKENS, b"'", b"=", b"=>", b";", b"//", b"/*", b"*/", b"#", b")]}'\n"),
        (b'{"url": "m.mar", initial_workers: 1, \'a\' => [1; 2]} // end',),
    ),
    "wire_stream": Target(
        wire_stream,
        (b"\x01", b"\0" * 7, *(bytes([1, kind, 0, 0, 0, 0, 0, 1]) for kind in range(1, 19)))
        + (b"\0\0\0\0\0\0\0\x05", b"\0\0\0\0\0\0\xff\xff", b"\xff" * 8, b'{"a":1}', b"i" * 36),
        (_BATCH,),
    ),
    "manifest": Target(
        manifest,
        (*_JSON_TOKENS, *_NAMES),
        (b'{"runtime":"python","model":{"modelName":"m","handler":"s:h","modelVersion":1.10}}',),
    ),
    "property_file": Target(
        property_file,
        (b"a", b"=", b":", b" ", b"\\", b"\\u0041", b"\\ud83d", b"\\ude00", b"#", b"!", b"\n")
        + (b"\r", b"\r\n", b"\f", b"\t", b"\xef\xbb\xbf", b"\xe9", b"\\\n", b"\\\r\n", b"\0"),
        (b"# c\na = b\\\n  c\nkey\\ with:\\u0041\n",),
    ),
    "graph": Target(
        graph,
        (b"name: ", b"graph:\n", b"  ", b"children:\n", b"- ", b"type: MODEL\n", b"&a ", b"*a")
        + (b"implementation: ", b"SIMPLE_ROUTER", b"endpoint:\n", b"{", b"}", b"[", b"]", b": ")
        + (b"spec:\n", b"predictors:\n", b"kind: SeldonDeployment\n", b"\n", b"!!", b"'", b'"')
        + (b"parameters:\n", b"value: ", b"---\n", b"|", b">", b"\t", b"<<: ", b"0x", b"1e400"),
        (
            b"name: p\ngraph:\n  name: a\n  type: MODEL\n  children:\n  - name: b\n    children: []\n",
        ),
    ),
}
