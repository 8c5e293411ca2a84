"""What Seldon's Python wrapper promises to gRPC clients, black box.

With CONFORMANCE_SELDON set to the command `seldon-core-microservice`, the tests run against Seldon's own wrapper; those
of this server alone are left out.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from support.background import Background, Gate
from support.processes import base_environment, free_port, kill_tagged
from support.server import Server, ServerPool, manifest, unique_name
from support.waiting import eventually

from mms.interfaces.seldon.codec.messages import (
    SERVICES,
    Feedback,
    SeldonMessage,
    SeldonMessageList,
    SeldonModelMetadata,
)

from .seldon_service import COMPONENTS, is_wrapper

pytestmark = pytest.mark.better_than_mms
ours_alone = pytest.mark.skipif(is_wrapper(), reason="a rule of this server, not of Seldon's")

LIMIT_S = 20.0
Metadata = Sequence[tuple[str, str]]


@dataclass
class Component:
    """A component behind a channel; `metadata` name it."""

    channel: grpc.Channel
    metadata: Metadata = ()

    def start(self, path: str, request: Any, timeout_s: float = LIMIT_S) -> Any:
        """The call, by `Service/Method`, and a future of its answer."""
        service, _, name = path.partition("/")
        method = SERVICES[f"seldon.protos.{service}"][name]
        stub = self.channel.unary_unary(
            f"/seldon.protos.{path}",
            request_serializer=method.request_class.SerializeToString,
            response_deserializer=method.response_class.FromString,
        )
        return stub.future(request, metadata=self.metadata, timeout=timeout_s)

    def call(self, path: str, request: Any) -> Any:
        return self.start(path, request).result()

    def ask(self, path: str, request: object) -> dict[str, Any]:
        """The same with both messages as dicts, in the form of protobuf's JSON."""
        service, _, name = path.partition("/")
        method = SERVICES[f"seldon.protos.{service}"][name]
        message = json_format.ParseDict(request, method.request_class())
        return dict(json_format.MessageToDict(self.call(path, message)))

    def fail(self, path: str, request: Any, timeout_s: float = LIMIT_S) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            self.start(path, request, timeout_s).result()
        return caught.value


GetComponent = Callable[[str], Component]


@contextmanager
def connected(port: int, metadata: Metadata = ()) -> Iterator[Component]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Component(channel, metadata)


@contextmanager
def in_wrapper(component: str, directory: Path) -> Iterator[Component]:
    """A component in Seldon's wrapper, over gRPC."""
    ports = [free_port() for _ in range(3)]
    tag = f"wrapper-{ports[0]}"
    command = [
        *(os.environ["CONFORMANCE_SELDON"], f"components.{component}", "--service-type", "MODEL"),
        *("--http-port", str(ports[0]), "--grpc-port", str(ports[1])),
        *("--metrics-port", str(ports[2])),
    ]
    with open(directory / "wrapper.txt", "wb") as output:
        process = subprocess.Popen(
            command,
            cwd=COMPONENTS,
            env=base_environment(directory, tag),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with connected(ports[1]) as service:
            grpc.channel_ready_future(service.channel).result(60)
            yield service
    finally:
        # Its parent waits for ever for the processes that serve gRPC.
        process.kill()
        process.wait(20)
        kill_tagged(tag)


class GrpcServer(Server):
    """A server with one more listener."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.grpc_port = free_port()
        own = {
            "grpc_address": f"grpc://127.0.0.1:{self.grpc_port}",
            "default_workers_per_model": "1",
        }
        super().__init__(directory, {**own, **settings})


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[GrpcServer]:
    running = GrpcServer(servers.new_directory())
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def component(servers: ServerPool, request: pytest.FixtureRequest) -> Iterator[GetComponent]:
    """A component by its class's name; each is started once."""
    with ExitStack() as stack:
        known: dict[str, Component] = {}

        def start(name: str) -> Component:
            if name in known:
                return known[name]
            if is_wrapper():
                directory = servers.new_directory()
                directory.mkdir(parents=True)
                known[name] = stack.enter_context(in_wrapper(name, directory))
            else:
                server: GrpcServer = request.getfixturevalue("server")
                model = server.shared("seldon", handler=f"components:{name}")
                known[name] = stack.enter_context(
                    connected(server.grpc_port, [("seldon", model), ("namespace", "any")])
                )
            return known[name]

        yield start


CALLS = [
    "Seldon/Predict",
    "Model/Predict",
    "Generic/TransformInput",
    "Generic/TransformOutput",
    "Transformer/TransformInput",
    "OutputTransformer/TransformOutput",
]
TENSOR = {"data": {"names": ["a"], "tensor": {"shape": [2, 1], "values": [1, 2]}}}


@pytest.mark.parametrize("path", CALLS)
def test_a_tensor_comes_back_as_a_tensor_with_tags_and_metrics(
    path: str, component: GetComponent
) -> None:
    answer = component("Identity").ask(path, TENSOR)
    assert answer["data"]["tensor"] == {"shape": [2, 1], "values": [1.0, 2.0]}
    assert answer["meta"]["tags"] == {"mytag": 1.0}
    assert answer["meta"]["metrics"] == [{"key": "mycounter", "value": 1.0}]


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    "data",
    [
        {"data": {"names": ["a", "b"], "ndarray": [[1.0, 2.0]]}},
        {"data": {"names": ["a"], "ndarray": [["text"]]}},
        {"binData": "AAH/"},
        {"strData": "text"},
        {"jsonData": {"some": ["json", 1.0, None]}},
    ],
)
def test_every_form_of_data_comes_back_in_its_form(
    data: dict[str, Any], path: str, component: GetComponent
) -> None:
    answer = component("Identity").ask(path, data)
    (form,) = data
    if form == "data":
        assert answer["data"]["ndarray"] == data["data"]["ndarray"]
    else:
        assert answer[form] == data[form]


def test_custom_data_come_back(component: GetComponent) -> None:
    message = SeldonMessage()
    message.customData.Pack(SeldonMessage(strData="inner"))
    answer = component("Identity").call("Model/Predict", message)
    inner = SeldonMessage()
    assert answer.customData.Unpack(inner)
    assert inner.strData == "inner"


@pytest.mark.parametrize("path", CALLS[:4])
def test_an_array_for_bytes_is_a_tensor(path: str, component: GetComponent) -> None:
    answer = component("Array").ask(path, {"binData": "AAH/"})
    assert answer["data"]["tensor"]["values"] == [1.0, 2.0, 3.0]


def test_the_meta_of_a_request_goes_through_the_component(component: GetComponent) -> None:
    meta = {
        "puid": "123",
        "tags": {"foo": "bar"},
        "requestPath": {"earlier": "image:1"},
        "metrics": [{"key": "before", "type": "GAUGE", "value": 5.0}],
    }
    answer = component("Identity").ask("Model/Predict", {**TENSOR, "meta": meta})["meta"]
    assert answer["puid"] == "123"
    assert answer["tags"] == {"foo": "bar", "mytag": 1.0}
    assert answer["requestPath"].items() >= {"earlier": "image:1"}.items()
    assert [metric["key"] for metric in answer["metrics"]] == ["before", "mycounter"]


def test_a_component_with_keywords_gets_the_meta(component: GetComponent) -> None:
    answer = component("Keywords").ask("Model/Predict", {**TENSOR, "meta": {"puid": "abc"}})
    assert answer["jsonData"]["meta"]["puid"] == "abc"


@pytest.mark.parametrize("path", ["Generic/Route", "Router/Route"])
def test_a_route_is_a_tensor_of_one_number(path: str, component: GetComponent) -> None:
    answer = component("Identity").ask(path, TENSOR)
    assert answer["data"]["tensor"] == {"shape": [1, 1], "values": [22.0]}


@pytest.mark.parametrize("path", ["Generic/Aggregate", "Combiner/Aggregate"])
def test_messages_are_combined_and_their_meta_merged(path: str, component: GetComponent) -> None:
    messages = [
        {
            "data": {"tensor": {"shape": [1, 1], "values": [value]}},
            "meta": {"tags": {"common": value, f"own{value}": value}},
        }
        for value in (1.0, 2.0)
    ]
    answer = component("Combiner").ask(path, {"seldonMessages": messages})
    assert answer["data"]["tensor"]["values"] == [6.0]
    tags = {"common": 2.0, "own1.0": 1.0, "own2.0": 2.0, "mytag": 1.0}
    assert answer["meta"]["tags"] == tags


@pytest.mark.parametrize(
    "path", ["Seldon/SendFeedback", "Model/SendFeedback", "Generic/SendFeedback"]
)
def test_feedback_is_taken(path: str, component: GetComponent) -> None:
    feedback = json_format.ParseDict(
        {"request": TENSOR, "response": {"meta": {"routing": {"1": 1}}}, "reward": 0.5}, Feedback()
    )
    assert isinstance(component("Identity").call(path, feedback), SeldonMessage)


def test_tags_of_an_answer_win_over_those_of_the_component(component: GetComponent) -> None:
    answer = component("Runtime").ask("Model/Predict", TENSOR)
    assert answer["meta"]["tags"] == {"static": "tag", "runtime": "tag", "shared": "right one"}


@pytest.mark.parametrize("path", ["Model/Metadata", "Seldon/ModelMetadata"])
def test_the_metadata_are_those_of_the_component(path: str, component: GetComponent) -> None:
    found = component("Identity").call(
        path,
        SERVICES[f"seldon.protos.{path.partition('/')[0]}"][path.partition("/")[2]].request_class(),
    )
    wanted = {
        "name": "identity",
        "versions": ["v1"],
        "platform": "conformance",
        "inputs": [{"messagetype": "tensor", "schema": {"names": ["a"], "shape": [1]}}],
        "custom": {"author": "conformance"},
    }
    assert found == json_format.ParseDict(wanted, SeldonModelMetadata())


def test_bad_metadata_are_an_empty_message(component: GetComponent) -> None:
    method = SERVICES["seldon.protos.Model"]["Metadata"]
    found = component("BadMetadata").call("Model/Metadata", method.request_class())
    assert found == SeldonModelMetadata()


# Errors


@ours_alone
@pytest.mark.parametrize(
    ("path", "code", "details"),
    [
        ("Model/Predict", grpc.StatusCode.PERMISSION_DENIED, "foo"),
        ("Generic/TransformInput", grpc.StatusCode.INTERNAL, "an ordinary error"),
    ],
)
def test_an_exception_has_the_code_of_its_status_and_its_message(
    path: str, code: grpc.StatusCode, details: str, component: GetComponent
) -> None:
    message = json_format.ParseDict(TENSOR, SeldonMessage())
    error: Any = component("Refusing").fail(path, message)
    assert (error.code(), error.details()) == (code, details)
    assert len(dict(error.trailing_metadata())["x-request-id"]) == 36


@ours_alone
@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"data": {"tensor": {"shape": [2, 2], "values": [1.0]}}},
    ],
)
def test_a_message_without_usable_data_is_an_invalid_argument(
    request_: dict[str, Any], component: GetComponent
) -> None:
    message = json_format.ParseDict(request_, SeldonMessage())
    error: Any = component("Plain").fail("Model/Predict", message)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details()


def test_every_exception_is_unknown_to_clients_of_the_wrapper_and_in_strict_mode(
    component: GetComponent, servers: ServerPool
) -> None:
    message = json_format.ParseDict(TENSOR, SeldonMessage())
    with ExitStack() as stack:
        if is_wrapper():
            refusing = component("Refusing")
        else:
            strict = GrpcServer(servers.new_directory(), seldon_strict="true")
            strict.start()
            stack.callback(strict.stop)
            strict.shared("seldon", handler="components:Refusing")
            refusing = stack.enter_context(connected(strict.grpc_port))
        error: Any = refusing.fail("Generic/TransformInput", message)
        assert error.code() is grpc.StatusCode.UNKNOWN
        assert error.details() == "Exception calling application: an ordinary error"
        error = refusing.fail("Model/Predict", message)
        assert error.code() is grpc.StatusCode.UNKNOWN
        assert error.details().startswith("Exception calling application: ")
        graph = SERVICES["seldon.protos.Seldon"]["GraphMetadata"]
        error = refusing.fail("Seldon/GraphMetadata", graph.request_class())
        assert error.code() is grpc.StatusCode.UNKNOWN


@ours_alone
def test_bytes_that_are_no_message_are_an_invalid_argument(component: GetComponent) -> None:
    plain = component("Plain")
    call = plain.channel.unary_unary("/seldon.protos.Model/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff", metadata=plain.metadata, timeout=LIMIT_S)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


# The server beside its models

HELD = """
import os, time


class Held:
    def predict(self, X, names):
        with open({calls!r}, "a") as file:
            file.write(X + "\\n")
        if X == "hold":
            open({reached!r}, "w").close()
            while not os.path.exists({opened!r}):
                time.sleep(0.005)
        return X
"""


@pytest.fixture
def held(server: GrpcServer, scratch: Path) -> Iterator[Component]:
    """A component that waits for the gate's opening when it is told `hold`."""
    source = HELD.format(
        calls=str(scratch / "calls"),
        reached=str(scratch / "reached"),
        opened=str(scratch / "opened"),
    )
    name = f"held-{scratch.name}"
    content = manifest(name, "service:Held", model={"extensions": {"interface": "seldon"}})
    server.write_model(name, source, content)
    with (
        server.registered(name, model_name=name),
        connected(server.grpc_port, [("seldon", name)]) as service,
    ):
        yield service


@ours_alone
def test_a_request_whose_deadline_passes_in_the_queue_never_reaches_a_worker(
    held: Component, gate: Gate, scratch: Path, server: GrpcServer
) -> None:
    first = held.start("Model/Predict", SeldonMessage(strData="hold"))
    gate.wait_until_reached()
    error: Any = held.fail("Model/Predict", SeldonMessage(strData="late"), timeout_s=0.2)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    cancelled = held.start("Model/Predict", SeldonMessage(strData="cancelled"))
    server.wait_until_queued(dict(held.metadata)["seldon"], 1)
    cancelled.cancel()
    server.wait_until_queued(dict(held.metadata)["seldon"], 0)
    gate.open()
    assert first.result().strData == "hold"
    assert held.call("Model/Predict", SeldonMessage(strData="last")).strData == "last"
    assert (scratch / "calls").read_text().split() == ["hold", "last"]


@ours_alone
@pytest.mark.parametrize("interface", ["seldon", "auto"])
def test_a_component_that_cannot_load_is_unavailable_at_once_with_its_reason(
    server: GrpcServer, interface: str
) -> None:
    name = unique_name("broken")
    source = "raise RuntimeError('no such weights')\nclass Broken:\n    def predict(self, X, names): ...\n"
    server.write_model(name, source, manifest(name, "service:Broken"))
    server.register(name, interface=interface, initial_workers=1, synchronous="false")
    eventually(
        "the load to fail", lambda: server.describe(name)["workers"][0]["state"] == "BACKOFF"
    )
    with connected(server.grpc_port, [("seldon", name)]) as service:
        error: Any = service.fail("Model/Predict", SeldonMessage(strData="x"))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "RuntimeError: no such weights" in error.details()
    assert int(dict(error.trailing_metadata())["retry-after"]) >= 1
    server.unregister(name)


@ours_alone
def test_a_deadline_in_the_far_future_is_one_that_is_kept(component: GetComponent) -> None:
    plain = component("Plain")
    for days in (49, 50, 36500):
        assert plain.start(
            "Model/Predict", SeldonMessage(strData="x"), timeout_s=days * 86400.0
        ).result()


@ours_alone
def test_a_call_is_a_line_of_the_access_log_and_counted(
    component: GetComponent, server: GrpcServer
) -> None:
    plain = component("Plain")
    plain.ask("Model/Predict", TENSOR)
    server.wait_for_log(
        "access_log.log",
        r'/127\.0\.0\.1:\d+ "POST /seldon\.protos\.Model/Predict HTTP/2\.0" 200 \d+$',
    )
    model = dict(plain.metadata)["seldon"]
    eventually(
        "the call is counted", lambda: f'model="{model}"' in server.management.get("/metrics").text
    )


@ours_alone
def test_what_was_accepted_is_answered_when_the_server_stops(
    servers: ServerPool, scratch: Path, gate: Gate
) -> None:
    stopping = GrpcServer(servers.new_directory())
    source = HELD.format(
        calls=str(scratch / "calls"),
        reached=str(scratch / "reached"),
        opened=str(scratch / "opened"),
    )
    content = manifest("held", "service:Held", model={"extensions": {"interface": "seldon"}})
    stopping.write_model("held", source, content)
    stopping.start()
    try:
        stopping.shared("held")
        with connected(stopping.grpc_port) as service:
            call = service.start("Model/Predict", SeldonMessage(strData="hold"))
            gate.wait_until_reached()
            stopping.signal_main(signal.SIGTERM)
            ended = Background(stopping.wait)
            gate.open()
            assert call.result().strData == "hold"
            assert ended.result() == 0
    finally:
        stopping.kill()


@ours_alone
def test_the_listener_is_named_in_the_log(server: GrpcServer) -> None:
    server.wait_for_log(
        "mms_log.log", rf"gRPC API bind to: grpc://127\.0\.0\.1:{server.grpc_port}$"
    )


@ours_alone
def test_without_the_extra_the_server_says_what_to_install(
    servers: ServerPool, tmp_path: Path
) -> None:
    (tmp_path / "hpack.py").write_text("raise ModuleNotFoundError('no', name='hpack')\n")
    bare = GrpcServer(servers.new_directory())
    bare.environment["PYTHONPATH"] = str(tmp_path)
    with pytest.raises(Exception, match="exit code 1") as caught:
        bare.start()
    assert 'needs the package hpack: pip install "marserve[grpc]"' in str(caught.value)
    assert f"grpc_address=grpc://127.0.0.1:{bare.grpc_port}" in str(caught.value)


@ours_alone
def test_a_taken_port_is_told(server: GrpcServer, servers: ServerPool) -> None:
    second = GrpcServer(servers.new_directory(), grpc_address=f"127.0.0.1:{server.grpc_port}")
    with pytest.raises(Exception, match="Failed to bind to address: grpc://127.0.0.1"):
        second.start()


def test_a_list_of_no_messages_fails(component: GetComponent) -> None:
    assert component("Combiner").fail("Combiner/Aggregate", SeldonMessageList())
