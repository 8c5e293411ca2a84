from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest

from benchmarks.grpc_load import drive_calls
from benchmarks.seldon_requests import PREDICT, grpc_call


@contextmanager
def serving(handler: object) -> Iterator[int]:
    """The port of gRPC's own server; `handler` takes and gives bytes."""

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if details.method != PREDICT:
                return None
            return grpc.unary_unary_rpc_method_handler(handler)

    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(Handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("row_count", [1, 1000], ids=["one window", "several windows"])
def test_right_answers_are_counted(row_count: int) -> None:
    call = grpc_call(row_count)
    with serving(lambda message, context: message) as port:
        figures = asyncio.run(drive_calls(port, call.path, call.message, call.expected, 2, 1.0))
    assert figures["requests"] > 2
    assert figures["bad_statuses"] == 0
    assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"]


def test_wrong_answers_and_errors_are_counted_apart() -> None:
    call = grpc_call(1)
    with serving(lambda message, context: message[:-8]) as port:
        wrong = asyncio.run(drive_calls(port, call.path, call.message, call.expected, 1, 0.5))
        refused = asyncio.run(drive_calls(port, "/no.Such/Method", b"", b"x", 1, 0.5))
    assert (wrong["requests"], refused["requests"]) == (0, 0)
    assert wrong["bad_statuses"] > 0
    assert refused["bad_statuses"] > 0
