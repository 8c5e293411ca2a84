"""Sequences of TorchServe's clients over HTTP and gRPC, and job tickets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import in_parallel, request_bytes

from conformance.archives import write_archive
from conformance.torchserve.conftest import TorchServe
from conformance.torchserve.test_torchserve_grpc import INFERENCE, Stub

_HANDLER = """
import os, time


class Handler:
    def initialize(self, context):
        self.sums = {}

    def handle(self, data, context):
        ids = [context.get_sequence_id(place) for place in range(len(data))]
        assert len(ids) == len(set(ids)), ids
        return [self.answer(place, row, id, context) for place, (row, id) in enumerate(zip(data, ids))]

    def answer(self, place, row, id, context):
        if context.get_request_header(place, context.header_key_sequence_start):
            assert id not in self.sums
            self.sums[id] = (0, [])
        sum, numbers = self.sums.get(id) or (0, ["lost"])
        number = int(bytes(row.get("data") or row.get("body")))
        numbers.append(number)
        self.sums[id] = (sum + number, numbers)
        context.set_response_header(place, context.header_key_sequence_id, id)
        if not number:
            context.set_response_header(place, context.header_key_sequence_end, id)
        return {"sum": sum + number, "numbers": numbers, "pid": os.getpid()}
"""
_CONTINUOUS = """
class Handler:
    def initialize(self, context):
        context.cache = {}
        self.said = {}

    def handle(self, data, context):
        answers = []
        criteria = []
        for place in range(len(data)):
            id, request_id = context.get_sequence_id(place), context.get_request_id(place)
            if request_id not in context.cache:
                context.cache[request_id] = bytes(data[place]["data"]).decode()
                self.said.setdefault(id, []).append(context.cache[request_id])
            word = context.cache[request_id]
            is_over = word == "stop" or "stop" in self.said[id]
            answers.append(word if is_over else "")
            criteria.append(lambda _, is_over=is_over, word=word: None if word == "stop" else is_over)
        context.stopping_criteria = criteria
        return answers
"""
_CONFIG = """
minWorkers: 2
maxWorkers: 2
batchSize: 4
maxBatchDelay: 0
sequenceBatching: true
sequenceMaxIdleMSec: 60000
maxNumSequence: 6
maxSequenceJobQueueSize: 20
"""


def _archive(store: Path, name: str, handler: str, config: str) -> None:
    model = {"modelName": name, "handler": "handler.py", "modelVersion": "1.0"}
    model["configFile"] = "model-config.yaml"
    manifest = {"runtime": "python", "model": model, "archiverVersion": "0.12.0"}
    files = {"handler.py": handler, "model-config.yaml": config}
    write_archive(store / f"{name}.mar", {**files, "MAR-INF/MANIFEST.json": json.dumps(manifest)})


@pytest.fixture(scope="module")
def sums(shared_torchserve: TorchServe) -> Iterator[str]:
    _archive(shared_torchserve.store, "sums", _HANDLER, _CONFIG)
    with shared_torchserve.registered("sums.mar", initial_workers=2) as name:
        yield name


@pytest.fixture(scope="module")
def stub(shared_torchserve: TorchServe) -> Iterator[Stub]:
    found = Stub(INFERENCE, int(str(shared_torchserve.settings["grpc_inference_port"])))
    yield found
    found.close()


def _ask(server: TorchServe, name: str, number: int, sequence_id: str = "") -> Any:
    headers = (f"ts_request_sequence_id: {sequence_id}",) if sequence_id else ()
    with server.inference.wire() as wire:
        wire.send(request_bytes("POST", f"/predictions/{name}", str(number).encode(), *headers))
        return wire.read_reply()


def test_requests_of_a_sequence_reach_one_process_in_their_order(
    shared_torchserve: TorchServe, sums: str
) -> None:
    ids = [_ask(shared_torchserve, sums, 1).header("ts_request_sequence_id") for _ in range(4)]
    assert len(set(ids)) == 4
    with shared_torchserve.inference.wire() as wire:
        for number in range(2, 12):
            for id in ids:
                path = f"/predictions/{sums}"
                header = f"ts_request_sequence_id: {id}"
                wire.send(request_bytes("POST", path, str(number).encode(), header))
        replies = [wire.read_reply().json() for _ in range(40)]
    pids = [reply["pid"] for reply in replies[:4]]
    # Two workers with two sequences each.
    assert sorted(pids.count(pid) for pid in set(pids)) == [2, 2]
    for place, reply in enumerate(replies):
        count = place // 4 + 2
        assert (reply["numbers"][:count], reply["pid"]) == ([*range(1, count + 1)], pids[place % 4])
    described = shared_torchserve.management.get(f"/models/{sums}").json()[0]
    assert (described["stateful"], described["maxNumSequence"]) == (True, 6)
    for id in ids:
        assert _ask(shared_torchserve, sums, 0, str(id)).json()["sum"] == 66


def test_sequences_beyond_the_most_are_refused_until_the_model_ends_one(
    shared_torchserve: TorchServe, sums: str
) -> None:
    for place in range(6):
        assert _ask(shared_torchserve, sums, 1, f"most-{place}").status == 200
    refused = _ask(shared_torchserve, sums, 1, "most-6")
    assert (refused.status, "max_sequences" in refused.json()["message"]) == (503, True)
    _ask(shared_torchserve, sums, 0, "most-0")
    assert _ask(shared_torchserve, sums, 1, "most-6").status == 200
    for place in range(1, 7):
        _ask(shared_torchserve, sums, 0, f"most-{place}")


def test_messages_of_a_stream_are_answered_one_by_one_with_their_errors_among_them(
    shared_torchserve: TorchServe, sums: str, stub: Stub
) -> None:
    first = {"model_name": sums, "input": {"data": b"1", "ts_request_sequence_start": b"true"}}
    [begun] = stub.StreamPredictions2([first])
    id = begun.sequence_id
    assert id.startswith("ts-seq-")
    rest = [
        {"model_name": sums, "sequence_id": id, "input": {"data": b"%d" % number}}
        for number in (2, 3, 4)
    ]
    wrong = [
        {"model_name": "absent", "sequence_id": "x", "input": {"data": b"1"}},
        {"model_name": sums, "input": {"data": b"1"}},
        {"model_name": sums, "sequence_id": "a\nb: c", "input": {"data": b"1"}},
    ]
    last = {"data": b"5", "ts_request_sequence_end": b"True"}
    end = {"model_name": sums, "sequence_id": id, "input": last}
    replies = list(stub.StreamPredictions2([*rest, *wrong, end]))
    good = [json.loads(reply.prediction)["sum"] for reply in replies if reply.prediction]
    assert good == [3, 6, 10, 15]
    codes = {reply.sequence_id: reply.status.code for reply in replies if not reply.prediction}
    assert codes == {"x": 5, "": 3, "a\nb: c": 3}
    assert all(reply.sequence_id == id for reply in replies if reply.prediction)
    described = shared_torchserve.management.get(f"/models/{sums}").json()[0]
    assert described["stateful"]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_request_joins_the_running_batch_of_its_sequence_which_others_do_not_see(
    shared_torchserve: TorchServe, stub: Stub, batch_size: int
) -> None:
    config = _CONFIG.replace("batchSize: 4", f"batchSize: {batch_size}")
    config += "continuousBatching: true\n"
    _archive(shared_torchserve.store, "talk", _CONTINUOUS, config)

    with shared_torchserve.registered("talk.mar", initial_workers=2) as name:

        def say(id: str, word: bytes) -> dict[str, Any]:
            return {"model_name": name, "sequence_id": id, "input": {"data": word}}

        # The first one's answer goes on until the second one, of the same sequence, is there.
        words = [say(id, word) for word in (b"go", b"stop") for id in ("a", "b")]
        replies = list(stub.StreamPredictions2(words))
    for id in ("a", "b"):
        own = [reply.prediction for reply in replies if reply.sequence_id == id]
        assert sorted(filter(None, own)) == [b"go", b"stop"]


def test_with_job_tickets_no_request_waits(shared_torchserve: TorchServe) -> None:
    handler = """
import time
def handle(data, context):
    if data is None:
        return None
    time.sleep(0.3)
    return ["slept"] * len(data)
"""
    _archive(shared_torchserve.store, "tickets", handler, "useJobTicket: true\n")
    with shared_torchserve.registered("tickets.mar") as name:
        replies = in_parallel([lambda: _ask(shared_torchserve, name, 1) for _ in range(4)])
        assert sorted(reply.status for reply in replies) == [200, 503, 503, 503]
        [told] = {reply.json()["message"] for reply in replies if reply.status == 503}
        assert "job_tickets lets no request wait" in told
        described = shared_torchserve.management.get(f"/models/{name}").json()[0]
        assert described["useJobTicket"] is True
