"""What a graph's document says, and what is refused with the name of the node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mms.interfaces.seldon.graph import Endpoint, GraphError, Node, NodeType, Step, read_graph


def node(name: str = "model", *children: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": name, **members, **({"children": list(children)} if children else {})}


def read(document: object, predictor: str | None = None) -> Node:
    return read_graph(json.dumps(document).encode(), predictor).root


def refusal(document: object, predictor: str | None = None) -> str:
    with pytest.raises(GraphError) as caught:
        read(document, predictor)
    return caught.value.message or ""


def deployment(*predictors: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "iris", "namespace": "teams"},
        "spec": {"predictors": list(predictors), **spec},
    }


def test_a_graph_is_read_from_a_bare_node_a_predictor_a_spec_and_a_deployment() -> None:
    bare = node("a", type="MODEL")
    predictor = {"name": "main", "graph": bare}
    documents = (bare, predictor, {"predictors": [predictor]}, deployment(predictor))
    assert [read(document).name for document in documents] == ["a"] * 4


def test_the_deployment_among_several_documents_is_taken() -> None:
    text = "kind: Service\nmetadata: {name: x}\n---\n" + json.dumps(
        deployment({"name": "main", "graph": node("a")})
    )
    graph = read_graph(text.encode())
    assert (graph.deployment, graph.namespace, graph.predictor) == ("iris", "teams", "main")


def test_another_kind_of_document_is_refused_by_its_kind() -> None:
    assert "predictors" in refusal({"kind": "Service", "spec": {}})
    assert "is a ConfigMap" in refusal({"kind": "ConfigMap", "data": {}})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"{", r"cannot be read: .*line"),
        (b"name: &a x\nimage: *a\n", r"the alias \*a is not supported"),
        (b"name: n\nseen: 2024-99-01\n", "is not a valid timestamp: month must be in 1..12"),
        (b"", "empty"),
        (b"- a\n", "not a mapping"),
        (b"[" * 5000, "cannot be read"),
        (b"a" * 1_100_000, "larger than"),
    ],
)
def test_a_text_that_is_no_graph_is_refused(text: bytes, told: str) -> None:
    with pytest.raises(GraphError, match=told):
        read_graph(text)


# Predictors


def test_the_first_predictor_with_traffic_is_taken() -> None:
    document = deployment(
        {"name": "shadow", "graph": node("s"), "shadow": True, "traffic": 0},
        {"name": "idle", "graph": node("i"), "traffic": 0},
        {"name": "main", "graph": node("m"), "traffic": 100},
    )
    assert read(document).name == "m"


def test_a_predictor_is_chosen_by_its_name() -> None:
    document = deployment(
        {"name": "main", "graph": node("m"), "traffic": 75},
        {"name": "canary", "graph": node("c"), "traffic": 25},
    )
    assert (read(document).name, read(document, "canary").name) == ("m", "c")
    assert "there is main, canary" in refusal(document, "other")


def test_predictors_of_one_name_are_refused() -> None:
    document = deployment({"name": "main", "graph": node()}, {"name": "main", "graph": node()})
    assert "'main' is used twice" in refusal(document)


def test_traffic_that_does_not_sum_to_100_is_refused() -> None:
    document = deployment(
        {"name": "a", "graph": node(), "traffic": 50}, {"name": "b", "graph": node(), "traffic": 40}
    )
    assert "sums to 90" in refusal(document)


def test_a_deployment_of_another_protocol_is_refused() -> None:
    assert "'v2'" in refusal(deployment({"name": "main", "graph": node()}, protocol="v2"))


def test_timeouts_images_and_the_version_are_read() -> None:
    graph = read_graph(
        json.dumps(
            deployment(
                {
                    "name": "main",
                    "graph": node("a"),
                    "labels": {"version": "v3"},
                    "annotations": {"seldon.io/rest-timeout": "1500"},
                    "componentSpecs": [
                        {"spec": {"containers": [{"name": "a", "image": "repo/a:0.1"}]}}
                    ],
                }
            )
        ).encode()
    )
    assert (graph.timeout_s, graph.predictor_version, graph.root.image) == (1.5, "v3", "repo/a:0.1")


# Which calls a node implies


@pytest.mark.parametrize(
    ("members", "before", "after", "routes", "aggregates", "learns"),
    [
        ({}, Step.PREDICT, None, False, False, True),
        ({"type": "MODEL"}, Step.PREDICT, None, False, False, True),
        ({"type": "TRANSFORMER"}, Step.TRANSFORM_INPUT, None, False, False, False),
        ({"type": "OUTPUT_TRANSFORMER"}, None, Step.TRANSFORM_OUTPUT, False, False, False),
        ({"type": "ROUTER"}, None, None, True, False, True),
        ({"type": "COMBINER"}, None, None, False, True, False),
        ({"methods": ["ROUTE", "SEND_FEEDBACK"]}, None, None, True, False, True),
        ({"methods": ["AGGREGATE"]}, None, None, False, True, False),
        (
            {"type": "MODEL", "methods": ["TRANSFORM_INPUT", "TRANSFORM_OUTPUT"]},
            Step.TRANSFORM_INPUT,
            Step.TRANSFORM_OUTPUT,
            False,
            False,
            True,
        ),
        ({"implementation": "SKLEARN_SERVER"}, Step.PREDICT, None, False, False, True),
        ({"type": "ROUTER", "implementation": "RANDOM_ABTEST"}, None, None, True, False, False),
    ],
)
def test_type_and_methods_decide_which_calls_a_node_gets(
    members: dict[str, Any],
    before: Step | None,
    after: Step | None,
    routes: bool,
    aggregates: bool,
    learns: bool,
) -> None:
    found = read(node("n", node("a"), node("b"), **members))
    assert (found.before, found.after) == (before, after)
    assert (found.routes, found.aggregates, found.learns) == (routes, aggregates, learns)


def test_an_unknown_implementation_stays_a_word_and_makes_a_model() -> None:
    found = read(node(implementation="XGBOOST_SERVER", modelUri="gs://bucket/model"))
    assert (found.type, found.server) == (NodeType.MODEL, "XGBOOST_SERVER")
    assert found.model_uri == "gs://bucket/model"


# Endpoints


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ({"type": "REST"}, None),
        ({"service_host": "m", "service_port": 9001}, Endpoint("m", 9001)),
        ({"service_host": "m", "httpPort": 80, "service_port": 1}, Endpoint("m", 80)),
        ({"service_host": "m", "type": "GRPC", "grpcPort": 7}, Endpoint("m", 7, True)),
        ({"service_host": "m"}, Endpoint("m", 9000)),
    ],
)
def test_a_node_is_remote_where_its_endpoint_has_a_host(
    endpoint: dict[str, Any], expected: Endpoint | None
) -> None:
    assert read(node(endpoint=endpoint)).endpoint == expected


# Refusals, by name


def test_a_name_that_comes_twice_is_refused() -> None:
    assert "'a' is used twice" in refusal(node("r", node("a"), node("b", node("a"))))


def test_a_circle_is_refused_with_its_way() -> None:
    with pytest.raises(GraphError, match="'a' is below itself: a -> b -> a"):
        read(node("a", node("b", node("a"))))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"type": "MODELL"}, "Node 'n' has the type 'MODELL'"),
        ({"type": 3}, "type must be a text"),
        ({"methods": ["PREDICT"]}, "method 'PREDICT'"),
        ({"children": {"name": "a"}}, "children must be a list"),
        ({"childern": []}, "unknown member 'childern'"),
        ({"children": ["a"]}, "A child of node 'n' is not a mapping"),
        ({"children": [{"type": "MODEL"}]}, "A child of node 'n' has no name"),
        ({"type": "ROUTER"}, "'n' is a ROUTER without children"),
        ({"type": "COMBINER"}, "'n' is a COMBINER without children"),
        ({"implementation": "RANDOM_ABTEST", "children": [{"name": "a"}]}, "1 children"),
        ({"implementation": "SIMPLE_MODEL", "children": [{"name": "a"}]}, "has no children"),
        (
            {"implementation": "AVERAGE_COMBINER", "type": "MODEL", "children": [{"name": "a"}]},
            "'n' is a MODEL, but its implementation AVERAGE_COMBINER is a COMBINER",
        ),
        (
            {
                "implementation": "RANDOM_ABTEST",
                "parameters": [{"name": "ratioA", "value": "1.5", "type": "FLOAT"}],
                "children": [{"name": "a"}, {"name": "b"}],
            },
            "ratioA '1.5'",
        ),
        (
            {
                "implementation": "WEIGHTED_ROUTER",
                "parameters": [{"name": "weights", "value": {"z": 1}}],
                "children": [{"name": "a"}],
            },
            "does not have: z; it has a",
        ),
        (
            {
                "implementation": "BANDIT_ROUTER",
                "parameters": [{"name": "strategy", "value": "ucb"}],
                "children": [{"name": "a"}],
            },
            "strategy is 'ucb'",
        ),
        ({"endpoint": {"service_host": "h", "type": "UDP"}}, "endpoint type 'UDP'"),
        ({"endpoint": {"service_host": "h/x"}}, "'h/x'"),
        ({"endpoint": {"service_host": "h", "service_port": 0}}, "port 0"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_node(members: dict[str, Any], told: str) -> None:
    assert told in refusal(node("n") | members)


def test_a_graph_of_very_many_nodes_is_refused() -> None:
    assert "more than 500" in refusal(node("r", *(node(f"n{i}") for i in range(600))))
