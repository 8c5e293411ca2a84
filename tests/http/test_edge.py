"""The front's manners: who is waited for, who is not, and what everybody is told."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest
from support.waiting import until

from mms.errors import ConfigurationError
from mms.http.apis.plugins import Plugins
from mms.http.parameters import ParameterRule
from mms.serving import Outcome
from mms.settings import Settings


async def test_a_client_too_slow_with_its_head_is_ended(make_bench):
    bench = await make_bench(lane=False, head_timeout_s=0.1)
    assert await bench.exchange(b"GET /pi") == b""


async def test_a_client_too_slow_with_its_body_is_told_so(make_bench, monkeypatch):
    monkeypatch.setattr("mms.http.web.server._LINGER_S", 0.1)
    bench = await make_bench(lane=False, body_timeout_s=0.1)
    received = await bench.exchange(
        b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"
    )
    assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("framing", [b"Content-Length: 5000000", b"Transfer-Encoding: chunked"])
async def test_what_is_still_to_come_of_a_body_gives_no_more_time(make_bench, framing):
    bench = await make_bench(lane=False, body_timeout_s=0.1)
    head = b"POST /predictions/m HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n\r\n"
    reader, writer = await bench.connect()
    writer.write(head + b"1\r\nx\r\n")
    began = time.monotonic()
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 9
    writer.transport.abort()


async def test_a_client_that_reads_nothing_of_its_answer_is_ended(make_bench):
    bench = await make_bench(lane=False, keep_alive_timeout_s=0.5)
    bench.host.on_submit = lambda request: request.answer(200, b"", b"", bytes(20_000_000))
    _, writer = await bench.connect()
    writer.transport.pause_reading()
    writer.write(b"GET /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    await until(lambda: not bench.front.connection_count)
    writer.transport.abort()


async def test_a_client_that_reads_slowly_gets_all_of_its_answer(make_bench):
    bench = await make_bench(lane=False, keep_alive_timeout_s=1.0)
    bench.host.on_submit = lambda request: request.answer(200, b"", b"", bytes(20_000_000))
    reader, writer = await bench.connect()
    writer.write(b"GET /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    for _ in range(8):
        # Longer than the time in all; the pace of the client is what is tested.
        await asyncio.sleep(0.2)
        await asyncio.wait_for(reader.readexactly(2_500_000), 10)
    writer.close()


async def test_at_the_end_connections_without_a_request_are_closed_first(bench):
    bench.host.on_submit = None
    idle, idle_writer = await bench.connect()
    asked, asked_writer = await bench.connect()
    asked_writer.write(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.wait_for(asked.readuntil(b"Healthy"), 10)
    busy, busy_writer = await bench.connect()
    busy_writer.write(b"POST /predictions/m HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    await bench.front.stop_listening()
    await asyncio.wait_for(idle.read(), 10)
    await asyncio.wait_for(asked.read(), 10)
    bench.host.requests[0].answer(200, b"", b"", b"answer")
    assert b"200" in await asyncio.wait_for(busy.readuntil(b"answer"), 10)
    for writer in (idle_writer, asked_writer, busy_writer):
        writer.close()


async def test_what_came_while_the_process_was_held_up_is_answered_at_the_end(bench):
    accepted, asked = await bench.connect()
    await until(lambda: bench.front.connection_count)
    request = b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"
    asked.write(request + b"1")
    with socket.create_connection(("127.0.0.1", bench.port), 20) as waiting:
        waiting.sendall(request + b"2")
        time.sleep(0.3)  # noqa: ASYNC251 - as long as connections may be quiet
        await bench.front.stop_listening()
        await bench.front.drain(20)
        received = [await asyncio.wait_for(accepted.read(), 20), waiting.recv(1000)]
    for answer, body in zip(received, (b"1", b"2"), strict=True):
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\n" + body)
    asked.close()


async def test_a_chunked_body_over_the_limit_is_413(make_bench):
    bench = await make_bench(max_request_size=10)
    chunk = b"8\r\n12345678\r\n"
    received = await bench.exchange(
        b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk * 2
        + b"0\r\n\r\n"
    )
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"max_request_size, 10 bytes" in received
    assert bench.host.requests == []


async def test_connections_over_the_limit_are_ended_and_others_are_not(make_bench):
    bench = await make_bench(max_connections=2)
    held = [await bench.connect() for _ in range(2)]
    for _, writer in held:
        writer.write(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
    for reader, _ in held:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    reader, writer = await bench.connect()
    with pytest.raises((ConnectionError, EOFError)):
        writer.write(b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.wait_for(reader.readexactly(1), 10)
    for _, open_writer in [*held, (reader, writer)]:
        open_writer.close()


async def test_a_fault_of_ours_is_500_for_its_request_alone(bench, caplog):
    def break_down(name, version=None):
        raise RuntimeError("our own fault")

    bench.host.describe = break_down
    status, _, body = await bench.call("GET", "/models/m")
    assert status == 500
    assert json.loads(body)["type"] == "InternalServerException"
    assert "our own fault" in caplog.text
    assert (await bench.call("GET", "/ping"))[0] == 200


async def test_a_client_that_goes_takes_its_request_along(bench):
    bench.host.on_submit = None
    _, writer = await bench.connect()
    writer.write(b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    writer.transport.abort()
    await asyncio.wait_for(bench.host.was_cancelled.wait(), 10)


async def test_a_management_operation_outlives_its_client(bench):
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def unregister(name, version):
        begun.set()
        await may_end.wait()
        ended.set()
        return Outcome(200, None, "done")

    bench.host.unregister = unregister
    _, writer = await bench.connect()
    writer.write(b"DELETE /models/m HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.wait_for(begun.wait(), 10)
    writer.transport.abort()
    await until(lambda: not bench.front.connection_count)
    may_end.set()
    await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize("path", [b"/ping", b"/predictions/m"])
async def test_a_request_of_http_1_1_needs_a_host_and_one_of_1_0_does_not(bench, path):
    received = await bench.exchange(b"GET " + path + b" HTTP/1.1\r\n\r\n")
    assert received.split(b" ")[1] == b"400"
    received = await bench.exchange(b"GET " + path + b" HTTP/1.0\r\n\r\n")
    assert received.split(b" ")[1] == b"200"


async def test_a_half_closed_client_gets_its_answer(bench):
    bench.host.on_submit = None
    reader, writer = await bench.connect()
    writer.write(b"POST /predictions/m HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
    writer.write_eof()
    await asyncio.wait_for(bench.host.arrived.wait(), 10)
    bench.host.requests[0].answer(200, b"", b"", b"answer")
    received = await asyncio.wait_for(reader.read(), 10)
    assert received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"answer")
    writer.close()


async def test_what_is_no_http_is_400_recorded_and_no_error_of_the_server(bench, caplog):
    received = await bench.exchange(b"NO HTTP AT ALL\r\n\r\n")
    assert received.split(b" ", 2)[1] == b"400"
    assert [record[2] for record in bench.records] == [400]
    received = await bench.exchange(b"GET /ping HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n")
    assert received.split(b" ", 2)[1] == b"400"
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]


SMUGGLED = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"Content-Length: 1, 2\r\n\r\nab",
    b"Content-Length: +1\r\n\r\na",
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    b"A: b\r\n c\r\n\r\n",
    b"A : b\r\n\r\n",
    b"A: b\0c\r\n\r\n",
]


@pytest.mark.parametrize("rest", SMUGGLED)
async def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(bench, rest):
    received = await bench.exchange(b"POST /predictions/m HTTP/1.1\r\nHost: h\r\n" + rest)
    assert received.split(b" ", 2)[1] == b"400"
    assert received.count(b"HTTP/1.") == 1
    assert bench.host.requests == []


async def test_metrics_are_served_beside_the_management_api(bench):
    assert (await bench.call("GET", "/metrics"))[2] == b"metrics\n"
    assert (await bench.call("POST", "/metrics"))[0] == 405


async def test_an_unusual_outcome_keeps_its_phrase(bench):
    _, head, _ = await bench.call("PUT", "/models/m?min_worker=2&synchronous=true")
    assert head.startswith(b"HTTP/1.1 210 Partial Success\r\n")
    assert bench.host.scaled == [("m", None, 2, 2, True)]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/models?url=a&batch_size=x", "Parameter batch_size must be a whole number, not 'x'."),
        ("/models?url=a&preload_model=maybe", "Parameter preload_model must be true or false"),
        ("/models?url=a&batch_policy=odd", "Parameter batch_policy must be adaptive or fixed"),
        ("/models", "Parameter url is required."),
    ],
)
async def test_a_bad_parameter_is_named_with_what_would_be_right(bench, target, message):
    status, _, body = await bench.call("POST", target)
    assert status == 400
    assert message in json.loads(body)["message"]


async def test_timeouts_are_minutes_in_a_query_and_seconds_in_json(bench):
    await bench.call("POST", "/models?url=a&response_timeout=2")
    await bench.call(
        "POST", "/models", b"{url: a, response_timeout: 2}", "Content-Type: application/json"
    )
    assert [o.response_timeout_s for o in bench.host.registered] == [120.0, 2.0]


@pytest.mark.parametrize("body", [b" ", b"{", b"[]", b"\xff"])
async def test_a_json_body_that_is_none_is_400(bench, body):
    status, _, _ = await bench.call("POST", "/models", body, "Content-Type: application/json")
    assert status == 400
    assert bench.host.registered == []


async def test_strict_ping_tells_by_its_status(make_bench):
    bench = await make_bench(strict_ping=True)
    bench.host.health = "Unhealthy"
    assert (await bench.call("GET", "/ping"))[0] == 503


PLUGIN = """
class Hello:
    url_pattern = "hello"
    endpoint_type = "INFERENCE"

    def do_get(self, request, response, context):
        response.set_status(201, "Made")
        response.set_header("x-models", ",".join(context.models))
        response.body.write(request.parameters["who"][0].encode())

    def do_put(self, request, response, context):
        raise OSError("disk")

    def do_post(self, request, response, context):
        raise KeyError("bad")


endpoints = [Hello()]
"""


async def test_a_plugin_of_the_folder_serves_its_path(make_bench, tmp_path):
    (tmp_path / "hello.py").write_text(PLUGIN)
    bench = await make_bench(plugins_path=str(tmp_path))
    status, head, body = await bench.call("GET", "/hello?who=me")
    assert (status, body) == (201, b"me")
    assert head.startswith(b"HTTP/1.1 201 Made\r\n")
    assert b"x-models: m" in head


@pytest.mark.parametrize(
    ("method", "type_name", "message"),
    [
        ("PUT", "InternalServerException", "I/O error while running the custom endpoint"),
        ("POST", "KeyError", "Unknown exception"),
        (
            "DELETE",
            "ModelServerEndpointException",
            "No implementation found .. Default implementation invoked",
        ),
    ],
)
async def test_what_goes_wrong_in_a_plugin_is_told(
    make_bench, tmp_path, method, type_name, message
):
    (tmp_path / "hello.py").write_text(PLUGIN)
    bench = await make_bench(plugins_path=str(tmp_path))
    status, _, body = await bench.call(method, "/hello")
    told = json.loads(body)
    assert (status, told["type"], told["message"]) == (500, type_name, message)


def test_two_plugins_of_one_path_are_refused():
    class One:
        url_pattern = "same"
        endpoint_type = "INFERENCE"

    with pytest.raises(ConfigurationError, match='Multiple plugins found for endpoint "same"'):
        Plugins([One(), One()], Settings(), None, ParameterRule(is_strict=False), worker_count=1)  # type: ignore[arg-type]


async def test_sagemakers_ping_waits_for_the_first_loaded_worker(make_bench):
    bench = await make_bench(has_sagemaker_config=True)
    status, head, body = await bench.call("GET", "/ping")
    assert (status, body) == (503, b"Models are not loaded")
    assert head.startswith(b"HTTP/1.1 503 Model loading...\r\n")
    bench.host.has_loaded = True
    status, _, body = await bench.call("GET", "/ping")
    assert (status, body) == (200, b'{\n\t"Status": "Healthy"\n}\n')


@pytest.mark.parametrize("variable", ["SAGEMAKER_MULTI_MODE", "SAGEMAKER_MULTI_MODEL"])
async def test_sagemakers_ping_wants_the_service_file_of_many_models(
    make_bench, tmp_path, monkeypatch, variable
):
    monkeypatch.setenv(variable, "true")
    handler = tmp_path / "service.py"
    bench = await make_bench(has_sagemaker_config=True, default_service_handler=f"{handler}:handle")
    assert (await bench.call("GET", "/ping"))[0] == 503
    handler.write_text("")
    assert (await bench.call("GET", "/ping"))[0] == 200


@pytest.mark.parametrize(
    "handler", ["sagemaker_inference.default_handler_service", "service:handle"]
)
async def test_sagemakers_ping_looks_for_no_file_of_a_module(make_bench, monkeypatch, handler):
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    bench = await make_bench(has_sagemaker_config=True, default_service_handler=handler)
    assert (await bench.call("GET", "/ping"))[0] == 200


@pytest.mark.parametrize("handler", [None, "/absent/service.py"])
async def test_once_a_model_has_loaded_sagemakers_ping_looks_for_nothing(
    make_bench, monkeypatch, handler
):
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    bench = await make_bench(has_sagemaker_config=True, default_service_handler=handler)
    assert (await bench.call("GET", "/ping"))[0] == 503
    bench.host.has_loaded = True
    assert (await bench.call("GET", "/ping"))[0] == 200


async def test_execution_parameters_are_told(make_bench):
    bench = await make_bench(has_sagemaker_config=True, max_request_size=5 * 2**20)
    _, _, body = await bench.call("GET", "/execution-parameters")
    assert json.loads(body) == {
        "MaxConcurrentTransforms": 3,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 5,
    }


async def test_clients_that_go_within_their_bodies_are_no_errors(make_bench, caplog):
    bench = await make_bench(lane=False)
    head = b"PUT /predictions/m HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n"

    async def go(turns: int, sent: int) -> None:
        _, writer = await bench.connect()
        writer.write(head + b"x" * sent)
        for _ in range(turns):
            await asyncio.sleep(0)
        writer.transport.abort()

    for sent in (0, 10, 2999):
        for turns in range(8):
            await asyncio.gather(*(go(turns, sent) for _ in range(10)))
    await until(lambda: not bench.front.connection_count)
    assert [record.getMessage() for record in caplog.records] == []
