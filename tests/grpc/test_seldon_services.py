"""Seldon's services as clients of the gRPC project see them."""

from __future__ import annotations

import asyncio
import json
import re
import time

import grpc
import pytest
from front_serving import JSON_LINE, WAIT_S, Client, Served, serve

from mms.core import Request
from mms.errors import ServiceUnavailable, WorkerFailure
from mms.interfaces.seldon.codec.messages import SERVICES
from mms.wire import ModelOperation

PREDICT = "/seldon.protos.Model/Predict"
EXTERNAL = "/seldon.protos.Seldon/Predict"
PATHS = [
    (f"/{service}/{name}", method.operation)
    for service, methods in SERVICES.items()
    for name, method in methods.items()
]


def refuse(status: int, message: str) -> object:
    def behave(request: Request) -> None:
        body = json.dumps({"status": {"code": -1, "info": message, "reason": "R", "status": 1}})
        request.answer(status, b"Some", JSON_LINE, body.encode())

    return behave


@pytest.mark.parametrize(("path", "operation"), PATHS)
async def test_every_method_of_seldons_services_is_an_operation_of_the_model(
    path: str, operation: str, served: Served, client: Client
) -> None:
    served.host.graphs.add("iris")
    assert await client.call(path, b"\x2a\x01a") == b"\x2a\x01a"
    (request,) = served.host.requests
    assert (request.name, request.content_type) == ("iris", b"application/x-protobuf")
    assert request.operation == ModelOperation(operation)


async def test_a_message_of_many_frames_comes_and_goes_whole(client: Client) -> None:
    body = bytes(range(256)) * 12_000
    assert await client.call(PREDICT, body) == body


async def test_many_calls_share_one_connection(served: Served, client: Client) -> None:
    bodies = [b"%d" % n * (n * 100 + 1) for n in range(400)]
    answers = await asyncio.gather(*(client.call(PREDICT, body) for body in bodies))
    assert answers == bodies
    assert len(served.front.connections) == 1


async def test_metadata_reach_the_model_as_headers(served: Served, client: Client) -> None:
    await client.call(PREDICT, metadata=(("x-tenant", "blue"), ("seldon", "iris")))
    parts = served.host.requests[0].headers.split(b"\n")
    assert dict(zip(parts[::2], parts[1::2], strict=True)) == {
        b"x-tenant": b"blue",
        b"seldon": b"iris",
    }


# Which model


async def test_the_metadata_seldon_names_the_model(served: Served, client: Client) -> None:
    served.host.interfaces["other"] = "seldon"
    await client.call(PREDICT, metadata=(("seldon", "other"), ("namespace", "any")))
    assert served.host.requests[0].name == "other"


async def test_the_first_of_two_names_counts(served: Served, client: Client) -> None:
    await client.call(PREDICT, metadata=(("seldon", "iris"), ("seldon", "other")))
    assert served.host.requests[0].name == "iris"


async def test_a_model_that_nobody_registered_is_not_found(client: Client) -> None:
    error = await client.fail(PREDICT, metadata=(("seldon", "nobody"),))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "Model not found: nobody"


async def test_without_a_name_the_only_component_is_asked_also_after_a_change(
    served: Served, client: Client
) -> None:
    await client.call(PREDICT)
    served.host.interfaces["second"] = "seldon"
    served.host.registry.generation += 1
    error = await client.fail(PREDICT)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "default_model" in str(error.details())


async def test_without_a_name_the_default_model_is_asked() -> None:
    async with serve(default_model="second") as served:
        served.host.interfaces["second"] = "seldon"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
            await Client(channel).call(PREDICT)
        assert served.host.requests[0].name == "second"


async def test_a_model_of_another_interface_is_refused(served: Served, client: Client) -> None:
    served.host.interfaces["noop"] = "mms"
    error = await client.fail(PREDICT, metadata=(("seldon", "noop"),))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "Model noop is not a Seldon component."


async def test_a_model_whose_interface_is_not_known_yet_is_unavailable(
    served: Served, client: Client
) -> None:
    served.host.interfaces["iris"] = "auto"
    error = await client.fail(PREDICT, metadata=(("seldon", "iris"),))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(error.trailing_metadata())["retry-after"] == "1"


# Errors


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.INVALID_ARGUMENT),
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        (404, grpc.StatusCode.NOT_FOUND),
        (418, grpc.StatusCode.INVALID_ARGUMENT),
        (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (500, grpc.StatusCode.INTERNAL),
        (501, grpc.StatusCode.UNIMPLEMENTED),
        (503, grpc.StatusCode.UNAVAILABLE),
        (504, grpc.StatusCode.DEADLINE_EXCEEDED),
        (599, grpc.StatusCode.INTERNAL),
    ],
)
async def test_a_components_error_has_the_code_of_its_status_and_its_message(
    status: int, code: grpc.StatusCode, served: Served, client: Client
) -> None:
    served.host.on_submit = refuse(status, "50 % off\nfür Ödön")  # type: ignore[assignment]
    error = await client.fail(PREDICT)
    assert (error.code(), error.details()) == (code, "50 % off\nfür Ödön")
    assert dict(error.trailing_metadata())["x-request-id"] == served.host.requests[0].id.decode()
    assert served.records[0][2] == status
    (note,) = served.errors.newest()
    assert (note.request_id.encode(), note.model, note.status) == (
        *(served.host.requests[0].id, "iris", status),
    )
    assert note.message == "50 % off\\nfür Ödön"


async def test_in_strict_mode_a_components_error_is_unknown() -> None:
    async with serve(seldon_strict=True) as served:
        served.host.on_submit = refuse(400, "no")  # type: ignore[assignment]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
            error = await Client(channel).fail(PREDICT)
    assert error.code() is grpc.StatusCode.UNKNOWN
    assert error.details() == "Exception calling application: no"


async def test_a_message_of_the_component_is_an_answer_whatever_its_status(
    served: Served, client: Client
) -> None:
    served.host.on_submit = lambda request: request.answer(
        400, b"Bad", b"Content-Type: application/x-protobuf\r\n", b"\x2a\x01e"
    )
    assert await client.call(PREDICT) == b"\x2a\x01e"


async def test_errors_of_the_front_have_their_own_codes(served: Served, client: Client) -> None:
    served.host.on_submit = lambda request: request.fail(ServiceUnavailable("full", 3))
    error = await client.fail(PREDICT)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "full")
    assert dict(error.trailing_metadata())["retry-after"] == "3"
    served.host.on_submit = lambda request: request.fail(WorkerFailure("Out of resources", 507))
    error = await client.fail(PREDICT)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_component_has_no_metadata_of_a_graph(served: Served, client: Client) -> None:
    error = await client.fail("/seldon.protos.Seldon/GraphMetadata")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert served.host.requests == []


async def test_a_component_is_asked_for_its_metadata_whatever_name_is_given(
    served: Served, client: Client
) -> None:
    await client.call("/seldon.protos.Seldon/ModelMetadata", b"\x0a\x04node")
    assert served.host.requests[0].body == b""


async def test_an_unknown_method_is_unimplemented(client: Client) -> None:
    error = await client.fail("/seldon.protos.Model/Nothing", b"x" * 100_000)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


# What is told beside the answer


async def test_an_answer_names_the_request(served: Served, client: Client) -> None:
    call = client.start(PREDICT, b"", timeout=WAIT_S)
    await call
    trailers = dict(await call.trailing_metadata())
    assert trailers["x-request-id"] == served.host.requests[0].id.decode()


async def test_the_external_api_names_the_prediction_as_its_client_does(
    served: Served, client: Client
) -> None:
    call = client.start(EXTERNAL, b"", metadata=(("seldon-puid", "p-1"),), timeout=WAIT_S)
    await call
    assert dict(await call.initial_metadata())["seldon-puid"] == "p-1"
    call = client.start(EXTERNAL, b"", timeout=WAIT_S)
    await call
    made = dict(await call.initial_metadata())["seldon-puid"]
    assert made == served.host.requests[1].id.decode()


async def test_a_call_is_recorded_like_a_request_of_http(served: Served, client: Client) -> None:
    await client.call(PREDICT)
    _, line, status, elapsed_s, model, version, trace = served.records[0]
    assert re.fullmatch(rf'/127\.0\.0\.1:\d+ "POST {PREDICT} HTTP/2\.0"', line)
    assert status == 200
    assert 0 <= elapsed_s < WAIT_S
    assert (model, version, trace) == ("iris", "", None)


# Time and cancellation


async def test_the_deadline_goes_with_the_request(served: Served, client: Client) -> None:
    before = time.monotonic()
    await client.call(PREDICT, timeout=5.0)
    assert before + 4.0 < served.host.requests[0].deadline < time.monotonic() + 5.1
    await client.start(PREDICT)
    assert served.host.requests[1].deadline == 0.0


async def test_a_deadline_that_passes_cancels_the_request(served: Served, client: Client) -> None:
    served.host.on_submit = None
    # Time enough for the call to arrive, on a busy machine, too.
    error = await client.fail(PREDICT, timeout=0.5)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(served.host.was_cancelled.wait(), WAIT_S)
    assert served.host.cancelled == served.host.requests


async def test_a_call_that_its_client_cancels_is_cancelled_in_the_host(
    served: Served, client: Client
) -> None:
    served.host.on_submit = None
    call = client.start(PREDICT)
    waiting = asyncio.ensure_future(served.host.arrived.wait())
    await asyncio.wait_for(asyncio.shield(waiting), WAIT_S)
    call.cancel()
    await asyncio.wait_for(served.host.was_cancelled.wait(), WAIT_S)
    assert served.host.cancelled == served.host.requests
    assert served.records[0][2] == 499
    served.host.on_submit = lambda request: request.answer(200, b"OK", b"", b"next")
    assert await client.call(PREDICT) == b"next"


async def test_the_requests_of_a_client_that_is_gone_are_cancelled(served: Served) -> None:
    served.host.on_submit = None
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        call = Client(channel).start(PREDICT)
        await asyncio.wait_for(served.host.arrived.wait(), WAIT_S)
    await asyncio.wait_for(served.host.was_cancelled.wait(), WAIT_S)
    assert served.host.cancelled == served.host.requests
    assert call.cancelled()


# Sizes


async def test_a_message_over_the_limit_is_refused_and_the_connection_goes_on() -> None:
    async with (
        serve(grpc_max_request_size=100_000) as served,
        grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel,
    ):
        client = Client(channel)
        for size in (100_001, 3_000_000):
            error = await client.fail(PREDICT, b"x" * size)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert f"larger than max ({size} vs. 100000)" in str(error.details())
        assert await client.call(PREDICT, b"x" * 100_000) == b"x" * 100_000
        assert len(served.host.requests) == 1


@pytest.mark.parametrize("kind", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_messages_are_read(kind: grpc.Compression, client: Client) -> None:
    body = b"abc" * 1000
    assert await client.call(PREDICT, body, compression=kind) == body


async def test_a_compressed_message_that_unfolds_over_the_limit_is_refused() -> None:
    async with (
        serve(grpc_max_request_size=1000) as served,
        grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel,
    ):
        body = b"\0" * 100_000
        error = await Client(channel).fail(PREDICT, body, compression=grpc.Compression.Gzip)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert served.host.requests == []


@pytest.mark.parametrize(("given", "is_taken"), [("mine-1", True), ("a" * 37, False)])
async def test_a_clients_own_id_is_taken_where_that_is_set(given: str, is_taken: bool) -> None:
    async with (
        serve(trust_request_id=True) as served,
        grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel,
    ):
        call = Client(channel).start(PREDICT, b"x", metadata=[("x-request-id", given)])
        await call
        shown = dict(await call.trailing_metadata())["x-request-id"]
        assert (shown == given) == is_taken
        assert served.host.requests[0].id == str(shown).encode()


# The end


async def test_what_was_accepted_is_answered_while_the_server_stops(
    served: Served, client: Client
) -> None:
    served.host.on_submit = None
    call = client.start(PREDICT, b"", timeout=WAIT_S)
    await asyncio.wait_for(served.host.arrived.wait(), WAIT_S)
    await served.front.stop_listening()
    draining = asyncio.ensure_future(served.front.drain(WAIT_S))
    (request,) = served.host.requests
    request.answer(200, b"OK", b"", b"late")
    assert bytes(await call) == b"late"
    await asyncio.wait_for(draining, WAIT_S)
    assert not served.front.connections
