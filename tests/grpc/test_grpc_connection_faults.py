"""What one connection of gRPC runs into concerns it alone: others, and the timer, go on."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from front_serving import Client, serve

import mms.grpc.front
from mms.grpc.connection import GrpcConnection

_PREDICT = "/seldon.protos.Model/Predict"
#: Each is called for every call, or by the timer.
TABLE = ["check_time", "data_received", "send"]


class Injected(Exception):
    """What nothing foresaw."""


@pytest.mark.parametrize("name", TABLE)
async def test_what_raises_once_on_a_connection_ends_that_one_at_most(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mms.grpc.front, "_SWEEP_S", 0.01)
    function = getattr(GrpcConnection, name)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with serve() as served:
        address = f"127.0.0.1:{served.port}"
        apart = (("grpc.use_local_subchannel_pool", 1),)
        async with (
            grpc.aio.insecure_channel(address, apart) as channel,
            grpc.aio.insecure_channel(address, apart) as faulty,
        ):
            client = Client(channel)
            assert await client.call(_PREDICT, b"before") == b"before"
            kept = set(served.front.connections)
            raised = asyncio.Event()
            checked = asyncio.Event()

            def raise_once(connection: GrpcConnection, *arguments: Any, **more: Any) -> Any:
                if not raised.is_set() and connection not in kept:
                    raised.set()
                    raise Injected(name)
                if raised.is_set() and name == "check_time":
                    checked.set()
                return function(connection, *arguments, **more)

            monkeypatch.setattr(GrpcConnection, name, raise_once)
            try:
                assert await Client(faulty).call(_PREDICT, b"x") == b"x"
            except grpc.aio.AioRpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
            await asyncio.wait_for(raised.wait(), 20)
            assert await client.call(_PREDICT, b"after") == b"after"
            assert kept <= served.front.connections
            if name == "check_time":
                await asyncio.wait_for(checked.wait(), 20)
            assert await Client(faulty).call(_PREDICT, b"again", wait_for_ready=True) == b"again"
