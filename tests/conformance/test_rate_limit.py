"""So many requests a second for each client."""

from __future__ import annotations

import math
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from .client import Reply
from .processes import command_path, free_port
from .server import Server

pytestmark = pytest.mark.better_than_mms

#: So slow that none comes back while a test runs.
SLOW = "0.01"


@pytest.fixture
def start_limited(start_server: Callable[..., Server], lane: str) -> Callable[..., Server]:
    def start(**settings: str) -> Server:
        return start_server(
            {
                "lane": lane.removeprefix("lane="),
                "load_models": "noop",
                "default_workers_per_model": "1",
                "rate_limit": SLOW,
                "rate_limit_burst": "5",
                **settings,
            }
        )

    return start


def predict(server: Server, key: str = "") -> Reply:
    headers = {"x-api-key": key} if key else {}
    return server.inference.post("/predictions/noop", "x", headers=headers)


def test_more_than_the_burst_gets_429_and_the_time_to_wait(
    start_limited: Callable[..., Server],
) -> None:
    server = start_limited()
    replies = [predict(server) for _ in range(8)]
    assert Counter(reply.status for reply in replies) == {200: 5, 429: 3}
    last = replies[-1]
    assert last.json() == {
        "code": 429,
        "type": "TooManyRequestsException",
        "message": "The client has sent more requests than rate_limit allows.",
    }
    assert 1 <= int(str(last.header("retry-after"))) <= 100
    # Neither probes nor management count, or are counted.
    assert server.inference.get("/ping").status == 200
    assert server.management.get("/models").status == 200


def test_a_pipeline_is_limited_request_by_request_in_order(
    start_limited: Callable[..., Server],
) -> None:
    server = start_limited()
    request = b"POST /predictions/noop HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
    with server.inference.wire() as wire:
        wire.send(request * 8)
        assert [wire.read_reply().status for _ in range(6)] == [200] * 5 + [429]
        assert wire.is_closed_by_peer()


def test_the_limit_is_one_for_all_apis_of_a_client(start_limited: Callable[..., Server]) -> None:
    port = free_port()
    server = start_limited(grpc_address=f"grpc://127.0.0.1:{port}")
    assert [predict(server).status for _ in range(4)] == [200] * 4
    codes = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/seldon.protos.Seldon/Predict")
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", metadata=[("seldon", "absent")], timeout=20)
            codes.append(caught.value.code())
            trailers = dict(caught.value.trailing_metadata())
    assert codes == [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert int(trailers["retry-after"]) >= 1
    assert predict(server).status == 429


def test_clients_with_keys_are_counted_by_their_keys(
    start_limited: Callable[..., Server], scratch: Path
) -> None:
    file = scratch / "keys"
    keys = [
        subprocess.run(
            [command_path("mms"), "keys", "create", name, "--role", "inference", "--file", file],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for name in ("a", "b")
    ]
    server = start_limited(keys_file=str(file))
    for key in keys:
        assert Counter(predict(server, key).status for _ in range(6)) == {200: 5, 429: 1}


def test_what_was_used_up_comes_back(start_limited: Callable[..., Server]) -> None:
    server = start_limited(rate_limit="20", rate_limit_burst="1")
    statuses: list[int] = []
    while statuses[-2:] != [429, 200]:
        reply = predict(server)
        statuses.append(reply.status)
        if reply.status == 429:
            assert math.ceil(1 / 20) == int(str(reply.header("retry-after")))
        assert len(statuses) < 2000
