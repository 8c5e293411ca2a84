"""So many requests a second for each client."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from support.client import Client, Reply, loopback_address
from support.processes import free_port
from support.server import Server, ServerPool, by_lane

from mms.security import KeyFile, Role, new_key

pytestmark = [pytest.mark.better_than_mms, pytest.mark.edge]


class LimitedServer(Server):
    """Five requests for each client, and so slowly more that none comes back while a test runs."""

    def __init__(self, directory: Path, lane: str) -> None:
        directory.mkdir(parents=True)
        self.keys = []
        for name in ("a", "b"):
            text, key = new_key(name, [Role.INFERENCE], now=time.time())
            self.keys.append(text)
            KeyFile(directory / "keys").change(lambda known, key=key: [*known, key])
        self.grpc_port = free_port()
        self.clients = 0
        super().__init__(
            directory,
            {
                "lane": lane,
                "load_models": "noop",
                "default_workers_per_model": "1",
                "rate_limit": "0.01",
                "rate_limit_burst": "5",
                "keys_file": str(directory / "keys"),
                "open_roles": "inference,management",
                "grpc_address": f"grpc://127.0.0.1:{self.grpc_port}",
            },
        )


@pytest.fixture(scope="module")
def limited_servers(servers: ServerPool) -> Iterator[Callable[[str], LimitedServer]]:
    yield from by_lane(servers, LimitedServer)


@pytest.fixture
def limited(limited_servers: Callable[[str], LimitedServer], lane: str) -> LimitedServer:
    """Asked by a client that has asked nothing before."""
    server = limited_servers(lane)
    server.clients += 1
    source = loopback_address(2, server.clients)
    server.inference = Client(replace(server.inference.address, source=source))
    return server


def predict(server: Server, key: str = "") -> Reply:
    headers = {"x-api-key": key} if key else {}
    return server.inference.post("/predictions/noop", "x", headers=headers)


def test_more_than_the_burst_gets_429_and_the_time_to_wait(limited: LimitedServer) -> None:
    replies = [predict(limited) for _ in range(8)]
    assert Counter(reply.status for reply in replies) == {200: 5, 429: 3}
    last = replies[-1]
    assert last.json() == {
        "code": 429,
        "type": "TooManyRequestsException",
        "message": "The client has sent more requests than rate_limit allows.",
    }
    assert 1 <= int(str(last.header("retry-after"))) <= 100


def test_neither_probes_nor_management_are_counted(limited: LimitedServer) -> None:
    for _ in range(8):
        assert limited.inference.get("/ping").status == 200
        assert limited.management.get("/models").status == 200
    assert predict(limited).status == 200


def test_a_pipeline_is_limited_request_by_request_in_order(limited: LimitedServer) -> None:
    request = b"POST /predictions/noop HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
    with limited.inference.wire() as wire:
        wire.send(request * 8)
        assert [wire.read_reply().status for _ in range(8)] == [200] * 5 + [429] * 3


def test_the_limit_is_one_for_all_apis_of_a_client(limited: LimitedServer) -> None:
    limited.inference = Client(replace(limited.inference.address, source="127.0.0.1"))
    assert [predict(limited).status for _ in range(4)] == [200] * 4
    codes = []
    with grpc.insecure_channel(f"127.0.0.1:{limited.grpc_port}") as channel:
        call = channel.unary_unary("/seldon.protos.Seldon/Predict")
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", metadata=[("seldon", "absent")], timeout=20)
            codes.append(caught.value.code())
            trailers = dict(caught.value.trailing_metadata())
    assert codes == [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert int(trailers["retry-after"]) >= 1
    assert predict(limited).status == 429


def test_clients_with_keys_are_counted_by_their_keys(limited: LimitedServer) -> None:
    for key in limited.keys:
        assert Counter(predict(limited, key).status for _ in range(6)) == {200: 5, 429: 1}
    assert predict(limited).status == 200
