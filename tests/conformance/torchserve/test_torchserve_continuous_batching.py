"""Handlers of TorchServe with `continuousBatching`: called for all running requests, until each is complete."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.client import Wire, in_parallel, request_bytes
from support.waiting import eventually

from conformance.archives import write_archive
from conformance.torchserve.conftest import TorchServe

_HANDLER = """
import os
from ts.torch_handler.base_handler import BaseHandler
from ts.handler_utils.utils import send_intermediate_predict_response


class Counter(BaseHandler):
    def initialize(self, context):
        self.context = context
        context.cache = {}

    def handle(self, data, context):
        ids = [context.request_ids[place] for place in range(len(data))]
        for place, (request_id, row) in enumerate(zip(ids, data)):
            if request_id not in context.cache:
                context.cache[request_id] = {**row["body"], "at": 0}
                context.set_response_header(place, "x-new", request_id)
                send_intermediate_predict_response(
                    [f"{len(context.cache)} cached,"] if len(data) == 1 else
                    ["" if other != place else f"{len(context.cache)} cached," for other in range(len(data))],
                    context.request_ids, "Intermediate Prediction success", 200, context,
                )
            elif row:
                raise ValueError(f"{request_id} came once more")
        context.stopping_criteria = [self.is_complete(request_id) for request_id in ids]
        return [self.next(request_id) for request_id in ids]

    def next(self, request_id):
        state = self.context.cache[request_id]
        if state["at"] < state["count"]:
            state["at"] += 1
            return f"{state['at'] - 1},"
        return ""

    def is_complete(self, request_id):
        def is_complete(result):
            state = self.context.cache[request_id]
            if "wait for" in state and not os.path.exists(state["wait for"]):
                return False
            if "plain" in state:
                return None
            return state["at"] == state["count"]
        return is_complete
"""


@pytest.fixture(scope="module")
def counter(shared_torchserve: TorchServe) -> Any:
    manifest = {
        "runtime": "python",
        "model": {
            "modelName": "counter",
            "handler": "handler.py",
            "modelVersion": "1.0",
            "configFile": "model-config.yaml",
        },
        "archiverVersion": "0.12.0",
    }
    write_archive(
        shared_torchserve.store / "counter.mar",
        {
            "handler.py": _HANDLER,
            "model-config.yaml": "continuousBatching: true\nbatchSize: 4\nmaxBatchDelay: 0\n",
            "MAR-INF/MANIFEST.json": json.dumps(manifest),
        },
    )
    with shared_torchserve.registered("counter.mar") as name:
        yield name


def _send(wire: Wire, name: str, order: dict[str, Any]) -> None:
    wire.send(
        request_bytes(
            *("POST", f"/predictions/{name}", json.dumps(order).encode()),
            "Content-Type: application/json",
        )
    )


def _ask(server: TorchServe, name: str, order: dict[str, Any]) -> Any:
    with server.inference.wire() as wire:
        _send(wire, name, order)
        return wire.read_reply()


def test_a_request_is_streamed_until_its_criterion_says_that_it_is_complete(
    shared_torchserve: TorchServe, counter: str
) -> None:
    reply = _ask(shared_torchserve, counter, {"count": 4})
    assert reply.text == "1 cached,0,1,2,3,"
    assert reply.header("x-new") is not None
    assert _ask(shared_torchserve, counter, {"count": 9, "plain": True}).text == "1 cached,0,"


def test_requests_run_side_by_side_and_those_without_a_client_leave_the_cache(
    shared_torchserve: TorchServe, counter: str, tmp_path: Any
) -> None:
    with shared_torchserve.inference.wire() as gone:
        _send(gone, counter, {"count": 1, "wait for": str(tmp_path / "never")})
        gone._read_until(b"0,")
        assert _ask(shared_torchserve, counter, {"count": 3}).text == "2 cached,0,1,2,"
    eventually(
        "the cache has no more of it",
        lambda: _ask(shared_torchserve, counter, {"count": 1}).text == "1 cached,0,",
    )
    counts = [1 + number % 5 for number in range(12)]
    replies = in_parallel(
        [lambda n=n: _ask(shared_torchserve, counter, {"count": n}) for n in counts]
    )
    for count, reply in zip(counts, replies, strict=True):
        numbers = "".join(f"{number}," for number in range(count))
        assert reply.text.partition(" cached,")[2] == numbers
