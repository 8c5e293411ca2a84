"""Seldon's graphs answer clients of tensors, as their components do, black box."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.processes import free_port
from support.server import Server, ServerPool, manifest

pytestmark = pytest.mark.better_than_mms

COMPONENT = """
import numpy as np
from seldon_core.user_model import SeldonComponent, SeldonResponse


class Node(SeldonComponent):
    def __init__(self, kind):
        self.kind = kind

    def transform_input(self, X, names, meta=None):
        return X + np.ones((), X.dtype)

    def predict(self, X, names, meta=None):
        if self.kind == "fails":
            raise ValueError("on purpose")
        if self.kind == "names":
            return [[str(name) for name in names]]
        return SeldonResponse(X * 2, tags={"by": self.kind, "dtype": str(X.dtype)})

    def route(self, X, names):
        return int(np.asarray(X).ravel()[0] > 10)

    def aggregate(self, features_list, names_list):
        return np.concatenate([np.asarray(each) for each in features_list])
"""


def node(name: str, type: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type, "children": list(children), **more}


A, B = node("a", "MODEL"), node("b", "MODEL")
GRAPHS = {
    "chain": node("plus", "TRANSFORMER", A),
    "choice": node("choice-router", "ROUTER", A, B),
    "both": node("join", "COMBINER", A, B),
    "mean": node("mean-of", "COMBINER", A, B, implementation="AVERAGE_COMBINER"),
    "broken": node("plus", "TRANSFORMER", node("fails", "MODEL")),
    "naming": node("names", "MODEL"),
}
NODES = ("plus", "a", "b", "choice-router", "join", "fails", "names")


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    port = free_port()
    settings = {"default_workers_per_model": "1", "grpc_address": f"grpc://127.0.0.1:{port}"}
    started = Server(servers.new_directory(), settings).start()
    started.grpc_target = f"127.0.0.1:{port}"  # type: ignore[attr-defined]
    started.write_model("node", COMPONENT, manifest("node", "service:Node"))
    types = {"plus": "TRANSFORMER", "choice-router": "ROUTER", "join": "COMBINER"}
    for name in NODES:
        parameters = json.dumps([{"name": "kind", "value": name, "type": "STRING"}])
        reply = started.register(
            *("node",),
            model_name=name,
            parameters=parameters,
            service_type=types.get(name, "MODEL"),
            initial_workers=1,
            synchronous="true",
        )
        assert reply.status == 200, reply
    for name, graph in GRAPHS.items():
        (started.store / f"{name}.yaml").write_text(json.dumps({"name": name, "graph": graph}))
        reply = started.register(f"{name}.yaml", model_name=name)
        assert reply.status == 200, reply
    yield started
    started.stop()


def infer(server: Server, graph: str, data: Any, datatype: str = "FP32") -> Any:
    shape = list(np.array(data).shape)
    given = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
    return server.inference.post_json(f"/v2/models/{graph}/infer", {"inputs": [given], "id": "7"})


@pytest.mark.parametrize(
    ("graph", "data", "found", "datatype"),
    [
        ("chain", [[1.5, 2]], [5.0, 6.0], "FP32"),
        ("choice", [[1]], [2.0], "FP32"),
        ("choice", [[11]], [22.0], "FP32"),
        ("both", [[1.5]], [3.0, 3.0], "FP32"),
        ("mean", [[1.5]], [3.0], "FP64"),
    ],
)
def test_a_graph_answers_tensors_of_the_datatype_that_its_nodes_give(
    server: Server, graph: str, data: Any, found: Any, datatype: str
) -> None:
    document = infer(server, graph, data).json()
    assert (document["model_name"], document["id"]) == (graph, "7")
    (output,) = document["outputs"]
    assert (output["name"], output["datatype"], output["data"]) == ("output_0", datatype, found)


def test_tags_of_nodes_are_parameters_of_the_answer(server: Server) -> None:
    document = infer(server, "choice", [[12]], "INT8").json()
    assert document["parameters"] == {"by": "b", "dtype": "int8"}
    assert document["outputs"][0]["datatype"] == "INT8"


def test_rows_of_kserves_first_protocol_are_the_x_of_a_graph(server: Server) -> None:
    def predict(graph: str, rows: Any) -> Any:
        path = f"/v1/models/{graph}:predict"
        return server.inference.post_json(path, {"instances": rows}).json()

    assert predict("chain", [[1, 2]]) == {"predictions": [[4, 6]]}
    assert predict("naming", [{"p": 1, "q": 2}]) == {"predictions": [["p", "q"]]}
    reply = server.inference.post_json("/v1/models/chain:explain", {"instances": [[1]]})
    assert (reply.status, list(reply.json())) == (501, ["error"])


def test_a_request_without_numbers_and_a_node_that_fails_are_told_in_the_form_of_the_protocol(
    server: Server,
) -> None:
    reply = infer(server, "chain", ["text"], "BYTES")
    assert reply.status == 400 and "numeric" in reply.json()["error"]
    reply = infer(server, "broken", [[1]])
    assert (reply.status, list(reply.json())) == (500, ["error"])


def test_triton_s_clients_get_the_same_in_binary_form_and_over_grpc(server: Server) -> None:
    array = np.array([[1.5, 2]], np.float32)
    for module, address in (
        ("http", f"127.0.0.1:{server.inference.address.port}"),
        ("grpc", server.grpc_target),  # type: ignore[attr-defined]
    ):
        triton = pytest.importorskip(
            f"tritonclient.{module}", reason="tritonclient comes with the extra test"
        )
        given = triton.InferInput("x", [1, 2], "FP32")
        given.set_data_from_numpy(array)
        with triton.InferenceServerClient(address) as client:
            answer = client.infer("chain", [given]).as_numpy("output_0")
        assert (answer.dtype, answer.tolist()) == (np.float32, [[5, 6]])
