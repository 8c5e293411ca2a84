"""The lane as an HTTP server: framing, order, ends of connections, and what it leaves to others."""

from __future__ import annotations

import asyncio

import pytest

from mms.errors import ServiceUnavailable
from mms.http.lane.head import LaneRoute
from mms.wire import ModelOperation


def post(
    body: bytes = b"", path: str = "/predictions/m", extra: str = "", version: str = "1.1"
) -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: h\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def answer(body: bytes, *, close: bool = False) -> bytes:
    connection = b"close" if close else b"keep-alive"
    return b"HTTP/1.1 200 \r\ncontent-length: %d\r\nconnection: %b\r\n\r\n%b" % (
        len(body),
        connection,
        body,
    )


async def read_answers(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    bodies = []
    for _ in range(count):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        bodies.append(await reader.readexactly(length))
    return bodies


async def connected(bench):
    """The connections, once there is one that has sent something."""
    for _ in range(1000):
        if any(not connection.is_idle for connection in bench.lane.connections):
            return bench.lane.connections
        await asyncio.sleep(0.01)
    raise AssertionError("nothing arrived")


async def test_a_request_is_answered(bench):
    assert await bench.exchange(post(b"hello")) == answer(b"hello")


async def test_an_error_that_is_answered_is_remembered_with_the_id_of_its_request(bench):
    for answered in (
        lambda request: request.fail(ServiceUnavailable("No worker.")),
        lambda request: request.answer(503, b"", b"", b"the model's own"),
        lambda request: request.answer(200, b"", b"", b"good"),
    ):
        bench.host.on_submit = answered
        await bench.exchange(post(b"hello"))
    failed, of_model, _ = bench.host.requests
    assert [(note.request_id.encode(), *note[2:]) for note in bench.errors.newest()] == [
        (of_model.id, "m", "", 503, ""),
        (failed.id, "m", "", 503, "No worker."),
    ]


async def test_a_request_of_http_1_1_without_a_host_is_left_to_aiohttp(bench):
    asked = b"GET /predictions/m HTTP/1.1\r\n\r\n"
    assert b"299 Foreign" in await bench.exchange(asked)
    assert bench.foreign == [asked]


async def test_the_request_is_handed_on_as_the_client_wrote_it(bench):
    await bench.exchange(
        post(b"x", path="/predictions/m?a=%20b", extra="X-Odd-CASE: v\r\nContent-Type: a/b; c\r\n")
    )
    (request,) = bench.host.requests
    assert (request.name, request.query, request.content_type) == ("m", b"a=%20b", b"a/b; c")
    assert request.headers.split(b"\n") == [
        b"Host",
        b"h",
        b"Content-Length",
        b"1",
        b"X-Odd-CASE",
        b"v",
        b"Content-Type",
        b"a/b; c",
    ]


async def test_a_request_cut_at_every_byte_is_read(bench):
    reader, writer = await bench.connect()
    data = post(b"abcdef") * 2
    for at in range(len(data)):
        writer.write(data[at : at + 1])
        await writer.drain()
        await asyncio.sleep(0)
    assert await read_answers(reader, 2) == [b"abcdef"] * 2
    writer.close()


async def test_a_large_body_arrives_whole(bench):
    body = bytes(range(256)) * 3000
    received = await bench.exchange(post(body) + post(b"and more") + post(body))
    assert received == answer(body) + answer(b"and more") + answer(body)


async def test_a_client_that_goes_within_a_large_body_leaves_nothing(bench):
    _, writer = await bench.connect()
    writer.write(post(b"x" * 900_000)[:-100_000])
    while not bench.lane.connections:
        await asyncio.sleep(0)
    writer.transport.abort()
    for _ in range(1000):
        if not bench.lane.connections:
            break
        await asyncio.sleep(0.01)
    assert not bench.lane.connections
    assert bench.host.requests == []


async def test_a_client_that_sends_its_head_byte_by_byte_has_no_more_time_for_it(bench):
    reader, writer = await bench.connect()
    writer.write(b"P")
    (connection,) = await connected(bench)
    since = connection.waiting_since
    writer.write(b"O")
    while connection.statistics()["buffered_bytes"] < 2:
        await asyncio.sleep(0)
    assert connection.waiting_since == since
    writer.close()


async def test_pipelined_requests_are_answered_in_order(bench):
    bench.host.on_submit = None
    reader, writer = await bench.connect()
    writer.write(post(b"1") + post(b"2") + post(b"3"))
    while len(bench.host.requests) < 3:
        bench.host.arrived.clear()
        await asyncio.wait_for(bench.host.arrived.wait(), 10)
    for request in reversed(bench.host.requests):
        request.answer(200, b"", b"", bytes(request.body))
    assert await read_answers(reader, 3) == [b"1", b"2", b"3"]
    writer.close()


async def test_more_pipelined_requests_than_may_wait_are_read_later(bench):
    bench.host.on_submit = None
    reader, writer = await bench.connect()
    writer.write(post(b"x") * 100)
    loop = asyncio.get_running_loop()
    answered = 0
    while answered < 100:
        await asyncio.wait_for(bench.host.arrived.wait(), 10)
        bench.host.arrived.clear()
        waiting = bench.host.requests[answered:]
        assert len(waiting) <= 32
        for request in waiting:
            answered += 1
            loop.call_soon(request.answer, 200, b"", b"", b"y")
    assert await read_answers(reader, 100) == [b"y"] * 100
    writer.close()


async def test_connection_close_is_honoured(bench):
    assert await bench.exchange(post(b"x", extra="Connection: close\r\n")) == answer(
        b"x", close=True
    )


async def test_http_1_0_ends_the_connection_without_keep_alive(bench):
    reader, writer = await bench.connect()
    writer.write(post(b"x", version="1.0"))
    assert await asyncio.wait_for(reader.read(), 10) == answer(b"x", close=True)
    writer.close()


async def test_http_1_0_with_keep_alive_stays(bench):
    reader, writer = await bench.connect()
    writer.write(post(b"x", version="1.0", extra="Connection: keep-alive\r\n"))
    assert await read_answers(reader, 1) == [b"x"]
    writer.write(post(b"y"))
    assert await read_answers(reader, 1) == [b"y"]
    writer.close()


async def test_the_last_error_answer_is_not_lost_where_the_client_sends_on(bench):
    reader, writer = await bench.connect()
    head = post(b"x", path="/predictions/unknown", extra="Connection: close\r\n")
    writer.write(head + b"z" * 200_000)
    received = await asyncio.wait_for(reader.read(), 10)
    assert received.startswith(b"HTTP/1.1 404 ")
    assert received.endswith(b"Model not found: unknown")
    writer.close()


async def test_what_follows_an_error_on_the_connection_is_served(bench):
    received = await bench.exchange(
        post(path="/predictions/unknown") + post(b"x", extra="Connection: close\r\n")
    )
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200"]
    assert [request.body for request in bench.host.requests] == [b"x"]


async def test_a_busy_model_is_told_to_the_client(bench):
    def refuse(request):
        raise ServiceUnavailable("busy")

    bench.host.on_submit = refuse
    received = await bench.exchange(post(b"x") + post(b"x", extra="Connection: close\r\n"))
    assert received.count(b"HTTP/1.1 503 ") == 2
    assert received.count(b"connection: keep-alive") == 1


async def test_a_client_that_goes_takes_its_request_along(bench):
    bench.host.on_submit = None
    _, writer = await bench.connect()
    writer.write(post(b"x"))
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    writer.transport.abort()
    await asyncio.wait_for(bench.host.was_cancelled.wait(), 10)
    assert bench.host.cancelled == bench.host.requests


async def test_a_half_closed_client_gets_its_answer(bench):
    bench.host.on_submit = None
    reader, writer = await bench.connect()
    writer.write(post(b"x"))
    writer.write_eof()
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    bench.host.requests[0].answer(200, b"", b"", b"y")
    assert await asyncio.wait_for(reader.read(), 10) == answer(b"y")
    writer.close()


FOREIGN = {
    "another route": post(b"x", path="/ping"),
    "a chunked body": b"POST /predictions/m HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "an expectation": post(b"x", extra="Expect: 100-continue\r\n"),
    "OPTIONS": b"OPTIONS /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n",
    "HEAD": b"HEAD /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n",
    "an upgrade": b"GET /predictions/m HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a body over the limit": post(b"x" * 20)[:-20].replace(b": 20", b": 1000001") + b"x" * 20,
    "two lengths": b"POST /predictions/m HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": (
        b"POST /predictions/m HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a folded header": b"GET /predictions/m HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    "a bare LF": b"GET /predictions/m HTTP/1.1\nHost: h\n\r\n\r\n",
    "bare LFs all through": b"GET /predictions/m HTTP/1.1\nHost: h\n\n",
    "two hosts": b"GET /predictions/m HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two content types": post(b"x", extra="Content-Type: a/b\r\nContent-Type: c/d\r\n"),
    "a NUL in a header": b"GET /predictions/m HTTP/1.1\r\nA: b\0\r\n\r\n",
    "a blank before the colon": b"GET /predictions/m HTTP/1.1\r\nA : b\r\n\r\n",
    "no HTTP": b"HELO predictions\r\n\r\n",
    "another protocol": b"GET /predictions/m RTSP/1.0\r\n\r\n",
    "a version of the future": b"GET /predictions/m HTTP/2.0\r\n\r\n",
    "a line that is too long": b"GET /predictions/m?" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",
    "headers that are too long": post(extra="A: " + "b" * 9000 + "\r\n"),
    "headers that are a little too long": post(extra="A: " + "b" * 8190 + "\r\n"),
    "a head without end": b"GET /predictions/m HTTP/1.1\r\nA: " + b"b" * 9000,
    "empty lines first": b"\r\n" + post(b"x"),
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_the_connection_is_handed_over_whole_with(bench, kind):
    data = FOREIGN[kind]
    received = await bench.exchange(data)
    assert received.startswith(b"HTTP/1.1 299 ")
    assert b"".join(bench.foreign) == data
    assert bench.host.requests == []


async def test_a_foreign_request_behind_others_is_handed_over_after_their_answers(bench):
    bench.host.on_submit = None
    reader, writer = await bench.connect()
    foreign = FOREIGN["another route"] + b"and more"
    writer.write(post(b"1") + post(b"2") + foreign)
    while len(bench.host.requests) < 2:
        bench.host.arrived.clear()
        await asyncio.wait_for(bench.host.arrived.wait(), 10)
    assert bench.foreign == []
    for request in bench.host.requests:
        request.answer(200, b"", b"", bytes(request.body))
    received = await asyncio.wait_for(reader.read(), 10)
    assert received.startswith(answer(b"1") + answer(b"2") + b"HTTP/1.1 299 ")
    assert b"".join(bench.foreign) == foreign
    writer.close()


async def test_a_client_too_slow_with_its_head_is_ended(bench):
    reader, writer = await bench.connect()
    writer.write(b"POST /pred")
    bench.lane.head_timeout_s = 0.0
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_a_client_too_slow_with_its_body_is_told_so(bench):
    reader, writer = await bench.connect()
    writer.write(post(b"x" * 100)[:-50])
    bench.lane.body_timeout_s = 0.0
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_an_idle_connection_is_closed_after_its_time(bench):
    reader, writer = await bench.connect()
    writer.write(post(b"x"))
    await read_answers(reader, 1)
    bench.lane.keep_alive_timeout_s = 0.0
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_a_connection_that_waits_for_its_answer_is_not_idle(bench):
    bench.host.on_submit = None
    bench.lane.keep_alive_timeout_s = bench.lane.head_timeout_s = 0.0
    reader, writer = await bench.connect()
    writer.write(post(b"x"))
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    for connection in bench.lane.connections:
        connection.check_time(float("inf"))
    bench.host.requests[0].answer(200, b"", b"", b"y")
    assert await read_answers(reader, 1) == [b"y"]
    writer.close()


async def test_a_client_that_does_not_read_is_not_read_from(bench):
    big = b"z" * 2_000_000
    bench.host.on_submit = lambda request: request.answer(200, b"", b"", big)
    reader, writer = await bench.connect()
    writer.write(post(b"x") * 200)
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    seen = -1
    while seen != len(bench.host.requests):
        seen = len(bench.host.requests)
        await asyncio.sleep(0.05)
    assert seen < 100, "the lane goes on reading while nobody takes its answers"
    assert await read_answers(reader, 200) == [big] * 200
    writer.close()


async def test_every_answer_is_recorded_once(bench):
    await bench.exchange(post(b"x") + post(b"y", path="/predictions/unknown"))
    assert [(r[1].partition(" ")[2], r[2], r[4]) for r in bench.records] == [
        ('"POST /predictions/m HTTP/1.1"', 200, "m"),
        ('"POST /predictions/unknown HTTP/1.1"', 404, ""),
    ]


async def test_the_log_has_each_of_the_requests_that_a_connection_brings_in_turn(bench):
    paths = ["/predictions/m?a", "/predictions/m?b", "/predictions/m?a"]
    await bench.exchange(b"".join(post(b"x", path=path) for path in paths))
    for path in paths[:2]:
        await bench.exchange(post(b"x", path=path))
    asked = [line.split()[2] for _, line, *_ in bench.records]
    assert asked == [*paths, *paths[:2]]


async def test_a_connection_keeps_no_long_line_of_the_log(bench):
    reader, writer = await bench.connect()
    for size in (10, 2000, 10):
        writer.write(post(b"x", path=f"/predictions/m?{'q' * size}"))
        await read_answers(reader, 1)
        (connection,) = bench.lane.connections
        assert len(connection._line) < 600
    assert [len(line) > 2000 for _, line, *_ in bench.records] == [False, True, False]
    writer.close()


async def test_at_the_end_idle_connections_close_and_busy_ones_are_answered_first(bench):
    bench.host.on_submit = None
    idle_reader, idle_writer = await bench.connect()
    reader, writer = await bench.connect()
    writer.write(post(b"x"))
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    bench.lane.close_idle()
    assert await asyncio.wait_for(idle_reader.read(), 10) == b""
    bench.host.requests[0].answer(200, b"", b"", b"y")
    assert await asyncio.wait_for(reader.read(), 10) == answer(b"y", close=True)
    writer.close()
    idle_writer.close()


async def test_each_head_on_a_connection_is_served_by_what_it_says_itself(bench):
    reader, writer = await bench.connect()
    same = post(b"1", path="/predictions/one")
    writer.write(
        same + same + post(b"22", path="/predictions/one") + post(b"3", path="/predictions/m")
    )
    assert await read_answers(reader, 4) == [b"1", b"1", b"22", b"3"]
    assert [request.name for request in bench.host.requests] == ["one", "one", "one", "m"]
    writer.close()


async def test_more_heads_than_are_remembered_are_all_served(bench):
    reader, writer = await bench.connect()
    for number in range(3000):
        writer.write(post(b"%d" % number, extra=f"X-Trace: {number}\r\n"))
        assert await read_answers(reader, 1) == [b"%d" % number]
    assert len(bench.lane.heads) <= 1024
    last = bench.host.requests[-1].headers
    assert last.endswith(b"X-Trace\n2999")
    writer.close()


async def test_a_path_is_looked_up_anew_once_routes_are_forgotten(bench):
    reader, writer = await bench.connect()
    writer.write(post(b"1"))
    assert await read_answers(reader, 1) == [b"1"]
    bench.lane._find_route = lambda path: LaneRoute("another")
    bench.lane.forget_routes()
    writer.write(post(b"2"))
    assert await read_answers(reader, 1) == [b"2"]
    assert [request.name for request in bench.host.requests] == ["m", "another"]
    writer.close()


async def test_an_error_has_the_form_that_its_route_asks_for(bench):
    bench.host.on_submit = lambda request: request.fail(ServiceUnavailable("full"))
    bench.lane._find_route = lambda path: LaneRoute(
        "m", error_form=lambda error: (b"x-form: own\r\n", b"[" + error.message.encode() + b"]")
    )
    received = await bench.exchange(post(b"1"))
    assert b"x-form: own\r\n" in received
    assert received.endswith(b"[full]")


async def test_a_request_asks_for_the_operation_of_its_route(bench):
    route = LaneRoute("m", operation=ModelOperation("route"))
    bench.lane._find_route = lambda path: route
    await bench.exchange(post(b"1"))
    assert bench.host.requests[0].operation is route.operation


async def test_nothing_is_waited_for_while_there_is_one_connection(bench):
    reader, writer = await bench.connect()
    writer.write(post(b"1"))
    await read_answers(reader, 1)
    assert bench.host.dispatches == 1
    writer.close()


async def test_requests_of_several_connections_are_gathered_till_the_turn_ends(bench):
    _, other = await bench.connect()
    reader, writer = await bench.connect()
    while len(bench.lane.connections) < 2:
        await asyncio.sleep(0)
    writer.write(post(b"1"))
    await read_answers(reader, 1)
    assert bench.host.dispatches == 0
    writer.close()
    other.close()


async def test_what_comes_after_a_last_request_in_another_piece_is_not_served(bench):
    bench.host.on_submit = lambda request: (
        request.answer(200, b"", b"", b"") if request.name == "other" else None
    )
    reader, writer = await bench.connect()
    writer.write(post(b"1", extra="Connection: close\r\n"))
    await bench.host.arrived.wait()
    writer.write(post(b"2"))
    # By the time that a request of later is answered, the second piece has been read.
    await bench.exchange(post(path="/predictions/other"))
    await bench.exchange(post(path="/predictions/other"))
    first, *others = bench.host.requests
    assert [request.name for request in others] == ["other", "other"]
    first.answer(200, b"", b"", b"one")
    assert (await asyncio.wait_for(reader.read(), 10)).endswith(b"one")
    writer.close()


async def test_a_drained_connection_answers_all_that_it_has_taken(bench):
    bench.host.on_submit = None
    reader, writer = await bench.connect()
    writer.write(post(b"1") + post(b"2"))
    await bench.host.arrived.wait()
    bench.lane.close_idle()
    for request in bench.host.requests:
        request.answer(200, b"", b"", bytes(request.body))
    received = await asyncio.wait_for(reader.read(), 10)
    assert received == answer(b"1") + answer(b"2", close=True)
    writer.close()


async def test_a_client_that_reads_nothing_of_its_answer_is_ended(bench):
    bench.host.on_submit = lambda request: request.answer(200, b"", b"", bytes(32 << 20))
    reader, writer = await bench.connect()
    writer.transport.pause_reading()
    writer.write(post(b"1"))
    await bench.host.arrived.wait()
    (connection,) = bench.lane.connections
    limit_s = bench.lane.keep_alive_timeout_s
    connection.check_time(1000.0)
    connection.check_time(1000.0 + limit_s / 2)
    assert connection in bench.lane.connections
    connection.check_time(1001.0 + limit_s)
    while bench.lane.connections:
        await asyncio.sleep(0.01)
    writer.close()


async def test_what_can_become_no_request_is_left_to_aiohttp_at_once(bench):
    reader, writer = await bench.connect()
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 299 Foreign")
    writer.close()
