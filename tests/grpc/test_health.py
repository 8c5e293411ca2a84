"""gRPC's health service: what probes of Kubernetes and load balancers ask."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from front_serving import WAIT_S, Client, Served
from support.waiting import until

from mms.bodies.protobuf_files import message_class
from mms.grpc.health import POOL, SERVICE

_PREFIX = "grpc.health.v1.Health"
Request = message_class(POOL, POOL.FindMessageTypeByName(f"{_PREFIX}CheckRequest"))
Response = message_class(POOL, POOL.FindMessageTypeByName(f"{_PREFIX}CheckResponse"))
List = message_class(POOL, POOL.FindMessageTypeByName(f"{_PREFIX}ListResponse"))
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


def ask(service: str) -> bytes:
    return bytes(Request(service=service).SerializeToString())


async def check(client: Client, service: str) -> int:
    answer = await client.call(f"/{SERVICE}/Check", ask(service))
    return int(Response.FromString(answer).status)


@pytest.mark.parametrize("service", ["", SERVICE, "seldon.protos.Model"])
async def test_the_server_and_its_services_serve_as_long_as_the_server_is_well(
    client: Client, served: Served, service: str
) -> None:
    assert await check(client, service) == SERVING
    served.host.health = "Unhealthy"
    assert await check(client, service) == NOT_SERVING


async def test_a_model_serves_once_it_is_ready_and_another_name_is_not_found(
    client: Client, served: Served
) -> None:
    assert await check(client, "iris") == SERVING
    served.host.ready = False
    assert await check(client, "iris") == NOT_SERVING
    error = await client.fail(f"/{SERVICE}/Check", ask("other"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "other" in (error.details() or "")


async def test_a_message_that_is_none_is_the_clients_mistake(client: Client) -> None:
    error = await client.fail(f"/{SERVICE}/Check", b"\xff")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_all_statuses_are_listed(client: Client) -> None:
    found = List.FromString(await client.call(f"/{SERVICE}/List")).statuses
    assert found[""].status == found[SERVICE].status == SERVING


async def test_a_client_that_watches_is_told_of_each_change(client: Client, served: Served) -> None:
    call = client.channel.unary_stream(f"/{SERVICE}/Watch")(ask("iris"), timeout=WAIT_S)
    assert Response.FromString(await call.read()).status == SERVING
    served.host.ready = False
    assert Response.FromString(await call.read()).status == NOT_SERVING
    served.host.interfaces = {}
    assert Response.FromString(await call.read()).status == UNKNOWN
    call.cancel()
    (connection,) = served.front.connections
    await until(lambda: not connection._calls)


async def test_a_server_that_stops_ends_what_clients_watch(client: Client, served: Served) -> None:
    call = client.channel.unary_stream(f"/{SERVICE}/Watch")(ask(""), timeout=WAIT_S)
    assert Response.FromString(await call.read()).status == SERVING
    await served.front.stop_listening()
    assert Response.FromString(await call.read()).status == NOT_SERVING
    assert await call.code() is grpc.StatusCode.UNAVAILABLE
    await asyncio.wait_for(served.front.drain(WAIT_S), WAIT_S)
