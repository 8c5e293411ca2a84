"""Models with `admit` and `step`: sequences that join and leave a running batch between its steps."""

from __future__ import annotations

import json
import random
import socket
import struct
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.background import Gate
from support.client import Reply, Wire, in_parallel, request_bytes
from support.server import Server
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms


def _send(wire: Wire, name: str, order: dict[str, Any]) -> None:
    body = json.dumps(order).encode()
    wire.send(request_bytes("POST", f"/predictions/{name}", body, "Content-Type: application/json"))


def _ask(server: Server, name: str, order: dict[str, Any]) -> Reply:
    with server.inference.wire() as wire:
        _send(wire, name, order)
        return wire.read_reply()


def _model(server: Server) -> str:
    return server.shared("steps", batch_size=8, max_batch_delay=0)


def test_sequences_join_and_leave_between_the_steps_of_others(
    main_server: Server, gate: Gate
) -> None:
    name = _model(main_server)
    with main_server.inference.wire() as first:
        _send(first, name, {"count": 1, **gate.order})
        first._read_until(b"0/1,")
        # The first one is in each step of the second one, which ends before it.
        assert _ask(main_server, name, {"count": 3}).text == "0/2,1/2,2/2,"
        gate.open()
        first._read_until(b"0\r\n\r\n")


def test_each_sequence_has_its_parts_in_order_and_the_head_that_it_was_admitted_with(
    main_server: Server,
) -> None:
    name = _model(main_server)
    counts = [1 + number % 7 for number in range(24)]
    replies = in_parallel([lambda n=n: _ask(main_server, name, {"count": n}) for n in counts])
    for count, reply in zip(counts, replies, strict=True):
        numbers = [part.partition("/")[0] for part in reply.text.split(",")[:-1]]
        assert numbers == [str(number) for number in range(count)]
        assert reply.header("x-admitted") == reply.header("x-request-id")
        assert reply.header("content-type") == "text/plain"


@pytest.mark.parametrize(
    ("order", "status", "message"),
    [
        ({"refuse": "not this one"}, 422, "not this one"),
        ({"count": 0, "fail": "not that one"}, 422, "not that one"),
        ({"count": 0, "raise": "broken"}, 503, "Prediction failed"),
        ({"count": 0, "too few": True}, 503, "Prediction failed"),
    ],
)
def test_what_fails_at_once_is_an_error_as_any_other(
    main_server: Server, order: dict[str, Any], status: int, message: str
) -> None:
    name = _model(main_server)
    reply = _ask(main_server, name, order)
    assert (reply.status, reply.json()["message"]) == (status, message)
    assert _ask(main_server, name, {"count": 1}).text == "0/1,"


def test_a_sequence_that_fails_alone_leaves_the_others_running(
    main_server: Server, gate: Gate
) -> None:
    name = _model(main_server)
    with main_server.inference.wire() as other:
        _send(other, name, {"count": 1, **gate.order})
        other._read_until(b"0/1,")
        assert _ask(main_server, name, {"count": 0, "fail": "no"}).status == 422
        assert _ask(main_server, name, {"refuse": "no"}).status == 422
        gate.open()
        other._read_until(b"0\r\n\r\n")


def test_a_step_that_raises_fails_the_sequences_in_it(main_server: Server, gate: Gate) -> None:
    name = _model(main_server)
    with main_server.inference.wire() as other:
        _send(other, name, {"count": 1, **gate.order})
        other._read_until(b"0/1,")
        assert _ask(main_server, name, {"count": 0, "raise": "broken"}).status == 503
        with pytest.raises(ConnectionError):
            other._read_until(b"0\r\n\r\n")
    assert _ask(main_server, name, {"count": 1}).text == "0/1,"


def test_a_sequence_is_retired_once_when_it_ends_and_when_its_client_has_gone(
    main_server: Server, scratch: Path
) -> None:
    name, retired = _model(main_server), scratch / "retired"
    assert _ask(main_server, name, {"count": 2, "retired": str(retired)}).text == "0/1,1/1,"
    assert retired.read_text() == "2;"
    with main_server.inference.wire() as wire:
        order = {"count": 1, "wait for": str(scratch / "never"), "retired": str(retired)}
        _send(wire, name, order)
        wire._read_until(b"0/1,")
    eventually("the sequence is retired", lambda: retired.read_text() == "2;1;")
    assert _ask(main_server, name, {"count": 1}).text == "0/1,"


def test_a_client_that_takes_nothing_is_in_no_step_and_holds_up_nobody(
    main_server: Server,
) -> None:
    name = _model(main_server)
    with main_server.inference.wire() as slow:
        _send(slow, name, {"count": 10**9, "size": 100_000})
        slow._read_until(b"\r\n\r\n")
        eventually(
            "others are alone in their steps",
            lambda: _ask(main_server, name, {"count": 2}).text == "0/1,1/1,",
        )


def test_requests_beyond_the_batch_wait_in_the_queue_for_a_place(
    main_server: Server, gate: Gate
) -> None:
    with (
        main_server.registered("steps", batch_size=2, max_batch_delay=0) as name,
        main_server.inference.wire() as first,
        main_server.inference.wire() as second,
        main_server.inference.wire() as third,
    ):
        for wire in (first, second):
            _send(wire, name, {"count": 1, **gate.order})
            wire._read_until(b"0/")
        _send(third, name, {"count": 1})
        main_server.wait_until_queued(name, 1)
        gate.open()
        assert third.read_reply().text.startswith("0/")


def test_sequences_lose_nothing_beside_clients_that_are_killed(
    main_server: Server, is_full: bool
) -> None:
    chunks, clients = (200, 64) if is_full else (30, 24)
    dice = random.Random(7)

    def ask(killed_at: int | None) -> str:
        with main_server.inference.wire() as wire:
            _send(wire, name, {"count": chunks})
            if killed_at is not None:
                wire._read_until(f"{killed_at}/".encode())
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return ""
            return wire.read_reply().text

    with main_server.registered("steps", batch_size=8, max_batch_delay=0) as name:
        kills = [dice.randrange(chunks) if dice.random() < 0.3 else None for _ in range(clients)]
        answers = in_parallel([partial(ask, killed_at) for killed_at in kills])
        for answer, killed_at in zip(answers, kills, strict=True):
            if killed_at is None:
                parts = [part.split("/") for part in answer.split(",")[:-1]]
                assert [number for number, _ in parts] == [str(number) for number in range(chunks)]
                assert all(1 <= int(size) <= 8 for _, size in parts)
        eventually(
            "all have left",
            lambda: main_server.describe(name)["workers"][0]["status"] == "READY",
        )


def test_a_worker_that_dies_fails_its_sequences_and_the_next_one_goes_on(
    main_server: Server, gate: Gate
) -> None:
    with main_server.registered("steps", batch_size=2, max_batch_delay=0) as name:
        with main_server.inference.wire() as wire:
            _send(wire, name, {"count": 1, **gate.order, "exit": 1})
            wire._read_until(b"0/1,")
            gate.open()
            with pytest.raises(ConnectionError):
                wire._read_until(b"0\r\n\r\n")
        assert _ask(main_server, name, {"count": 2}).text == "0/1,1/1,"


def test_a_deadline_ends_a_sequence_in_order(main_server: Server, scratch: Path) -> None:
    name = _model(main_server)
    order = {"count": 1, "wait for": str(scratch / "never")}
    body = json.dumps(order).encode()
    with main_server.inference.wire() as wire:
        headers = ("Content-Type: application/json", "Request-Timeout: 1")
        wire.send(request_bytes("POST", f"/predictions/{name}", body, *headers))
        assert wire.read_reply().text == "0/1,"


def test_a_model_that_works_in_steps_answers_clients_of_openais_api(main_server: Server) -> None:
    with main_server.registered("steps", batch_size=4, openai="true") as name:
        asked = {"model": name, "messages": [{"role": "user", "content": "count"}]}
        reply = main_server.inference.post_json("/v1/chat/completions", asked)
        assert reply.json()["choices"][0]["message"]["content"] == "0/1,1/1,2/1,"
