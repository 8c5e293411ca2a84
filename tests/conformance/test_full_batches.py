"""Handlers that rely on full batches, such as those made from the template that MMS's documentation prints."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from support.client import Wire, request_bytes
from support.server import Server, manifest, unique_name
from support.waiting import eventually

#: Each answers a full batch alone, and none says so where it can be read before a call.
UNREADABLE = {
    "an exception": "return [str(data[self.most - 1] is not None) for _ in data]",
    "an exception after long": "__import__('time').sleep(1.5 * (self.most > len(data)))\n"
    "        return [str(data[self.most - 1] is not None) for _ in data]",
    "as many results as the largest batch": "return ['True'] * self.most",
    "its end": "self.most > len(data) and __import__('os')._exit(1)\n        return ['True'] * self.most",
}
#: What describe and the log say after "a call with 1 of 2 requests ", and the metric's cause.
REASONS = {
    "an exception": (
        "failed: 'IndexError: list index out of range (service.py, line 7)'",
        "failed",
    ),
    "an exception after long": (
        "failed: 'IndexError: list index out of range (service.py, line 8)'",
        "failed",
    ),
    "as many results as the largest batch": (
        "failed: 'the entry point returned a list of 2; a list with one result for the request is right'",
        "failed",
    ),
    "its end": ("ended the worker", "died"),
}
_CLASS = """
class Service:
    def initialize(self, context):
        self.most = context.system_properties["batch_size"]

    def handle(self, data, context):
        {}
"""
PAIRS = 1000


def _send(wire: Wire, name: str) -> None:
    wire.send(request_bytes("POST", f"/predictions/{name}", b"x", "Content-Type: text/plain"))


def _statuses(server: Server, wires: list[Wire], name: str) -> list[int]:
    for wire in wires:
        _send(wire, name)
    return [wire.read_reply().status for wire in wires]


@pytest.fixture
def wires(server: Server) -> Iterator[list[Wire]]:
    opened = [server.inference.wire() for _ in range(5)]
    yield opened
    for wire in opened:
        wire.socket.close()


def _burst(server: Server, name: str, count: int) -> list[int]:
    """Statuses of so many requests that come together, each over a connection of its own."""
    opened = [server.inference.wire() for _ in range(count)]
    statuses = sorted(_statuses(server, opened, name))
    for wire in opened:
        wire.socket.close()
    return statuses


def test_the_printed_template_answers_every_pair(server: Server, wires: list[Wire]) -> None:
    with server.registered("printed-template", batch_size=2, max_batch_delay=5000) as name:
        for _ in range(PAIRS):
            assert _statuses(server, wires[:2], name) == [200, 200]


def test_bursts_of_odd_numbers_have_the_outcomes_that_mms_gives_them(server: Server) -> None:
    with server.registered("printed-template", batch_size=2, max_batch_delay=100) as name:
        for count in (1, 3, 5, 2, 7, 1):
            # The last one is alone when its time is over, which the template cannot take.
            assert _burst(server, name, count) == [200] * (count - count % 2) + [503] * (count % 2)


@pytest.mark.better_than_mms
@pytest.mark.parametrize("how", UNREADABLE)
def test_what_cannot_take_fewer_requests_is_found_out_without_a_failed_request(
    server: Server, wires: list[Wire], how: str
) -> None:
    stem = unique_name("unreadable")
    server.write_model(stem, _CLASS.format(UNREADABLE[how]), manifest(stem))
    delay_ms = 1000 if "long" in how else 5000
    reason, cause = REASONS[how]
    with server.registered(stem, batch_size=2, max_batch_delay=delay_ms, initial_workers=2) as name:
        # The first one's call is over before the second one comes.
        _send(wires[0], name)
        eventually("it is found out", lambda: server.describe(name)["batchPolicy"] == "fixed")
        _send(wires[1], name)
        assert [wire.read_reply().status for wire in wires[:2]] == [200, 200]
        for _ in range(100):
            assert _statuses(server, wires[:2], name) == [200, 200]
        described = server.describe(name)
        assert described["batchPolicy"] == "fixed"
        assert described["batchPolicyReason"] == f"a call with 1 of 2 requests {reason}"
        server.wait_for_log(
            "mms_log.log", rf"Model {name}: batch_policy=fixed from now on: a call with 1 of 2"
        )
        metrics = server.management.get("/metrics").text
        assert f'mms_batch_policy{{cause="{cause}",model="{name}",policy="fixed"' in metrics


@pytest.mark.better_than_mms
def test_a_call_that_was_made_again_with_what_there_is_has_the_outcome_of_that(
    server: Server, wires: list[Wire]
) -> None:
    stem = unique_name("alone")
    server.write_model(stem, _CLASS.format(UNREADABLE["an exception"]), manifest(stem))
    with server.registered(stem, batch_size=2, max_batch_delay=300) as name:
        begun = time.monotonic()
        assert _statuses(server, wires[:1], name) == [503]
        assert 0.28 < time.monotonic() - begun < 10


@pytest.mark.better_than_mms
def test_a_handler_whose_source_relies_on_full_batches_starts_with_the_fixed_rule(
    server: Server,
) -> None:
    with server.registered("printed-template", batch_size=2) as name:
        described = server.describe(name)
        assert described["batchPolicy"] == "fixed"
        assert (
            "compares a length with batch_size (service.py, line 40)"
            in (described["batchPolicyReason"])
        )


@pytest.mark.better_than_mms
def test_a_policy_that_is_named_is_obeyed_whatever_the_handler_takes(
    server: Server, wires: list[Wire]
) -> None:
    with server.registered("printed-template", batch_size=2, batch_policy="adaptive") as name:
        assert _statuses(server, wires[:1], name) == [503]
        described = server.describe(name)
        assert (described["batchPolicy"], described.get("batchPolicyReason")) == ("adaptive", None)


@pytest.mark.better_than_mms
def test_a_mistake_of_a_first_client_leaves_a_handler_that_takes_any_number_adaptive(
    server: Server, wires: list[Wire]
) -> None:
    stem = unique_name("picky")
    source = "return [str(1 / int(row['body'] != 'bad')) for row in data]"
    server.write_model(stem, _CLASS.format(source), manifest(stem))
    with server.registered(stem, batch_size=4, max_batch_delay=50) as name:
        bad = server.inference.post(f"/predictions/{name}", "bad", content_type="text/plain")
        assert bad.status == 503
        assert _statuses(server, wires[:1], name) == [200]
        assert server.describe(name)["batchPolicy"] == "adaptive"


@pytest.mark.better_than_mms
def test_a_model_without_retry_starts_with_the_fixed_rule_and_runs_nothing_twice(
    server: Server,
) -> None:
    stem = unique_name("once")
    source = "open(data[0]['body'], 'ab').write(b'x')\n        __import__('os')._exit(1)"
    server.write_model(stem, _CLASS.format(source), manifest(stem))
    with server.registered(stem, batch_size=2, max_batch_delay=10, retry="false") as name:
        described = server.describe(name)
        assert (described["batchPolicy"], described["retry"]) == ("fixed", False)
        assert described["batchPolicyReason"].startswith("retry=false")
        calls = server.directory / unique_name("calls")
        reply = server.inference.post(f"/predictions/{name}", str(calls), content_type="text/plain")
        assert (reply.status, reply.json()["message"]) == (500, "Worker died.")
        assert calls.read_bytes() == b"x"
