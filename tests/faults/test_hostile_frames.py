"""Models whose code writes to the server's socket itself: lies end their worker, and floods hold up nobody."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
from support.background import Background
from support.client import request_bytes
from support.server import Server, unique_name

from .models import write_echo

#: Runs the body beside the sockets of its worker: `work`, `control`, and the running batch's number.
_LIAR = """
import json, struct, sys, time
from mms.wire import BATCH, HEARTBEAT, METRIC, READINESS, RECORDS, RESULT, encode_frame
from mms.wire.frames import BODY, HEADER, VERSION

def flood(connection, frames):
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        connection.sendall(frames)

def handle(data, context):
    if data is None:
        return None
    names = {**globals()}
    frame = sys._getframe()
    while frame:
        for name in ("work", "control", "sequence"):
            if name in frame.f_locals:
                names[name] = frame.f_locals[name]
        frame = frame.f_back
    names["control"] = names["control"]._connection
    exec(data[0]["body"], names)
    return ["done"]
"""
_HEAD = "struct.pack('!IBQ', {count}, {flags}, 0)"
_ITEM = "struct.pack('!IBHHIQ', {index}, {flags}, {status}, {phrase}, {headers}, {body})"


def _result(head: str, *items: str) -> str:
    payload = "+".join((head, *items))
    return f"work.sendall(encode_frame(RESULT, sequence, {payload})); time.sleep(20)"


def _head(count: int = 1, flags: int = 1) -> str:
    return _HEAD.format(count=count, flags=flags)


def _item(more: bytes = b"", index: int = 0, status: int = 200, **lengths: int) -> str:
    sizes = {"phrase": 0, "headers": 0, "body": 0, "flags": 0, **lengths}
    return f"{_ITEM.format(index=index, status=status, **sizes)}+{more!r}"


#: What ends the worker that says it, before anybody hears of it.
_LIES = {
    "a line feed in the phrase": _result(_head(), _item(b"O\nK", phrase=3)),
    "a NUL in a header": _result(_head(), _item(b"a: \0\r\n", headers=6)),
    "a header without its end": _result(_head(), _item(b"a: b", headers=4)),
    "a header that ends the head": _result(_head(), _item(b"a: b\r\n\r\nHTTP", headers=12)),
    "a bare CR": _result(_head(), _item(b"a: b\rc: d\r\n", headers=12)),
    "a length of its own": _result(_head(), _item(b"CONTENT-LENGTH : 1\r\n", headers=20)),
    "a transfer coding": _result(_head(), _item(b"transfer-encoding: chunked\r\n", headers=28)),
    "a folded line": _result(_head(), _item(b"a: b\r\n c\r\n", headers=10)),
    "status 0": _result(_head(), _item(status=0)),
    "status 101": _result(_head(), _item(status=101)),
    "status 199": _result(_head(), _item(status=199)),
    "status 600": _result(_head(), _item(status=600)),
    "status 65535": _result(_head(), _item(status=65535)),
    "a failure of status 99": _result(_head(), _item(b"x", flags=1, status=99, body=1)),
    "a failure with a phrase of two lines": _result(
        _head(), _item(b"a\r\nb", flags=1, status=500, phrase=4)
    ),
    "an item of nobody": _result(_head(), _item(index=7)),
    "more items than it says": _result(_head(1), _item(), _item()),
    "fewer items than it says": _result(_head(3), _item()),
    "300,000 items": _result(_head(300_000), f"({_item()})*300000"),
    "a body that is cut off": _result(_head(), _item(b"x", body=1000)),
    "a body of all memory": _result(_head(), _item(b"x", body=1 << 62)),
    "an attachment that is not there": _result(_head(), _item(flags=2, body=70_000)),
    "a batch that is not the running one": _result(_head(), _item()).replace(
        "sequence", "sequence + 1"
    ),
    "parts without end": f"work.sendall(encode_frame(RESULT, sequence, {_head(0, 0)}) * 100); time.sleep(20)",
    "65,535 bodies of nothing": "work.sendall(HEADER.pack(VERSION, RESULT, 65535, sequence, 0)"
    " + HEADER.pack(VERSION, BODY, 0, sequence, 0) * 65535); time.sleep(20)",
    "another version": "work.sendall(HEADER.pack(9, RESULT, 0, sequence, 0)); time.sleep(20)",
    "a frame of all memory": "work.sendall(HEADER.pack(VERSION, RESULT, 0, sequence, 1 << 62)); time.sleep(20)",
    "a batch for the front": "work.sendall(encode_frame(BATCH, 0)); time.sleep(20)",
    "the end of a load, again": "control.sendall(encode_frame(READINESS, 0, b'{\"is_ready\": true}') * 2)\n"
    "time.sleep(20)",
    "lists in lists": "work.sendall(encode_frame(METRIC, 0, b'{\"lines\": ' + b'[' * 300000)); time.sleep(20)",
    "a million lists": "work.sendall(encode_frame(METRIC, 0, b'{\"lines\": [], \"series\": [' + b'[],' * 1000000"
    " + b'[]]}')); time.sleep(20)",
    "a million records": "work.sendall(encode_frame(RECORDS, 0, b'\\n' * 1000000)); time.sleep(20)",
}
#: Frames that a worker may send.
_FLOODS = {
    "signs of life": "flood(control, encode_frame(HEARTBEAT, 0) * 4096)",
    "series": "flood(work, encode_frame(METRIC, 0, b'{\"lines\": [], \"series\": [' + b'{},' * 20000 + b'{}]}'))",
    "metrics": "flood(work, encode_frame(METRIC, 0, json.dumps({'lines': ['a.Count:1|#|#hostname:h,1'] * 200,"
    " 'series': []}).encode()) * 50)",
}


@pytest.fixture(scope="module")
def names() -> dict[Server, tuple[str, str]]:
    return {}


@pytest.fixture
def server(shared_server: Callable[..., Server]) -> Server:
    return shared_server()


@pytest.fixture
def liar(server: Server, names: dict[Server, tuple[str, str]]) -> str:
    return _models(server, names)[0]


@pytest.fixture
def other(server: Server, names: dict[Server, tuple[str, str]]) -> str:
    return _models(server, names)[1]


def _models(server: Server, names: dict[Server, tuple[str, str]]) -> tuple[str, str]:
    """A model that lies, and one that is asked meanwhile."""
    if server not in names:
        liar, other = (
            write_echo(server, unique_name("liar"), _LIAR),
            write_echo(server, unique_name("other")),
        )
        for name in (liar, other):
            reply = server.register(name, initial_workers=1, synchronous="true", retry="false")
            assert reply.status == 200, reply
        names[server] = liar, other
    return names[server]


def _tell(server: Server, liar: str, code: str) -> tuple[int, str]:
    reply = server.inference.post(f"/predictions/{liar}", code, content_type="text/plain")
    return reply.status, reply.text


@pytest.mark.parametrize("lie", _LIES)
def test_what_no_worker_says_ends_the_one_that_says_it(
    server: Server, liar: str, other: str, lie: str
) -> None:
    status, text = _tell(server, liar, _LIES[lie])
    assert (status, "Worker died." in text or "Unexpected" in text) == (500, True), (status, text)
    assert _tell(server, other, "x") == (200, "x")
    assert _tell(server, liar, "pass") == (200, "done")


@pytest.mark.parametrize("flood", _FLOODS)
def test_a_worker_that_floods_the_server_holds_up_nobody(
    server: Server, liar: str, other: str, flood: str
) -> None:
    asked = Background(lambda: _tell(server, liar, _FLOODS[flood]))
    wire = server.inference.wire()
    request = request_bytes("POST", f"/predictions/{other}", b"x", "Content-Type: text/plain")
    took_s = []
    while not asked.is_done:
        begun = time.monotonic()
        wire.send(request)
        assert wire.read_reply().status == 200
        took_s.append(time.monotonic() - begun)
    wire.socket.close()
    assert asked.result() == (200, "done")
    assert statistics.median(took_s) < 0.1
