"""A gRPC front with a host without workers, and its client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from front_serving import Client, Served, serve


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as running:
        yield running


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        yield Client(channel)
