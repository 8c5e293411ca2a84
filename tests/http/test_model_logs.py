"""The routes of models' lines: what there is, what comes, and when it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mms.observe import model_lines


@pytest.fixture
async def bench(make_bench: Any) -> Any:
    found = await make_bench()
    say(found, "m", "one", "two")
    return found


def say(bench: Any, model: str, *texts: str) -> None:
    for text in texts:
        bench.lines.add(model, f"W-{model}-0", "stdout", logging.WARNING, "my.logger", text)


async def follow(bench: Any, target: str, *headers: str) -> AsyncIterator[bytes]:
    """Each line that has something, from the head on."""
    reader, writer = await bench.connect()
    lines = [f"GET {target} HTTP/1.0", "Host: h", *headers]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    while line := await asyncio.wait_for(reader.readline(), 20):
        if line.strip():
            yield line.strip()
    writer.close()


async def following(lines: AsyncIterator[bytes], count: int) -> list[bytes]:
    return [await anext(lines) for _ in range(count)]


async def body_of(lines: AsyncIterator[bytes]) -> bytes:
    """The first line after the head, whose last one says how the connection goes on."""
    async for line in lines:
        if line.lower().startswith(b"connection:"):
            return await anext(lines)
    raise AssertionError("there is no body")


async def test_the_newest_lines_of_a_model_are_there_as_json(bench: Any) -> None:
    status, _, body = await bench.call("GET", "/models/m/logs?lines=1")
    (line,) = json.loads(body)["lines"]
    assert status == 200
    assert line.pop("number") == bench.lines.last_number
    assert line.pop("time")
    assert line == {
        "level": "WARN",
        "modelName": "m",
        "worker": "W-m-0",
        "stream": "stdout",
        "logger": "my.logger",
        "message": "two",
    }
    say(bench, "gone", "three")
    _, _, body = await bench.call("GET", "/logs")
    assert [line["message"] for line in json.loads(body)["lines"]] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/models/none/logs", 404, b"Model not found: none"),
        ("/models/m/logs?follow=maybe", 400, b"Parameter follow must be true or false"),
        ("/models/m/logs?lines=-1", 400, b"Parameter lines"),
    ],
)
async def test_what_cannot_be_is_said(bench: Any, target: str, status: int, words: bytes) -> None:
    found, _, body = await bench.call("GET", target)
    assert found == status
    assert words in body


async def test_lines_that_come_are_sent_until_the_server_stops(bench: Any) -> None:
    lines = follow(bench, "/models/m/logs?follow=true&lines=1")
    assert json.loads(await body_of(lines))["message"] == "two"
    say(bench, "other", "not this")
    say(bench, "m", "three")
    assert json.loads(await anext(lines))["message"] == "three"
    await bench.front.stop_listening()
    assert [line async for line in lines] == []


async def test_a_browser_gets_events_and_goes_on_where_it_was(bench: Any) -> None:
    accept = "Accept: text/html, text/event-stream;q=0.9"
    lines = follow(bench, "/logs?lines=1", accept)
    first = await body_of(lines)
    assert json.loads((await anext(lines)).removeprefix(b"data: "))["message"] == "two"
    say(bench, "m", "three", "four")
    assert (await anext(lines)).startswith(b"id: ")
    await lines.aclose()
    number = first.removeprefix(b"id: ").decode()
    again = follow(bench, "/logs", accept, f"Last-Event-ID: {number}")
    assert await body_of(again) == b"id: %d" % (int(number) + 1)
    assert json.loads((await anext(again)).removeprefix(b"data: "))["message"] == "three"


async def test_a_follower_that_missed_lines_is_told(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = follow(bench, "/logs?follow=true&lines=1")
    await body_of(lines)
    monkeypatch.setattr(model_lines, "MOST_LINES", 2)
    # In one turn of the loop, so that nobody reads between.
    say(bench, "m", *"123456")
    found = [json.loads(line) for line in await following(lines, 3)]
    assert found[0] == {"lost": True}
    assert [line["message"] for line in found[1:]] == ["5", "6"]


async def test_one_client_too_many_is_sent_away(bench: Any) -> None:
    bench.front._apis.live_streams._most = 1
    lines = follow(bench, "/logs?follow=true")
    await body_of(lines)
    status, head, body = await bench.call("GET", "/logs?follow=true")
    assert (status, b"etry-" in head) == (503, True)
    assert b"1 clients follow this server already" in body
    await bench.call("GET", "/logs")
    await lines.aclose()


async def test_a_client_that_takes_nothing_is_cut_off_and_no_error_of_the_server(
    bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mms.http.web.live_stream._READER_S", 0.1)
    monkeypatch.setattr(model_lines, "_WAKE_S", 0)
    reader, writer = await bench.connect()
    writer.write(b"GET /logs?follow=true HTTP/1.1\r\nHost: h\r\n\r\n")
    await reader.readline()
    # More than the sockets of both sides take.
    writer.transport.pause_reading()
    streams = bench.front._apis.live_streams
    until = time.monotonic() + 20
    while streams._open and time.monotonic() < until:
        say(bench, "m", *["x" * 4000] * 100)
        await asyncio.sleep(0)
    assert not streams._open
    # The answer's task ends in one of the next turns; what it raises would be logged then.
    assert (await bench.call("GET", "/logs?lines=1"))[0] == 200
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_follower_hears_something_while_other_models_alone_say_much(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mms.http.web.live_stream._KEEP_ALIVE_S", 0.2)
    monkeypatch.setattr(model_lines, "_WAKE_S", 0)
    reader, writer = await bench.connect()
    writer.write(b"GET /models/m/logs?follow=true&lines=1 HTTP/1.0\r\nHost: h\r\n\r\n")
    await reader.readuntil(b'"two"}\n')
    heard = asyncio.create_task(reader.readline())
    until = time.monotonic() + 20
    while not heard.done() and time.monotonic() < until:
        say(bench, "other", "not this")
        await asyncio.sleep(0)
    assert heard.done()
    assert await heard == b"\n"
    writer.close()
