"""What the Open Inference Protocol promises to clients of gRPC, and of its extensions over REST, black box, by the
client that most of them have."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.background import Gate
from support.processes import free_port
from support.server import Server, ServerPool
from support.waiting import eventually

from mms.interfaces.oip.front.messages import CLASSES, SERVICE

pytest.importorskip("tritonclient.grpc", reason="tritonclient comes with the extra test")

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.better_than_mms

LIMIT_S = 30.0
HANDLER = """
import os
import time

def handle(data, context):
    return [answer(item) for item in data or ()]

def answer(item):
    parameters = item.get("parameters") or {}
    if "begun" in parameters:
        open(parameters["begun"], "a").write("x")
    time.sleep(parameters.get("sleep_ms", 0) / 1000)
    while "gate" in parameters and not os.path.exists(parameters["gate"]):
        time.sleep(0.005)
    if parameters.get("fail"):
        raise ValueError("asked to")
    if parameters.get("die"):
        os._exit(3)
    return dict(item["inputs"])
"""
DECLARED = """
oip:
  inputs:
  - {name: x, datatype: FP32, shape: [-1, 3]}
  outputs:
  - {name: x, datatype: FP32, shape: [-1, 3]}
"""


def put(store: Path, name: str, code: str = HANDLER, version: str | None = None, **files: str):
    folder = store / (f"{name}-{version}" if version else name)
    (folder / "MAR-INF").mkdir(parents=True, exist_ok=True)
    (folder / "service.py").write_text(code)
    model = {"modelName": name, "handler": "service:handle"}
    if version:
        model["modelVersion"] = version
    manifest = {"runtime": "python", "model": model}
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    for file, text in files.items():
        (folder / file.replace("__", ".").replace("_", "-")).write_text(text)


@pytest.fixture(scope="module")
def served(servers: ServerPool) -> Iterator[Server]:
    """A server with gRPC whose store has models of tensors; `plain` and the versions of `declared` are loaded."""
    port = free_port()
    server = Server(
        servers.new_directory(),
        {"grpc_address": f"grpc://127.0.0.1:{port}", "load_models": "plain,declared-1,declared-2"}
        | {"default_workers_per_model": "1"},
    )
    put(server.store, "plain")
    put(server.store, "declared", version="1", model_config__yaml=DECLARED)
    put(server.store, "declared", version="2")
    server.grpc_port = port  # type: ignore[attr-defined]
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def target(served: Server) -> str:
    return f"127.0.0.1:{served.grpc_port}"  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def client(target: str) -> Iterator[Any]:
    with triton.InferenceServerClient(target) as client:
        eventually("all models are ready", client.is_server_ready)
        yield client


@pytest.fixture(scope="module")
def rest(served: Server, client: Any) -> Iterator[Any]:
    with triton_http.InferenceServerClient(f"127.0.0.1:{served.inference.address.port}") as rest:
        yield rest


@pytest.fixture(scope="module")
def channel(target: str, client: Any) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target) as channel:
        yield channel


def tensor(array: Any, datatype: str = "", name: str = "x") -> Any:
    found = triton.InferInput(name, list(array.shape), datatype or _DATATYPES[str(array.dtype)])
    found.set_data_from_numpy(array)
    return found


_DATATYPES = {"float32": "FP32", "int64": "INT64", "object": "BYTES"}
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """(code, message) of a call that must fail."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    return str(caught.value.status()).removeprefix("StatusCode."), caught.value.message()


def call(channel: grpc.Channel, name: str, request: Any, **options: Any) -> Any:
    """The call of one message, and its answer when asked for `result()`."""
    response = CLASSES[type(request).DESCRIPTOR.name.replace("Request", "Response")]
    stub = channel.unary_unary(
        f"/{SERVICE}/{name}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )
    return stub.future(request, timeout=options.pop("timeout", LIMIT_S), **options)


def cancelled(client: Any) -> int:
    """How many requests clients have taken back."""
    (found,) = client.get_inference_statistics("plain").model_stats
    return int(found.response_stats["0"].cancel.count)


def pending(served: Server) -> int:
    """How many requests wait for a worker."""
    described = json.loads(served.management.get("/models/plain").body)
    return int(described["jobQueueStatus"]["pendingRequests"])


# Health and metadata


def test_what_is_ready_is_told_of_the_server_of_models_and_of_versions(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("plain")
    assert client.is_model_ready("declared", "2")


def test_a_model_that_is_not_there_is_not_ready_and_no_error(client: Any) -> None:
    assert client.is_model_ready("nobody") is False
    assert client.is_model_ready("declared", "9") is False
    assert client.is_model_ready("plain", "1") is False


def test_the_server_tells_what_it_has_of_the_protocol(client: Any) -> None:
    found = client.get_server_metadata()
    assert found.name and found.version
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(found.extensions)


def test_a_model_tells_its_versions_and_what_it_declares(client: Any) -> None:
    found = client.get_model_metadata("declared", "1", as_json=True)
    tensors = [{"name": "x", "datatype": "FP32", "shape": ["-1", "3"]}]
    assert found.pop("platform")
    assert found == {
        "name": "declared",
        "versions": ["1", "2"],
        "inputs": tensors,
        "outputs": tensors,
    }
    assert not client.get_model_metadata("plain").inputs
    config = client.get_model_config("declared", "1").config
    assert (config.name, config.instance_group[0].count) == ("declared", 1)
    assert (config.input[0].name, list(config.input[0].dims)) == ("x", [-1, 3])


@pytest.mark.parametrize("ask", ["get_model_metadata", "get_model_config"])
def test_a_model_that_is_not_there_has_no_metadata(client: Any, ask: str) -> None:
    assert refusal(lambda: getattr(client, ask)("nobody")) == (
        "NOT_FOUND",
        "Model not found: nobody",
    )


@pytest.mark.parametrize(
    ("ask", "arguments"),
    [
        ("get_trace_settings", ()),
        ("update_trace_settings", ("plain", {"trace_level": ["OFF"]})),
        ("get_log_settings", ()),
        ("update_log_settings", ({"log_info": True},)),
        ("get_system_shared_memory_status", ()),
        ("register_system_shared_memory", ("r", "/k", 8)),
        ("unregister_system_shared_memory", ()),
        ("get_cuda_shared_memory_status", ()),
        ("register_cuda_shared_memory", ("r", b"aGFuZGxl", 0, 8)),
        ("unregister_cuda_shared_memory", ()),
    ],
)
def test_what_the_server_does_not_have_is_refused_by_name(
    client: Any, ask: str, arguments: tuple[Any, ...]
) -> None:
    code, message = refusal(lambda: getattr(client, ask)(*arguments))
    assert code == "UNIMPLEMENTED"
    assert "shared memory" in message or "settings" in message


# Inference


def test_tensors_come_back_with_the_id_the_model_and_its_version(client: Any) -> None:
    words = np.array([b"a", b"\0\xff", b""], dtype=object)
    answer = client.infer("plain", [tensor(X), tensor(words, name="w")], request_id="7 ü")
    assert np.array_equal(answer.as_numpy("x"), X)
    assert answer.as_numpy("w").tolist() == words.tolist()
    message = answer.get_response()
    assert (message.id, message.model_name, message.model_version) == ("7 ü", "plain", "")
    message = client.infer("declared", [tensor(X)], model_version="1").get_response()
    assert (message.model_name, message.model_version) == ("declared", "1")


def test_typed_contents_are_answered_as_typed_contents(channel: grpc.Channel) -> None:
    request = CLASSES["ModelInferRequest"](model_name="plain")
    request.inputs.add(name="x", datatype="INT64", shape=[3]).contents.int64_contents.extend(
        [1, -(2**40), 3]
    )
    answer = call(channel, "ModelInfer", request).result()
    assert list(answer.outputs[0].contents.int64_contents) == [1, -(2**40), 3]
    assert not answer.raw_output_contents


def test_trailers_have_the_id_of_the_request_in_logs(channel: grpc.Channel) -> None:
    asked = call(channel, "ModelInfer", CLASSES["ModelInferRequest"](model_name="plain"))
    assert asked.code() is grpc.StatusCode.OK
    assert len(dict(asked.trailing_metadata())["x-request-id"]) > 20


def test_outputs_that_are_asked_for_come_alone_and_others_are_refused(client: Any) -> None:
    inputs = [tensor(X), tensor(X, name="y")]
    answer = client.infer("plain", inputs, outputs=[triton.InferRequestedOutput("y")])
    assert [output.name for output in answer.get_response().outputs] == ["y"]
    code, message = refusal(
        lambda: client.infer("plain", inputs, outputs=[triton.InferRequestedOutput("z")])
    )
    assert (code, "z" in message) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize(
    ("model", "options", "code", "words"),
    [
        ("nobody", {}, "NOT_FOUND", "nobody"),
        ("", {}, "INVALID_ARGUMENT", "model_name"),
        ("plain", {"model_version": "1"}, "NOT_FOUND", "1"),
        ("declared", {"model_version": "9"}, "NOT_FOUND", "9"),
        ("plain", {"parameters": {"fail": True}}, "INTERNAL", ""),
        ("plain", {"parameters": {"die": True}}, "INTERNAL", ""),
        ("declared", {"model_version": "1", "inputs": [("y", X)]}, "INVALID_ARGUMENT", "y"),
        (
            "declared",
            {"model_version": "1", "inputs": [("x", X[:, :2])]},
            "INVALID_ARGUMENT",
            "[2, 2]",
        ),
        ("declared", {"model_version": "1", "inputs": []}, "INVALID_ARGUMENT", "x"),
    ],
)
def test_what_is_wrong_has_its_code_and_is_named(
    client: Any, model: str, options: dict[str, Any], code: str, words: str
) -> None:
    inputs = [tensor(array, name=name) for name, array in options.pop("inputs", [("x", X)])]
    found, message = refusal(lambda: client.infer(model, inputs, **options))
    assert found == code
    assert words in message
    eventually("the model is back", lambda: client.is_model_ready("plain"))


def test_a_message_that_is_broken_is_the_clients_mistake(channel: grpc.Channel) -> None:
    stub = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    for body in (b"\xff", b"\x2a\x7f", b"\x0a\x05plain\x2a\x03\x0a\x01"):
        with pytest.raises(grpc.RpcError) as caught:
            stub(body, timeout=LIMIT_S)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
        assert "ModelInferRequest" in caught.value.details()  # type: ignore[attr-defined]


def test_a_message_over_the_limit_is_refused(start_server: Any) -> None:
    port = free_port()
    server = start_server(
        {"grpc_address": f"grpc://127.0.0.1:{port}", "grpc_max_request_size": "1000"}
    )
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        large = tensor(np.zeros((100, 3), np.float32))
        code, message = refusal(lambda: client.infer("plain", [large]))
    assert (code, "1000" in message) == ("RESOURCE_EXHAUSTED", True)
    server.stop()


@pytest.mark.parametrize("deadline", [{"client_timeout": 0.2}, {"timeout": 200_000}])
def test_a_deadline_ends_the_call_and_the_model_goes_on(
    client: Any, gate: Gate, deadline: dict[str, Any]
) -> None:
    parameters = {"gate": str(gate.opened)}
    code, _ = refusal(lambda: client.infer("plain", [tensor(X)], parameters=parameters, **deadline))
    assert code == "DEADLINE_EXCEEDED"
    gate.open()
    assert client.infer("plain", [tensor(X)]).as_numpy("x").shape == (2, 3)


def test_a_call_that_is_cancelled_before_its_turn_is_not_run(
    client: Any, served: Server, gate: Gate, scratch: Path
) -> None:
    # Of a quick model several requests are sent to the worker at once, and are its to drop.
    client.infer("plain", [], parameters={"sleep_ms": 100})
    begun = scratch / "begun"
    answers: queue.Queue[Any] = queue.Queue()

    def ask(**parameters: Any) -> Any:
        return client.async_infer(
            "plain",
            [tensor(X)],
            callback=lambda result, error: answers.put(error),
            parameters={"begun": str(begun), **parameters},
        )

    ask(gate=str(gate.opened))
    eventually("the first one runs", begun.exists)
    before = cancelled(client)
    left = [ask() for _ in range(5)]
    eventually("they are queued", lambda: pending(served) == 5)
    for each in left:
        each.cancel()
    assert all(answers.get(timeout=LIMIT_S) is not None for _ in left)
    eventually("the server knows", lambda: cancelled(client) == before + 5)
    gate.open()
    assert answers.get(timeout=LIMIT_S) is None
    assert client.infer("plain", [tensor(X)]).as_numpy("x").shape == (2, 3)
    assert begun.read_text() == "x"


def test_a_full_queue_is_told_with_the_time_to_come_back(
    client: Any, channel: grpc.Channel, served: Server, gate: Gate
) -> None:
    put(served.store, "narrow")
    client.load_model("narrow", config=json.dumps({"jobQueueSize": 1}))
    request = CLASSES["ModelInferRequest"](model_name="narrow")
    request.parameters["gate"].string_param = str(gate.opened)
    asked = [call(channel, "ModelInfer", request) for _ in range(20)]
    failed = eventually("some are refused", lambda: [each for each in asked if each.done()])
    assert failed[0].code() is grpc.StatusCode.UNAVAILABLE
    assert int(dict(failed[0].trailing_metadata())["retry-after"]) >= 1
    gate.open()
    for each in asked:
        each.exception(timeout=LIMIT_S)
    client.unload_model("narrow")


# Streams


def test_each_message_of_a_stream_is_answered_and_a_wrong_one_alone_is_told_so(client: Any) -> None:
    answers: dict[str, Any] = {}
    failures: list[Any] = []

    def on_answer(result: Any, error: Any) -> None:
        if error is None:
            answers[result.get_response().id] = result
        else:
            failures.append(error)

    client.start_stream(on_answer)
    for number in range(200):
        array = np.full((1, 3), number, np.float32)
        client.async_stream_infer("plain", [tensor(array)], request_id=str(number))
    client.async_stream_infer("nobody", [tensor(X)], request_id="a")
    client.async_stream_infer("plain", [tensor(X)], request_id="b", model_version="5")
    client.stop_stream()
    assert sorted(map(int, answers)) == list(range(200))
    for number, result in answers.items():
        assert result.as_numpy("x").tolist() == [[float(number)] * 3]
        assert result.get_response().parameters["triton_final_response"].bool_param
    assert len(failures) == 2
    assert "Model not found: nobody" in failures[0].message()


def test_a_stream_that_is_cancelled_takes_its_requests_with_it(
    channel: grpc.Channel, client: Any, gate: Gate, scratch: Path
) -> None:
    begun = scratch / "begun"
    # Of a quick model several requests are sent to the worker at once, and are its to drop.
    client.infer("plain", [], parameters={"sleep_ms": 100})
    request = CLASSES["ModelInferRequest"](model_name="plain")
    request.parameters["gate"].string_param = str(gate.opened)
    request.parameters["begun"].string_param = str(begun)
    stub = channel.stream_stream(
        f"/{SERVICE}/ModelStreamInfer", request_serializer=type(request).SerializeToString
    )
    are_sent = threading.Event()

    def requests() -> Iterator[Any]:
        yield from [request] * 5
        are_sent.set()

    stream = stub(requests(), timeout=LIMIT_S)
    eventually("the first one runs", begun.exists)
    before = cancelled(client)
    eventually("all are sent", are_sent.is_set)
    # What comes behind them on their connection is answered: they have arrived.
    channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", timeout=LIMIT_S)
    stream.cancel()
    eventually("the server knows", lambda: cancelled(client) == before + 5)
    gate.open()
    client.infer("plain", [])
    assert begun.read_text() == "x"


def test_sixty_four_streams_are_served_at_once(target: str, client: Any, served: Server) -> None:
    put(served.store, "wide")
    client.load_model("wide", config=json.dumps({"jobQueueSize": 1000}))

    async def ask() -> list[int]:
        async with triton_aio.InferenceServerClient(target) as aio:

            async def one() -> int:
                async def requests() -> Any:
                    for number in range(10):
                        yield {
                            "model_name": "wide",
                            "inputs": [tensor(X)],
                            "request_id": str(number),
                        }

                return len([1 async for result, _ in aio.stream_infer(requests()) if result])

            return await asyncio.gather(*(one() for _ in range(64)))

    assert asyncio.run(ask()) == [10] * 64
    client.unload_model("wide")


def test_the_client_of_asyncio_gets_the_same(target: str, client: Any) -> None:
    async def ask() -> None:
        async with triton_aio.InferenceServerClient(target) as aio:
            assert await aio.is_server_live() and await aio.is_server_ready()
            assert await aio.is_model_ready("plain")
            assert (await aio.get_server_metadata()).version
            assert (await aio.get_model_metadata("plain")).name == "plain"
            assert (await aio.get_model_config("plain")).config.name == "plain"
            assert (await aio.get_inference_statistics("plain")).model_stats[0].name == "plain"
            assert len((await aio.get_model_repository_index()).models) > 2
            answer = await aio.infer("plain", [tensor(X)], request_id="3")
            assert np.array_equal(answer.as_numpy("x"), X)

    asyncio.run(ask())


# The repository


def index(client: Any) -> dict[tuple[str, str], tuple[str, str]]:
    models = client.get_model_repository_index().models
    return {(row.name, row.version): (row.state, row.reason) for row in models}


def test_a_model_of_the_store_is_listed_loaded_loaded_anew_and_unloaded(
    client: Any, served: Server
) -> None:
    put(served.store, "stored", version="4")
    assert index(client)["stored", "4"] == ("UNAVAILABLE", "not loaded")
    client.load_model("stored")
    assert index(client)["stored", "4"] == ("READY", "")
    assert client.infer("stored", [tensor(X)]).get_response().model_version == "4"
    put(served.store, "stored", "raise RuntimeError('no weights')", version="4")
    code, message = refusal(lambda: client.load_model("stored"))
    assert (code, "no weights" in message) == ("INTERNAL", True)
    assert client.infer("stored", [tensor(X)]).as_numpy("x").shape == (2, 3)
    put(served.store, "stored", version="4")
    config = {"max_batch_size": 4, "instance_group": [{"count": 2, "kind": "KIND_CPU"}]}
    client.load_model("stored", config=json.dumps(config))
    assert client.get_model_config("stored").config.instance_group[0].count == 2
    client.unload_model("stored")
    assert index(client)["stored", "4"] == ("UNAVAILABLE", "not loaded")
    assert not client.is_model_ready("stored")


@pytest.mark.parametrize(
    ("name", "options", "code", "words"),
    [
        ("nobody", {}, "NOT_FOUND", "nobody"),
        ("../plain", {}, "INVALID_ARGUMENT", "path"),
        (
            "plain",
            {"config": "{}", "files": {"file:1/model.py": b"x"}},
            "INVALID_ARGUMENT",
            "file:1/model.py",
        ),
        ("plain", {"config": "{"}, "INVALID_ARGUMENT", "JSON"),
        ("plain", {"config": '{"backend": "b"}'}, "INVALID_ARGUMENT", "backend"),
        ("plain", {"config": '{"batchSize": "many"}'}, "INVALID_ARGUMENT", "batchSize"),
    ],
)
def test_a_load_that_cannot_be_is_refused_by_name(
    client: Any, name: str, options: dict[str, Any], code: str, words: str
) -> None:
    found, message = refusal(lambda: client.load_model(name, **options))
    assert found == code
    assert words in message
    assert client.is_model_ready("plain")


def test_a_listener_that_others_reach_has_no_repository_unless_it_is_set(
    start_server: Any,
) -> None:
    for setting, codes in (({}, "PERMISSION_DENIED"), ({"oip_repository": "true"}, "")):
        port = free_port()
        server = start_server({"grpc_address": f"grpc://0.0.0.0:{port}", **setting})
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            has = "model_repository" in client.get_server_metadata().extensions
            assert has is bool(setting)
            if setting:
                assert client.get_model_repository_index().models
            else:
                assert refusal(client.get_model_repository_index)[0] == codes
                assert refusal(lambda: client.load_model("plain"))[0] == codes
        server.stop()


# Statistics


def test_statistics_count_each_request_once_with_its_parts(client: Any, served: Server) -> None:
    put(served.store, "counted", version="1")
    client.load_model("counted")
    for _ in range(3):
        client.infer("counted", [tensor(X)], model_version="1")
    client.infer("counted", [tensor(X)])
    refusal(lambda: client.infer("counted", [tensor(X)], parameters={"fail": True}))
    (found,) = client.get_inference_statistics("counted", "1").model_stats
    assert (found.name, found.version) == ("counted", "1")
    assert (found.inference_count, found.execution_count) == (4, 5)
    parts = found.inference_stats
    assert (parts.success.count, parts.fail.count) == (4, 1)
    for part in (parts.queue, parts.compute_input, parts.compute_infer, parts.compute_output):
        assert part.count == 5
        assert part.ns > 0
    assert [(batch.batch_size, batch.compute_infer.count) for batch in found.batch_stats] == [
        (1, 5)
    ]
    assert found.last_inference > 1_600_000_000_000
    lines = served.management.get("/metrics").body.decode().splitlines()
    counted = [line for line in lines if line.startswith('mms_requests_total{model="counted"')]
    assert sum(float(line.rpartition(" ")[2]) for line in counted) == 5
    client.unload_model("counted")


def test_statistics_of_what_is_not_there_are_refused(client: Any) -> None:
    assert refusal(lambda: client.get_inference_statistics("nobody"))[0] == "NOT_FOUND"
    assert refusal(lambda: client.get_inference_statistics("plain", "3"))[0] == "NOT_FOUND"
    names = [each.name for each in client.get_inference_statistics().model_stats]
    assert {"plain", "declared"} <= set(names)


# Extensions over REST


def test_rest_lists_loads_and_unloads_as_grpc_does(client: Any, rest: Any, served: Server) -> None:
    put(served.store, "listed", version="4")
    put(served.store, "unversioned")
    rows = {row["name"]: row for row in rest.get_model_repository_index()}
    assert rows["listed"] == {
        "name": "listed",
        "version": "4",
        "state": "UNAVAILABLE",
        "reason": "not loaded",
    }
    assert "version" not in rows["unversioned"]
    rest.load_model("listed", config=json.dumps({"batchSize": 3}))
    assert rest.is_model_ready("listed")
    assert client.is_model_ready("listed", "4")
    assert rest.get_model_config("listed")["instance_group"][0]["count"] == 1
    by_grpc = {(row.name, row.version) for row in client.get_model_repository_index().models}
    by_rest = {(row["name"], row.get("version", "")) for row in rest.get_model_repository_index()}
    assert by_rest == by_grpc
    reply = served.inference.post("/v2/repository/index", b'{"ready": true}')
    assert {row["state"] for row in json.loads(reply.body)} == {"READY"}
    rest.unload_model("listed")
    assert not rest.is_model_ready("listed")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("models/nobody/load", b"", 404, "nobody"),
        ("models/nobody/unload", b"", 404, "nobody"),
        ("models/..%2Fplain/load", b"", 400, "path"),
        ("models/plain/load", b'{"parameters": {"file:1/m": "eA=="}}', 400, "file:1/m"),
        ("models/plain/load", b'{"parameters": {"config": "{\\"x\\": 1}"}}', 400, "x"),
        ("models/plain/load", b'{"parameters": 1}', 400, "parameters"),
        ("models/plain/load", b'{"parameter": {}}', 400, "parameter"),
        ("models/plain/load", b"[]", 400, "JSON object"),
        ("models/plain/load", b"{", 400, "JSON"),
        ("models/plain/unload", b'{"parameters": {"unload_dependents": true}}', 400, "depend"),
        ("index", b'{"ready": 1}', 400, "ready"),
    ],
)
def test_a_wrong_call_of_the_repository_is_refused_by_name(
    served: Server, client: Any, path: str, body: bytes, status: int, words: str
) -> None:
    reply = served.inference.post(f"/v2/repository/{path}", body)
    assert reply.status == status
    error = json.loads(reply.body)
    assert list(error) == ["error"]
    assert words in error["error"]
    assert client.is_model_ready("plain")


def test_a_page_of_another_site_loads_no_model(served: Server, client: Any) -> None:
    reply = served.inference.post(
        "/v2/repository/models/plain/load", b"", headers={"Origin": "https://evil.example"}
    )
    assert reply.status == 403


def test_statistics_are_the_same_over_rest_and_grpc(client: Any, rest: Any) -> None:
    client.infer("declared", [tensor(X)], model_version="1")
    by_rest = rest.get_inference_statistics("declared", "1")
    by_grpc = client.get_inference_statistics("declared", "1", as_json=True)
    assert _numbers(by_grpc) == _numbers(by_rest)
    assert len(rest.get_inference_statistics("declared")["model_stats"]) == 2
    assert len(rest.get_inference_statistics()["model_stats"]) > 2


def _numbers(value: Any) -> Any:
    """Without what is nothing, and with numbers for what protobuf's JSON has as texts."""
    if isinstance(value, dict):
        found = {name: _numbers(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each not in (0, "", {}, [])}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    return int(value) if isinstance(value, str) and value.isdigit() else value


@pytest.mark.parametrize(
    ("ask", "arguments"),
    [
        ("get_trace_settings", ()),
        ("update_trace_settings", ("plain", {"trace_level": ["OFF"]})),
        ("get_log_settings", ()),
        ("update_log_settings", ({"log_info": True},)),
        ("get_system_shared_memory_status", ()),
        ("register_system_shared_memory", ("r", "/k", 8)),
        ("unregister_system_shared_memory", ()),
        ("get_cuda_shared_memory_status", ()),
        ("register_cuda_shared_memory", ("r", b"aGFuZGxl", 0, 8)),
        ("unregister_cuda_shared_memory", ()),
    ],
)
def test_what_the_server_does_not_have_is_refused_by_name_over_rest(
    rest: Any, ask: str, arguments: tuple[Any, ...]
) -> None:
    code, message = refusal(lambda: getattr(rest, ask)(*arguments))
    assert code == "501"
    assert "shared memory" in message or "settings" in message


def test_the_client_of_asyncio_gets_the_same_over_rest(served: Server, client: Any) -> None:
    async def ask() -> None:
        address = f"127.0.0.1:{served.inference.address.port}"
        async with triton_http_aio.InferenceServerClient(address) as aio:
            assert await aio.is_server_live() and await aio.is_server_ready()
            assert await aio.is_model_ready("plain")
            assert "statistics" in (await aio.get_server_metadata())["extensions"]
            assert (await aio.get_model_metadata("plain"))["name"] == "plain"
            assert (await aio.get_model_config("plain"))["name"] == "plain"
            assert (await aio.get_inference_statistics("plain"))["model_stats"]
            assert len(await aio.get_model_repository_index()) > 2
            x = triton_http.InferInput("x", [2, 3], "FP32")
            x.set_data_from_numpy(X)
            assert np.array_equal((await aio.infer("plain", [x])).as_numpy("x"), X)

    asyncio.run(ask())
