"""Answers that come in parts: what a client sees of generators, and what becomes of them."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from support.background import Background, Gate
from support.client import Reply, Wire, in_parallel, request_bytes
from support.server import Server
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

_JSON = "Content-Type: application/json"


def _request(name: str, order: dict[str, Any], *lines: str) -> bytes:
    body = json.dumps(order).encode()
    return request_bytes("POST", f"/predictions/{name}", body, _JSON, *lines)


def _ask(server: Server, order: dict[str, Any], *lines: str) -> Reply:
    with server.inference.wire() as wire:
        wire.send(_request(server.shared("stream"), order, *lines))
        return wire.read_reply()


def _counted(count: int) -> str:
    return "".join(f"{number}," for number in range(count))


@pytest.mark.edge
def test_a_generator_is_sent_as_it_yields(server: Server, gate: Gate) -> None:
    with server.inference.wire() as wire:
        wire.send(_request(server.shared("stream"), {"count": 2, **gate.order, "last": True}))
        head = wire._read_until(b"\r\n\r\n").lower()
        assert b"transfer-encoding: chunked" in head
        # Both parts are there while the generator goes on.
        came = b""
        while b"1," not in came:
            came += wire.socket.recv(1000) if not wire._buffer else wire._take(len(wire._buffer))
        gate.open()
        while not came.endswith(b"0\r\n\r\n"):
            came += wire.socket.recv(1000)
        wire.send(_request(server.shared("stream"), {"values": ["next"]}))
        assert wire.read_reply().text == "next"


def test_what_is_made_does_not_wait_for_a_step_that_takes_long(
    main_server: Server, gate: Gate
) -> None:
    order = {"count": 2, "hold until": gate.order["wait for"], "values": ["end"]}
    with main_server.inference.wire() as wire:
        wire.send(_request(main_server.shared("stream"), order))
        wire._read_until(b"1,")
        gate.open()
        wire._read_until(b"end")


@pytest.mark.edge
@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        ("*/*", None, 'a\nb{"c":[1,2]}'),
        ("text/event-stream", "text/event-stream", 'data: a\ndata: b\n\ndata: {"c":[1,2]}\n\n'),
        ("application/x-ndjson", "application/x-ndjson", '"a\\nb"\n{"c":[1,2]}\n'),
    ],
)
def test_a_stream_has_the_form_that_its_client_accepts(
    server: Server, accept: str, content_type: str | None, body: str
) -> None:
    reply = _ask(server, {"values": ["a\nb", {"c": [1, 2]}]}, f"Accept: {accept}")
    assert (reply.status, reply.header("content-type"), reply.text) == (200, content_type, body)


@pytest.mark.edge
@pytest.mark.parametrize(
    "text", ["[\n" * 300 + "]" * 300, '{"a":\r\n 123456789012345678901234567890, "b": 1.00}\n']
)
def test_json_of_several_lines_comes_in_one_line_with_the_same_values(
    server: Server, text: str
) -> None:
    reply = _ask(server, {"values": [text, "end"]}, "Accept: application/x-ndjson")
    line, end, _ = reply.text.split("\n")
    assert line == text.strip().replace("\r", " ").replace("\n", " ")
    assert end == '"end"'


@pytest.mark.edge
def test_a_handler_that_writes_events_itself_is_left_alone(server: Server) -> None:
    order = {"values": ["id: 7\ndata: x\n\n"], "type": "text/event-stream"}
    reply = _ask(server, order, "Accept: text/event-stream")
    assert (reply.header("content-type"), reply.text) == ("text/event-stream", "id: 7\ndata: x\n\n")


@pytest.mark.edge
def test_a_client_of_http_1_0_gets_a_stream_without_chunks(server: Server) -> None:
    with server.inference.wire() as wire:
        request = _request(server.shared("stream"), {"count": 3})
        wire.send(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = wire.read_to_end().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == b"0,1,2,"


@pytest.mark.edge
def test_what_fails_before_the_first_part_is_an_error_as_any_other(server: Server) -> None:
    reply = _ask(server, {"raise at once": "broken"}, "Accept: text/event-stream")
    assert (reply.status, reply.json()["message"]) == (503, "Prediction failed")


@pytest.mark.edge
def test_a_stream_that_fails_is_no_whole_answer(server: Server) -> None:
    name = server.shared("stream")
    with server.inference.wire() as wire:
        wire.send(_request(name, {"count": 2, "raise": "broken"}))
        with pytest.raises(ConnectionError):
            wire.read_reply()
    with server.inference.wire() as wire:
        request = _request(name, {"count": 2, "raise": "broken"})
        wire.send(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        with pytest.raises(ConnectionResetError):
            wire.read_to_end()
    reply = _ask(server, {"count": 1, "raise": "broken"}, "Accept: text/event-stream")
    events = reply.text.split("\n\n")
    assert events[0] == "data: 0,"
    assert events[1].startswith("event: error\ndata: ")
    assert json.loads(events[1].partition("data: ")[2])["message"] == "Prediction failed"


@pytest.mark.edge
def test_requests_behind_a_stream_are_answered_in_order(server: Server) -> None:
    name = server.shared("stream")
    with server.inference.wire() as wire:
        wire.send(b"".join(_request(name, {"count": count}) for count in (3, 0, 2)))
        assert [wire.read_reply().text for _ in range(3)] == ["0,1,2,", "", "0,1,"]


def test_an_async_generator_and_chunks_of_handle_are_streams_too(main_server: Server) -> None:
    reply = _ask(main_server, {"async": True, "count": 3})
    assert reply.text == "0,1,2," + str(reply.header("x-request-id"))
    assert _ask(main_server, {"send": 3}).text == "0,1,2,end"


def test_a_generator_that_sends_chunks_as_handle_may_fails_alone(main_server: Server) -> None:
    with main_server.registered("stream") as name:
        worker = main_server.describe(name)["workers"][0]["pid"]
        reply = main_server.inference.post_json(f"/predictions/{name}", {"send late": "x"})
        assert reply.status == 503
        assert main_server.describe(name)["workers"][0]["pid"] == worker


def test_a_deadline_ends_a_stream_in_order(main_server: Server, gate: Gate) -> None:
    reply = _ask(main_server, {"count": 2, **gate.order}, "Request-Timeout: 1")
    assert reply.text == "0,1,"


def test_a_generator_is_closed_when_its_client_has_gone(main_server: Server, scratch: Path) -> None:
    closed = scratch / "closed"
    name = main_server.shared("stream")
    with main_server.inference.wire() as wire:
        wire.send(_request(name, {"size": 1000, "closed": str(closed)}))
        wire._read_until(b"\r\n\r\n")
    eventually("the generator is closed", closed.exists)
    assert _ask(main_server, {"count": 1}).text == "0,"


@pytest.mark.edge
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_a_generator_is_closed_when_its_client_has_gone_while_nothing_is_sent(
    server: Server, scratch: Path, accept: str
) -> None:
    closed = scratch / "closed"
    order = {"count": 1, "wait for": str(scratch / "never"), "closed": str(closed)}
    with server.inference.wire() as wire:
        wire.send(_request(server.shared("stream"), order, f"Accept: {accept}"))
        wire._read_until(b"0,")
    eventually("the generator is closed", closed.exists)


@pytest.mark.edge
def test_a_client_that_closes_its_sending_side_alone_gets_the_rest_of_its_stream(
    server: Server, gate: Gate
) -> None:
    with server.inference.wire() as wire:
        order = {"count": 1, "values": ["~"], **gate.order, "last": True}
        wire.send(_request(server.shared("stream"), order))
        wire._read_until(b"~\r\n")
        wire.socket.shutdown(socket.SHUT_WR)
        # Zeros of the size of the next chunk: what finds out whether there is still a client.
        assert wire._read_exactly(3) == b"000"
        gate.open()
        size, _, rest = wire._read_until(b"0\r\n\r\n").partition(b"\r\n")
        assert len(rest) == int(size, 16) + 2


def test_a_slow_reader_holds_up_its_own_stream_alone(main_server: Server) -> None:
    with main_server.inference.wire() as slow:
        slow.send(_request(main_server.shared("stream"), {"size": 50_000}))
        slow._read_until(b"\r\n\r\n")
        for _ in range(3):
            assert _ask(main_server, {"count": 100}).text == _counted(100)


def test_a_stream_whose_worker_dies_is_no_whole_answer(main_server: Server, gate: Gate) -> None:
    with main_server.registered("stream") as name, main_server.inference.wire() as wire:
        wire.send(_request(name, {"count": 2, **gate.order, "exit": 1}))
        wire._read_until(b"1,")
        gate.open()
        with pytest.raises(ConnectionError):
            while True:
                wire._fill("the rest")
        wire_reply = main_server.inference.post_json(f"/predictions/{name}", {"count": 2})
        assert wire_reply.text == "0,1,"


def test_a_model_that_is_unregistered_lets_its_streams_end(main_server: Server, gate: Gate) -> None:
    with main_server.registered("stream") as name, main_server.inference.wire() as wire:
        wire.send(_request(name, {"count": 2, **gate.order, "values": ["more"]}))
        wire._read_until(b"\r\n\r\n")
        leaving = Background(lambda: main_server.unregister(name))
        eventually("the model takes no more", lambda: _is_gone(main_server, name))
        gate.open()
        assert leaving.result().status == 200
        while not wire._buffer.endswith(b"0\r\n\r\n"):
            wire._fill("the end of the stream")


def _is_gone(server: Server, name: str) -> bool:
    return server.inference.post_json(f"/predictions/{name}", {}).status != 200


def test_streams_keep_their_order_beside_clients_that_are_killed(
    main_server: Server, is_full: bool
) -> None:
    chunks, clients = (200, 64) if is_full else (50, 32)
    dice = random.Random(7)

    def read(wire: Wire, killed_at: int | None) -> str:
        with wire:
            if killed_at is not None:
                wire._read_until(f"{killed_at},".encode())
                # As of a process that is killed with answers that it has not read.
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return ""
            return wire.read_reply().text

    with main_server.registered("stream", batch_size=8, max_batch_delay=20) as name:
        calls: list[Callable[[], str]] = []
        for number in range(clients):
            wire = main_server.inference.wire()
            wire.send(_request(name, {"count": chunks, "async": number % 4 == 0}))
            killed_at = dice.randrange(chunks) if dice.random() < 0.3 else None
            calls.append(partial(read, wire, killed_at))
        answers = [answer for answer in in_parallel(calls) if answer]
        assert len(answers) > clients / 2
        assert {answer[: len(_counted(chunks))] for answer in answers} == {_counted(chunks)}
        # All places are free again.
        eventually(
            "no stream is open",
            lambda: main_server.describe(name)["workers"][0]["status"] == "READY",
        )


def test_the_first_part_is_with_its_client_little_after_the_handler_has_made_it(
    main_server: Server, is_full: bool
) -> None:
    if not is_full:
        pytest.skip("measures times, and runs with --full")
    own, seen = [], []
    for _ in range(30):
        with main_server.inference.wire() as wire:
            request = _request(main_server.shared("stream"), {"spend": 0.02})
            begun = time.perf_counter()
            wire.send(request)
            head = wire._read_until(b"\r\n\r\n")
            wire._read_until(b"\r\n")
            own.append(float(wire._read_until(b"\r\n")))
            seen.append(time.perf_counter() - begun)
            assert b" 200 " in head
    print(f"first part: handler {median(own):.4f} s, client {median(seen):.4f} s")
    assert median(seen) <= 1.2 * median(own)


def test_streams_are_counted(main_server: Server) -> None:
    with main_server.registered("stream") as name:
        assert (
            main_server.inference.post_json(f"/predictions/{name}", {"count": 3}).text == "0,1,2,"
        )
        text = main_server.management.get("/metrics").text
    labels = f'model="{name}",version=""'
    assert f'mms_streams_total{{model="{name}",outcome="completed",version=""}} 1.0' in text
    assert f"mms_stream_chunks_total{{{labels}}} 3.0" in text
    assert f"mms_stream_chunk_bytes_total{{{labels}}} 6.0" in text
    assert f"mms_streams_open{{{labels}}} 0.0" in text
    assert f"mms_stream_first_chunk_seconds_count{{{labels}}} 1.0" in text


def test_a_worker_with_as_many_streams_as_it_may_have_gets_no_more(
    main_server: Server, gate: Gate
) -> None:
    with main_server.registered("stream", max_streams=1) as name, contextlib.ExitStack() as stack:
        first = stack.enter_context(main_server.inference.wire())
        first.send(_request(name, {"count": 1, **gate.order}))
        first._read_until(b"0,")
        second = stack.enter_context(main_server.inference.wire())
        second.send(_request(name, {"count": 2}))
        main_server.wait_until_queued(name, 1)
        gate.open()
        assert second.read_reply().text == "0,1,"


def test_a_generator_that_does_not_want_to_end_keeps_its_place(
    main_server: Server, gate: Gate
) -> None:
    with main_server.registered("stream", max_streams=1) as name:
        with main_server.inference.wire() as wire:
            deaf_until = gate.order["wait for"]
            wire.send(_request(name, {"async": True, "count": 1, "deaf until": deaf_until}))
            wire._read_until(b"0,")
        eventually(
            "its client is known to be gone",
            lambda: (
                f'mms_streams_total{{model="{name}",outcome="cancelled"'
                in main_server.management.get("/metrics").text
            ),
        )
        with main_server.inference.wire() as wire:
            wire.send(_request(name, {"count": 2}))
            main_server.wait_until_queued(name, 1)
            gate.open()
            assert wire.read_reply().text == "0,1,"
