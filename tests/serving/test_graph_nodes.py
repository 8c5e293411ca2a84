"""What models get of the graphs whose nodes they are: names, parameters, workers."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from support.replies import AwaitedReply, make_request

from mms.errors import Conflict, InvalidModel, WorkerStartFailed
from mms.serving import RegisterOptions
from mms.wire import ModelOperation

NODE = """
import os

AT_IMPORT = {
    name: os.environ.get(name)
    for name in (
        "PREDICTIVE_UNIT_ID", "SELDON_DEPLOYMENT_ID", "PREDICTOR_ID", "PREDICTIVE_UNIT_PARAMETERS"
    )
}

class Node:
    def __init__(self, branches=0, **more):
        if branches < 0:
            raise ValueError("branches must not be negative")
        self.arguments = {"branches": branches, **more}

    def predict(self, X, names):
        return {"arguments": self.arguments, "environment": AT_IMPORT}
"""
TWO = {"name": "branches", "value": "2", "type": "INT"}
THREE = {"name": "branches", "value": "3", "type": "INT"}


async def ask(bench: Any, name: str) -> Any:
    """What the component behind a model or graph tells of itself."""

    reply = AwaitedReply(json.loads, raises=True)
    request = make_request(
        name,
        reply,
        b'{"strData":"x"}',
        content_type=b"application/json",
        headers=b"Host\nh",
        operation=ModelOperation("predict"),
    )
    bench.host.submit(request)
    status, body = await asyncio.wait_for(reply.done, 30)
    assert status == 200, body
    return body["jsonData"]


async def register(bench: Any, name: str, **options: Any) -> None:
    options = {"handler": "service:Node", "interface": "seldon", **options}
    await bench.register(name, NODE, **options)


def deployment(*parameters: Any, node: str = "m", **container: Any) -> dict[str, Any]:
    predictor: dict[str, Any] = {
        "name": "main",
        "graph": {"name": node, "type": "MODEL", "parameters": list(parameters)},
        "componentSpecs": [{"spec": {"containers": [{"name": node, **container}]}}],
    }
    spec = {"predictors": [predictor]}
    return {"kind": "SeldonDeployment", "metadata": {"name": "dep"}, "spec": spec}


async def deploy(bench: Any, document: Any, name: str = "dep", **options: Any) -> None:
    file = f"{name}.json"
    (bench.store / file).write_text(json.dumps(document), encoding="utf-8")
    await bench.host.register(RegisterOptions(file, model_name=name, **options))


async def test_a_components_environment_names_it_as_seldons_operator_does(bench: Any) -> None:
    await register(bench, "m", parameters=[TWO])
    assert await ask(bench, "m") == {
        "arguments": {"branches": 2},
        "environment": {
            "PREDICTIVE_UNIT_ID": "m",
            "SELDON_DEPLOYMENT_ID": "m",
            "PREDICTOR_ID": "default",
            "PREDICTIVE_UNIT_PARAMETERS": json.dumps([TWO]),
        },
    }


async def test_the_operators_own_variables_come_first_and_hidden_ones_stay_hidden(
    make_bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELDON_DEPLOYMENT_ID", "of-the-operator")
    bench = await make_bench(blacklist_env_vars="PREDICTOR_ID")
    await register(bench, "m")
    environment = (await ask(bench, "m"))["environment"]
    assert environment["SELDON_DEPLOYMENT_ID"] == "of-the-operator"
    assert environment["PREDICTOR_ID"] is None
    assert environment["PREDICTIVE_UNIT_PARAMETERS"] == "[]"


async def test_parameters_of_a_graphs_node_reach_its_class(bench: Any) -> None:
    more = {"name": "own", "value": "kept", "type": "STRING"}
    await register(bench, "m", parameters=[TWO, more])
    await deploy(bench, deployment(THREE))
    told = await ask(bench, "dep")
    assert told["arguments"] == {"branches": 3, "own": "kept"}
    assert told["environment"]["PREDICTIVE_UNIT_ID"] == "m"
    assert told["environment"]["SELDON_DEPLOYMENT_ID"] == "dep"
    assert told["environment"]["PREDICTOR_ID"] == "main"
    parameters = json.loads(told["environment"]["PREDICTIVE_UNIT_PARAMETERS"])
    assert parameters == bench.described("m")["parameters"] == [more, THREE]
    await bench.host.unregister("dep")
    assert (await ask(bench, "m"))["arguments"] == {"branches": 2, "own": "kept"}


async def test_a_model_that_needs_its_graphs_parameters_loads_with_them(bench: Any) -> None:
    wrong = {"name": "branches", "value": "-1", "type": "INT"}
    await register(bench, "m", parameters=[wrong], synchronous=False)
    await deploy(bench, deployment(TWO))
    assert (await ask(bench, "dep"))["arguments"] == {"branches": 2}


async def test_a_class_that_cannot_be_made_of_them_fails_the_graph_and_stays_as_it_was(
    bench: Any,
) -> None:
    await register(bench, "m", parameters=[TWO])
    wrong = {"name": "branches", "value": "-1", "type": "INT"}
    with pytest.raises(WorkerStartFailed, match="branches must not be negative"):
        await deploy(bench, deployment(wrong))
    assert not bench.host.has_model("dep")
    assert (await ask(bench, "m"))["arguments"] == {"branches": 2}


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ({"name": "branches", "value": "2"}, "Node 'm': "),
        ({"name": "branches", "value": "2", "type": "LIST"}, "Node 'm': "),
    ],
)
async def test_parameters_that_are_none_are_refused_with_the_node(
    bench: Any, parameter: Any, told: str
) -> None:
    await register(bench, "m", initial_workers=0)
    with pytest.raises(InvalidModel, match=told):
        await deploy(bench, deployment(parameter))


async def test_graphs_with_different_parameters_for_one_model_are_refused(bench: Any) -> None:
    await register(bench, "m", initial_workers=0)
    await deploy(bench, deployment(TWO), "one")
    await deploy(bench, deployment(TWO), "same")
    for document in (deployment(THREE), deployment()):
        with pytest.raises(Conflict, match=r"register the model once more as other\.m"):
            await deploy(bench, document, "other")
    await bench.host.register(
        RegisterOptions(
            "m", model_name="other.m", handler="service:Node", interface="seldon", initial_workers=1
        )
    )
    await deploy(bench, deployment(THREE), "other")
    told = await ask(bench, "other")
    assert told["arguments"] == {"branches": 3}
    assert told["environment"]["PREDICTIVE_UNIT_ID"] == "m"


async def test_a_node_without_parameters_keeps_its_workers_when_graphs_come_and_go(
    bench: Any,
) -> None:
    await register(bench, "m")
    pids = bench.pids("m")
    await deploy(bench, deployment())
    await bench.host.unregister("dep")
    assert bench.pids("m") == pids


async def test_gunicorn_workers_of_a_deployment_are_the_nodes_workers(bench: Any) -> None:
    await register(bench, "m")
    env = [{"name": "GUNICORN_WORKERS", "value": "2"}]
    await deploy(bench, deployment(env=env))
    described = bench.described("m")
    assert (described["minWorkers"], described["maxWorkers"]) == (2, 2)
    await bench.host.scale("m", None, 1, 1, True)
    assert bench.described("m")["minWorkers"] == 1
    env[0]["value"] = "many"
    with pytest.raises(InvalidModel, match="Container 'm' has GUNICORN_WORKERS='many'"):
        await deploy(bench, deployment(env=env), "other")


async def test_what_a_manifest_says_and_nothing_obeys_is_told_once(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await register(bench, "m", initial_workers=0)
    document = deployment(
        image="i:1", env=[{"name": "DEPTH", "value": "3"}], resources={"limits": {"cpu": 1}}
    )
    predictor = document["spec"]["predictors"][0]
    predictor |= {"replicas": 3, "explainer": {"type": "AnchorTabular"}, "traffic": 100}
    predictor["graph"] |= {"logger": {"mode": "all"}, "endpoint": {"type": "REST"}}
    with caplog.at_level(logging.WARNING):
        await deploy(bench, document)
    (told,) = [
        r.getMessage() for r in caplog.records if "does not use these parts" in r.getMessage()
    ]
    assert told == (
        "Graph dep: this server does not use these parts of its document: predictor.replicas, predictor.explainer, "
        "container m: resources, container m: env DEPTH, node m: logger."
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        await deploy(bench, deployment(image="i:1"), "quiet")
    assert "does not use these parts" not in caplog.text
