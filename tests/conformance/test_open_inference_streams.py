"""Requests of ModelStreamInfer with any number of answers, by Triton's own client."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.processes import free_port
from support.server import Server, ServerPool
from support.waiting import eventually

pytest.importorskip("tritonclient.grpc", reason="tritonclient comes with the extra test")

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.better_than_mms

LIMIT_S = 30.0
_CONFIG = """
backend: "python"
max_batch_size: 0
model_transaction_policy { decoupled: true }
input [{ name: "count" data_type: TYPE_INT64 dims: [1] }]
output [{ name: "y" data_type: TYPE_INT64 dims: [1] }]
"""
#: Sends so many responses from a thread of its own, while `execute` takes further requests.
_DECOUPLED = """
import threading
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            count = int(pb_utils.get_input_tensor_by_name(request, "count").as_numpy()[0])
            threading.Thread(target=self.send, args=(request.get_response_sender(), count)).start()

    def send(self, sender, count):
        for number in range(count):
            tensor = pb_utils.Tensor("y", np.array([number], np.int64))
            sender.send(pb_utils.InferenceResponse([tensor]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
_HANDLER = """
def handle(data, context):
    return [counted(item["inputs"]["count"]) for item in data or ()]

def counted(count):
    for number in range(int(count[0])):
        yield {"y": [number]}
    if int(count[0]) == 2:
        raise ValueError("two is too few")
"""


@pytest.fixture(scope="module")
def client(servers: ServerPool) -> Iterator[Any]:
    port = free_port()
    settings = {
        "grpc_address": f"grpc://127.0.0.1:{port}",
        "load_models": "decoupled,plain",
        "default_workers_per_model": "1",
    }
    server = Server(servers.new_directory(), settings)
    folder = server.store / "decoupled"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(_CONFIG)
    (folder / "1" / "model.py").write_text(_DECOUPLED)
    server.write_model(
        "plain",
        _HANDLER,
        {"runtime": "python", "model": {"modelName": "plain", "handler": "service:handle"}},
    )
    server.start()
    try:
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            eventually("all models are ready", client.is_server_ready)
            yield client
    finally:
        server.stop()


def _count(number: int) -> Any:
    found = triton.InferInput("count", [1], "INT64")
    found.set_data_from_numpy(np.array([number], np.int64))
    return found


class _Stream:
    """A stream of requests, and what comes of it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._came: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def __enter__(self) -> _Stream:
        self._client.start_stream(lambda result, error: self._came.put((result, error)))
        return self

    def __exit__(self, *of_error: object) -> None:
        with contextlib.suppress(InferenceServerException):
            self._client.stop_stream()

    def ask(self, model: str, count: int, id: str, *, wants_end: bool = True) -> None:
        self._client.async_stream_infer(
            model, [_count(count)], request_id=id, enable_empty_final_response=wants_end
        )

    def next(self) -> tuple[str, list[int] | None, bool]:
        """(id, numbers, whether it is the last one) of the next answer. Raises its error."""
        result, error = self._came.get(timeout=LIMIT_S)
        if error is not None:
            raise error
        response = result.get_response()
        numbers = result.as_numpy("y")
        is_last = response.parameters["triton_final_response"].bool_param
        return response.id, None if numbers is None else numbers.tolist(), is_last

    def all_of(self, *ids: str) -> dict[str, list[int]]:
        """The numbers of these requests, once each has its last answer."""
        found: dict[str, list[int]] = {id: [] for id in ids}
        left = set(ids)
        while left:
            id, numbers, is_last = self.next()
            found[id] += numbers or []
            if is_last:
                left.remove(id)
        return found


@pytest.mark.parametrize("model", ["decoupled", "plain"])
def test_a_request_of_a_stream_gets_all_of_its_answers_in_order(client: Any, model: str) -> None:
    counts = {"a": 5, "b": 0, "c": 300}
    with _Stream(client) as stream:
        for id, count in counts.items():
            stream.ask(model, count, id)
        assert stream.all_of(*counts) == {id: [*range(count)] for id, count in counts.items()}


def test_an_empty_last_answer_comes_to_clients_that_ask_for_it_alone(client: Any) -> None:
    with _Stream(client) as stream:
        stream.ask("plain", 1, "a", wants_end=False)
        assert stream.next()[:2] == ("a", [0])
        stream.ask("plain", 0, "b")
        assert stream.next() == ("b", None, True)


def test_a_stream_that_fails_tells_so_and_others_go_on(client: Any) -> None:
    with _Stream(client) as stream:
        stream.ask("plain", 2, "a")
        assert [stream.next()[1] for _ in range(2)] == [[0], [1]]
        with pytest.raises(InferenceServerException):
            stream.next()
        stream.ask("plain", 3, "b")
        assert stream.all_of("b") == {"b": [0, 1, 2]}


@pytest.mark.parametrize("model", ["decoupled", "plain"])
def test_a_call_with_one_answer_takes_a_stream_of_one_part(client: Any, model: str) -> None:
    assert client.infer(model, [_count(1)]).as_numpy("y").tolist() == [0]
    with pytest.raises(InferenceServerException, match="ModelStreamInfer"):
        client.infer(model, [_count(3)])
