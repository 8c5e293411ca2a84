"""Seldon's inference graphs, black box: their nodes are components in workers, their clients speak REST."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from prometheus_client.parser import text_string_to_metric_families
from support.client import Reply
from support.processes import free_port
from support.server import Server, ServerPool, unique_name
from support.waiting import eventually

from mms.interfaces.seldon.codec.messages import (
    Empty,
    Feedback,
    SeldonGraphMetadata,
    SeldonMessage,
    SeldonModelMetadata,
    SeldonModelMetadataRequest,
)

pytestmark = pytest.mark.better_than_mms

X = {"strData": "x"}


def node(name: str, type: str, *children: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": name, "type": type, **members, "children": list(children)}


A = node("a", "MODEL")
B = node("b", "MODEL")


class Graph:
    """A graph that is registered."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.base = f"/seldon/{name}"

    def post(
        self,
        message: object = None,
        path: str = "/api/v1.0/predictions",
        tags: dict[str, int] | None = None,
        **options: Any,
    ) -> Reply:
        """`tags` tell the nodes which branch to choose and whether to fail."""
        if message is None:
            message = {**X, "meta": {"tags": tags or {}}}
        options.setdefault("content_type", "application/json")
        body = message if isinstance(message, bytes) else json.dumps(message)
        return self.server.inference.post(self.base + path, body, **options)

    def result(self, message: object = None, **options: Any) -> Any:
        reply = self.post(message, **options)
        assert reply.status == 200, reply
        return reply.json()

    def feed(self, message: object) -> Any:
        return self.result(message, path="/api/v1.0/feedback")

    def get(self, path: str) -> Reply:
        return self.server.inference.get(self.base + path)

    def routings_of(self, node: str, reward: float) -> list[int]:
        """The routing of each feedback of this reward that a node has got."""
        reply = self.server.inference.get(f"/seldon/{node}/health/status")
        assert reply.status == 200, reply
        feedback = reply.json()["jsonData"]["feedback"]
        return [routing for found, routing in feedback if found == reward]


MakeGraph = Callable[..., Graph]
#: Parameters of a node that its graph shall have for itself.
OWN: dict[str, Any] = {}


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    settings = {
        "default_workers_per_model": "1",
        "grpc_address": f"grpc://127.0.0.1:{free_port()}",
    }
    started = Server(servers.new_directory(), settings).start()
    yield started
    started.stop()


@pytest.fixture
def make_graph(server: Server) -> MakeGraph:
    """Registers a graph. Keywords: parameters of nodes that are its own; the others are shared."""

    def make(document: dict[str, Any], **own: dict[str, Any]) -> Graph:
        return _register(server, document, own)

    return make


def _register(server: Server, document: dict[str, Any], own: dict[str, Any]) -> Graph:
    name = unique_name("graph")
    for found in _components(document.get("graph", document)):
        parameters = own.get(found)
        if parameters is None:
            if server.management.get(f"/models/{found}").status != 200:
                _register_node(server, found, {"text": found})
        else:
            _register_node(server, f"{name}.{found}", {"text": found, **parameters})
    (server.store / f"{name}.yaml").write_text(json.dumps(document), encoding="utf-8")
    reply = server.register(f"{name}.yaml", model_name=name)
    assert reply.status == 200, reply
    return Graph(server, name)


def _components(tree: dict[str, Any]) -> Iterator[str]:
    if "implementation" not in tree:
        yield tree["name"]
    for child in tree.get("children", ()):
        yield from _components(child)


def _register_node(server: Server, model: str, parameters: dict[str, Any]) -> None:
    typed = [
        {"name": key, "value": str(value), "type": "INT" if isinstance(value, int) else "STRING"}
        for key, value in parameters.items()
    ]
    reply = server.register(
        "seldon_graph",
        model_name=model,
        handler="nodes:Chooser" if parameters["text"] == "r" else "nodes:Step",
        parameters=json.dumps(typed),
        initial_workers=1,
        synchronous="true",
    )
    assert reply.status == 200, reply


# The algorithm


def test_a_single_model_is_a_graph(make_graph: MakeGraph) -> None:
    reply = make_graph(A).result()
    assert reply["strData"] == "xa"
    assert reply["meta"]["routing"] == {"a": -1}


def test_a_chain_passes_data_from_node_to_node(make_graph: MakeGraph) -> None:
    chain = node("t", "TRANSFORMER", node("m", "MODEL", A))
    assert make_graph(chain).result()["strData"] == "xtma"


def test_numbers_pass_as_seldons_forms_say(make_graph: MakeGraph) -> None:
    graph = make_graph(node("t", "TRANSFORMER", A))
    reply = graph.result({"data": {"names": ["p", "q"], "ndarray": [[1, 2.5]]}})
    assert reply["data"] == {"names": ["t:0", "t:1"], "ndarray": [[3.0, 4.5]]}
    reply = graph.result({"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}})
    assert reply["data"]["tensor"] == {"shape": [1, 2], "values": [3, 4]}


def test_an_output_transformer_comes_last(make_graph: MakeGraph) -> None:
    assert make_graph(node("o", "OUTPUT_TRANSFORMER", A)).result()["strData"] == "xao"


def test_a_combiner_joins_its_children_in_their_order(make_graph: MakeGraph) -> None:
    reply = make_graph(node("c", "COMBINER", A, B)).result()
    assert reply["strData"] == "xa+xbc"
    assert reply["meta"]["routing"] == {"a": -1, "b": -1, "c": -1}


def test_a_built_in_combiner_averages(make_graph: MakeGraph) -> None:
    tree = node("c", "COMBINER", A, node("t", "TRANSFORMER", B), implementation="AVERAGE_COMBINER")
    reply = make_graph(tree).result({"data": {"ndarray": [[1.0, 2.0]]}})
    assert reply["data"]["ndarray"] == [[2.5, 3.5]]
    assert reply["meta"]["tags"]["last"] == "b"


@pytest.mark.parametrize(("branch", "expected"), [(0, "xa"), (1, "xb"), (-2, "x"), (-1, "xa")])
def test_a_router_chooses(make_graph: MakeGraph, branch: int, expected: str) -> None:
    reply = make_graph(node("r", "ROUTER", A, B)).result(tags={"branch": branch})
    assert reply["strData"] == expected
    assert reply["meta"]["routing"]["r"] == branch


def test_a_branch_that_is_not_there_is_a_clear_500(make_graph: MakeGraph) -> None:
    reply = make_graph(node("r", "ROUTER", A, B)).post(tags={"branch": 5})
    assert reply.status == 500
    assert "Node r chose branch 5, but it has 2 children" in reply.json()["status"]["info"]


@pytest.mark.parametrize(("ratio", "expected"), [("1", "xa"), ("0", "xb")])
def test_an_ab_test_draws_by_its_ratio(make_graph: MakeGraph, ratio: str, expected: str) -> None:
    parameters = [{"name": "ratioA", "value": ratio, "type": "FLOAT"}]
    tree = node("ab", "ROUTER", A, B, implementation="RANDOM_ABTEST", parameters=parameters)
    graph = make_graph(tree)
    assert {graph.result()["strData"] for _ in range(10)} == {expected}


def test_methods_say_which_calls_a_node_gets(make_graph: MakeGraph) -> None:
    tree = {
        "name": "n",
        "methods": ["TRANSFORM_INPUT", "AGGREGATE", "TRANSFORM_OUTPUT"],
        "children": [A, B],
    }
    assert make_graph(tree).result()["strData"] == "xna+xnbnn"


# Meta


def test_tags_metrics_paths_and_the_puid_pass_through_the_chain(make_graph: MakeGraph) -> None:
    graph = make_graph(node("t", "TRANSFORMER", A))
    sent = {"meta": {"puid": "p", "tags": {"mine": 2, "last": "x"}}, **X}
    meta = graph.result(sent)["meta"]
    assert meta["puid"] == "p"
    assert meta["tags"] == {"mine": 2, "t": 1, "a": 1, "last": "a"}
    assert [metric["key"] for metric in meta["metrics"]] == ["calls_t", "calls_a"]
    assert meta["requestPath"] == {"a": "a:latest", "t": "t:latest"}


def test_a_branch_does_not_see_the_tags_of_another(make_graph: MakeGraph) -> None:
    document = {
        "name": "main",
        "graph": node("c", "COMBINER", A, node("b", "MODEL", node("m", "MODEL"))),
        "componentSpecs": [{"spec": {"containers": [{"name": "a", "image": "repo/a:0.1"}]}}],
    }
    meta = make_graph(document, c={"tags": 0}).result()["meta"]
    assert meta["tags"] == {"a": 1, "b": 1, "m": 1, "last": "m"}
    assert meta["requestPath"]["a"] == "repo/a:0.1"
    assert set(meta["requestPath"]) == {"a", "b", "c", "m"}


def test_what_a_router_adds_goes_no_further(make_graph: MakeGraph) -> None:
    meta = make_graph(node("r", "ROUTER", A)).result()["meta"]
    assert meta["tags"] == {"a": 1, "last": "a"}
    assert set(meta["requestPath"]) == {"a"}


# What a client may send, and get


def test_a_form_reaches_the_first_node_as_it_is(make_graph: MakeGraph) -> None:
    graph = make_graph(node("t", "TRANSFORMER", A))
    form = b"json=%7B%22strData%22%3A%22x%22%7D"
    reply = graph.post(form, content_type="application/x-www-form-urlencoded")
    assert reply.json()["strData"] == "xta"


def test_a_form_reaches_all_children_of_a_combiner(make_graph: MakeGraph) -> None:
    form = b"json=%7B%22strData%22%3A%22x%22%7D"
    reply = make_graph(node("c", "COMBINER", A, B)).post(
        form, content_type="application/x-www-form-urlencoded"
    )
    assert reply.json()["strData"] == "xa+xbc"


def test_predictions_of_mms_have_the_graph_too(make_graph: MakeGraph) -> None:
    graph = make_graph(A)
    reply = graph.server.inference.post(
        f"/predictions/{graph.name}", json.dumps(X), content_type="application/json"
    )
    assert (reply.status, reply.json()["strData"]) == (200, "xa")


@pytest.mark.parametrize("status", [409, 500])
def test_a_nodes_error_keeps_its_status_and_body(make_graph: MakeGraph, status: int) -> None:
    reply = make_graph(node("t", "TRANSFORMER", A)).post(tags={"fails a": status})
    assert reply.status == status
    assert reply.json()["status"]["info"] == "a fails"
    assert reply.header("Content-Type") == "application/json"


def test_the_error_of_a_router_keeps_its_body(make_graph: MakeGraph) -> None:
    reply = make_graph(node("r", "ROUTER", A)).post(tags={"fails r": 409})
    assert (reply.status, reply.json()["status"]["info"]) == (409, "r fails")


def test_the_error_of_the_first_child_in_order_counts(make_graph: MakeGraph) -> None:
    graph = make_graph(node("c", "COMBINER", A, B))
    assert graph.post(tags={"fails a": 409, "fails b": 400}).status == 409


def test_a_body_that_is_no_json_is_400(make_graph: MakeGraph) -> None:
    reply = make_graph(node("r", "ROUTER", A)).post(b"no json")
    assert (reply.status, reply.json()["status"]["reason"]) == (400, "MICROSERVICE_BAD_DATA")


def test_a_prediction_has_a_puid_of_its_own_or_the_clients(make_graph: MakeGraph) -> None:
    graph = make_graph(A)
    made = graph.post(X).header("Seldon-Puid")
    assert made is not None
    assert len(made) == 36
    own = str(uuid.uuid4())
    assert graph.post(X, headers={"Seldon-Puid": own}).header("Seldon-Puid") == own


def test_a_cloud_event_is_answered_as_one(make_graph: MakeGraph) -> None:
    graph = make_graph(A)
    assert graph.post(X).header("Ce-Specversion") is None
    reply = graph.post(X, headers={"Ce-Specversion": "0.3"})
    assert reply.header("Ce-Specversion") == "0.3"
    assert reply.header("Ce-Source") == f"seldon.{graph.name}"


# Feedback


def test_feedback_reaches_the_router_and_the_child_it_chose(make_graph: MakeGraph) -> None:
    graph = make_graph(node("r", "ROUTER", A, B))
    answered = graph.result(tags={"branch": 1})
    reply = graph.feed({"request": X, "response": answered, "reward": 0.5})
    assert reply["data"]["tensor"]["values"] == [0.5]
    assert [graph.routings_of(name, 0.5) for name in ("r", "b", "a")] == [[1], [-1], []]


def test_feedback_without_routing_reaches_all(make_graph: MakeGraph) -> None:
    graph = make_graph(node("r", "ROUTER", A, B))
    graph.feed({"reward": 0.25})
    assert [len(graph.routings_of(name, 0.25)) for name in ("r", "a", "b")] == [1, 1, 1]


def test_feedback_to_a_graph_whose_root_takes_none_is_echoed(make_graph: MakeGraph) -> None:
    graph = make_graph(node("t", "TRANSFORMER", A))
    assert graph.feed({"reward": 0.125}) == {"reward": 0.125}
    assert len(graph.routings_of("a", 0.125)) == 1


# What it shows


def test_describe_and_list_show_nodes_types_and_state(make_graph: MakeGraph) -> None:
    graph = make_graph(node("t", "TRANSFORMER", A), a=OWN)
    shown = graph.server.describe(graph.name)["graph"]
    assert shown["state"] == "READY"
    nodes = [(found["name"], found["type"], found["model"]) for found in shown["nodes"]]
    assert nodes == [
        ("t", "TRANSFORMER", "t"),
        ("a", "MODEL", f"{graph.name}.a"),
    ]
    listed = graph.server.management.get("/models").json()["models"]
    states = {m["modelName"]: m["graph"]["state"] for m in listed if "graph" in m}
    assert states[graph.name] == "READY"


def test_a_graph_is_ready_while_its_nodes_have_workers(make_graph: MakeGraph) -> None:
    graph = make_graph(node("t", "TRANSFORMER", A), a=OWN)
    assert graph.get("/ready").status == 200
    assert graph.get("/health/status").status == 200
    scaled = graph.server.management.put(f"/models/{graph.name}.a?min_worker=0&synchronous=true")
    assert scaled.status == 200, scaled
    assert graph.get("/ready").status == 503
    reply = graph.get("/health/status")
    assert reply.status == 503
    assert "no worker has loaded a" in reply.json()["status"]["info"]


def test_the_metadata_of_a_graph_is_that_of_its_nodes(make_graph: MakeGraph) -> None:
    graph = make_graph({"name": "main", "graph": node("t", "TRANSFORMER", A)})
    found = graph.get("/api/v1.0/metadata").json()
    assert found["name"] == "main"
    assert found["models"]["a"]["platform"] == "test"
    assert found["graphinputs"][0]["schema"]["names"] == ["t in"]
    assert found["graphoutputs"][0]["schema"]["names"] == ["a out"]
    assert graph.get("/api/v1.0/metadata/a").json() == found["models"]["a"]
    assert graph.get("/api/v1.0/metadata/nobody").status == 404
    assert list(graph.get("/api/v1.0/status/a").json()["jsonData"]) == ["feedback"]


def test_a_model_that_a_graph_uses_stays(make_graph: MakeGraph) -> None:
    graph = make_graph(A, a=OWN)
    reply = graph.server.unregister(f"{graph.name}.a")
    assert reply.status == 409
    assert f"used by the graph {graph.name}" in reply.json()["message"]


def test_latencies_have_the_executors_names_and_labels(make_graph: MakeGraph) -> None:
    graph = make_graph({"name": "main", "graph": node("t", "TRANSFORMER", A)})
    graph.post(tags={"fails a": 409})

    def counts() -> dict[str, dict[str, str]]:
        text = graph.server.management.get("/metrics").text
        return {
            f"{sample.name} {sample.labels['service']}": sample.labels
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels.get("deployment_name") == graph.name and sample.name.endswith("_count")
        }

    found = eventually(
        "the graph's series are there", lambda: found if len(found := counts()) == 3 else None
    )
    server = found["seldon_api_executor_server_requests_seconds_count predictions"]
    assert (server["code"], server["method"], server["predictor_name"]) == ("409", "post", "main")
    first = found["seldon_api_executor_client_requests_seconds_count /transform-input"]
    assert (first["code"], first["model_name"]) == ("200", "t")
    second = found["seldon_api_executor_client_requests_seconds_count /predict"]
    assert (second["code"], second["model_name"]) == ("409", "a")
    assert second["model_image"] == "a"


def test_a_missing_node_is_refused_with_its_name(server: Server) -> None:
    (server.store / "lost.yaml").write_text(json.dumps(node("nobody", "MODEL")), encoding="utf-8")
    reply = server.register("lost.yaml")
    assert reply.status == 400
    assert reply.json()["type"] == "InvalidModelException"
    assert "Node 'nobody' of the graph lost is not a model" in reply.json()["message"]


def test_the_aiohttp_side_serves_graphs_as_the_lane_does(
    start_server: Callable[..., Server], server: Server
) -> None:
    replies = []
    for each in (server, start_server({"lane": "off", "default_workers_per_model": "1"})):
        graph = _register(each, A, {})
        replies.append(graph.result())
        assert graph.post(tags={"fails a": 409}).status == 409
    assert replies[0] == replies[1]


def test_strict_mode_has_routing_when_asked_and_only_the_status_of_a_failed_router(
    start_server: Callable[..., Server],
) -> None:
    settings = {"seldon_strict": "true"}
    graph = _register(start_server(settings), node("r", "ROUTER", A), {})
    assert "routing" not in graph.result()["meta"]
    reply = graph.post(tags={"fails r": 409})
    assert reply.status == 409
    assert reply.json()["status"]["status"] == "FAILURE"
    variables = {"SELDON_ENABLE_ROUTING_INJECTION": "1"}
    graph = _register(start_server(settings, environment=variables), A, {})
    assert graph.result()["meta"]["routing"] == {"a": -1}


# gRPC


@pytest.fixture
def call(server: Server) -> Iterator[Callable[..., Any]]:
    """Calls a method of the external API: `call(graph, method, request, reply class)`."""
    address = server.settings["grpc_address"]
    assert address is not None
    with grpc.insecure_channel(address.removeprefix("grpc://")) as channel:

        def ask(
            graph: Graph, method: str, request: Any, reply_class: Any, *metadata: tuple[str, str]
        ) -> Any:
            method_call = channel.unary_unary(
                f"/seldon.protos.Seldon/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=reply_class.FromString,
            )
            return method_call(request, timeout=20, metadata=(("seldon", graph.name), *metadata))

        yield ask


def test_a_graph_answers_and_learns_over_grpc(
    make_graph: MakeGraph, call: Callable[..., Any]
) -> None:
    tree = node(
        "r", "ROUTER", A, node("t", "TRANSFORMER", node("c", "COMBINER", A | {"name": "m"}, B))
    )
    graph = make_graph(tree)
    asked = SeldonMessage(strData="x")
    asked.meta.puid = "p"
    asked.meta.tags["branch"].number_value = 1
    reply = call(graph, "Predict", asked, SeldonMessage)
    assert reply.strData == "xtm+xtbc"
    assert dict(reply.meta.routing) == {"r": 1, "t": -1, "c": -1, "b": -1, "m": -1}
    assert reply.meta.puid == "p"
    assert set(reply.meta.requestPath) == {"t", "c", "b", "m"}
    call(graph, "SendFeedback", Feedback(response=reply, reward=0.75), SeldonMessage)
    assert graph.routings_of("r", 0.75) == [1]


def test_a_nodes_error_reaches_a_grpc_client(
    make_graph: MakeGraph, call: Callable[..., Any]
) -> None:
    asked = SeldonMessage(strData="x")
    asked.meta.tags["fails a"].number_value = 400
    with pytest.raises(grpc.RpcError) as caught:
        call(make_graph(A), "Predict", asked, SeldonMessage)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "a fails"


def test_metadata_of_graph_and_nodes_over_grpc(
    make_graph: MakeGraph, call: Callable[..., Any]
) -> None:
    graph = make_graph({"name": "main", "graph": node("t", "TRANSFORMER", A)})
    found = call(graph, "GraphMetadata", Empty(), SeldonGraphMetadata)
    assert (found.name, set(found.models)) == ("main", {"t", "a"})
    assert found.models["a"].platform == "test"
    assert found.inputs[0].messagetype == "tensor"
    request = SeldonModelMetadataRequest(name="a")
    assert call(graph, "ModelMetadata", request, SeldonModelMetadata).name == "a"


# Pre-packaged servers


def test_a_prepackaged_server_of_a_graph_is_registered_with_it(server: Server) -> None:
    """The document's model is fetched, loaded and asked; it is a model of its own."""
    joblib = pytest.importorskip("joblib", reason="the extra sklearn is not installed")
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is missing")
    folder = server.store / "saved"
    folder.mkdir()
    estimator = linear_model.LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    joblib.dump(estimator, folder / "model.joblib")
    tree = node(
        "line",
        "MODEL",
        implementation="SKLEARN_SERVER",
        modelUri=folder.as_uri(),
        parameters=[{"name": "method", "value": "predict", "type": "STRING"}],
    )
    document = node("t", "TRANSFORMER", tree)
    graph = _register(server, {"name": "main", "graph": document}, {})
    reply = graph.result({"data": {"ndarray": [[9.0]]}})
    # The transformer adds one: 2 * 10 + 1.
    assert reply["data"]["ndarray"] == pytest.approx([21.0])
    assert server.describe(f"{graph.name}.line")["prepackaged"] == "sklearn"


# Flask


@pytest.mark.parametrize("branch", [0, 1])
@pytest.mark.parametrize("is_rest", [True, False], ids=["REST", "gRPC"])
def test_nodes_find_the_clients_request_in_flask(
    server: Server, call: Callable[..., Any], is_rest: bool, branch: int
) -> None:
    names = [f"flask-{at}" for at in ("router", "transformer", "combiner", "output")]
    for name in names:
        if server.management.get(f"/models/{name}").status != 200:
            options = {"handler": "by_flask:OfTenant", "initial_workers": 1, "synchronous": "true"}
            reply = server.register("seldon", model_name=name, **options)
            assert reply.status == 200, reply
    router, transformer, combiner, output = names
    tree = node(
        *(router, "ROUTER", node(transformer, "TRANSFORMER", node(output, "OUTPUT_TRANSFORMER"))),
        node(combiner, "COMBINER", A, B),
    )
    graph = _register(server, tree, {})
    headers = {"x-tenant": "t", "x-branch": str(branch)}
    if is_rest:
        told = graph.post(X, headers=headers).json()["data"]["ndarray"]
    else:
        reply = call(graph, "Predict", SeldonMessage(strData="x"), SeldonMessage, *headers.items())
        told = json_format.MessageToDict(reply.data.ndarray)
    path = "/aggregate" if branch else "/transform-output"
    content_type = "application/json" if is_rest else "application/x-protobuf"
    assert told == ["t", path, content_type]
