"""What a registration says that means nothing to its model is told, and refused where that is asked for."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from mms.errors import BadRequest, Conflict
from mms.serving import RegisterOptions

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
SERVER = "class Server(V2ModelServer):\n    def load(self): ...\n    def predict(self, body): return [1]\n"
CODE = f"from mlrun.serving import V2ModelServer\n{SERVER}"
ROUTER = {
    "graph": {
        "kind": "router",
        "routes": {"a": {"class_name": "Server", "class_args": {"model_path": ""}}},
    },
    "code": CODE,
    "filename": "f.py",
}
OF_COMPONENTS = "only Seldon components have it, and the interface is mms"


async def told(bench: Any, url: str, **options: Any) -> list[str]:
    outcome = await bench.host.register(RegisterOptions.of_members({"url": url, **options}))
    return list(outcome.without_effect)


def write_graph(bench: Any, graph: str, **node: Any) -> str:
    (bench.store / f"{graph}.json").write_text(json.dumps({"name": graph, "graph": node}))
    return f"{graph}.json"


async def test_a_graph_of_models_that_are_there_has_no_use_for_workers(bench: Any) -> None:
    await bench.register("m", OK, initial_workers=0)
    url = write_graph(bench, "g", name="m")
    found = await told(
        *(bench, url),
        batch_size=4,
        max_batch_delay_ms=7,
        gpu_ids=(),
        retry=False,
        response_timeout_s=3.0,
        request_timeout_s=5.0,
        initial_workers=2,
        parameters=[{"name": "x", "value": "1", "type": "INT"}],
        mlrun={"load_mode": "sync"},
    )
    without_workers = "it is a graph without workers of its own; set it for the models that it asks"
    said = {
        **dict.fromkeys(
            (
                *("batch_size", "max_batch_delay", "gpu_ids", "retry", "response_timeout"),
                "initial_workers",
            ),
            without_workers,
        ),
        "parameters": "it is a graph, whose document says what its models are",
        "load_mode": "only model servers of MLRun have it, and the interface is seldon",
    }
    assert sorted(found) == sorted(
        f"{name} has no effect on model g: {reason}" for name, reason in said.items()
    )


async def test_parameters_hold_for_the_servers_that_come_with_a_graph(bench: Any) -> None:
    (bench.store / "files").mkdir()
    url = write_graph(bench, "g", name="n", implementation="SKLEARN_SERVER", modelUri="files")
    assert await told(bench, url, batch_size=4, initial_workers=0) == []
    assert bench.host.registry.get("g.n").model.config.batch_size == 4


async def test_parameters_hold_for_the_models_of_a_function(bench: Any) -> None:
    found = await told(
        bench, "", model_name="fn", serving_spec=ROUTER, batch_size=2, validate_inputs=True
    )
    assert "validate_inputs has no effect on model fn: only Seldon components have it" in found[0]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"service_type": "MODEL"}, OF_COMPONENTS),
        ({"validate_inputs": True}, OF_COMPONENTS),
        ({"row_batching": True}, "only model servers of MLRun and Seldon components have it"),
        ({"predictor": "p"}, "it is not a graph with predictors"),
        (
            {"mlrun": {"class_args": {}}},
            "only model servers of MLRun have it, and the interface is mms",
        ),
    ],
)
async def test_what_belongs_to_another_interface_is_told(
    bench: Any, caplog: pytest.LogCaptureFixture, options: Any, reason: str
) -> None:
    url = bench.write("m", OK)
    with caplog.at_level(logging.WARNING, "mms.serving"):
        found = await told(bench, url, interface="mms", initial_workers=0, **options)
    assert len(found) == 1
    assert reason in found[0]
    assert found[0] in caplog.text


async def test_strict_parameters_refuse_it_and_leave_nothing(make_bench: Any) -> None:
    bench = await make_bench(strict_parameters=True)
    await bench.register("m", OK, initial_workers=0)
    url = write_graph(bench, "g", name="m")
    with pytest.raises(BadRequest, match=r"^batch_size has no effect on model g: .*\(strict_param"):
        await bench.host.register(RegisterOptions(url, batch_size=4))
    assert [name for name, _ in bench.host.list_models()] == ["m"]
    assert await told(bench, url) == []


async def test_a_file_that_says_how_a_graphs_workers_run_is_told_in_the_log(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.register("m", OK, initial_workers=0)
    folder = bench.store / "g"
    folder.mkdir()
    (folder / "graph.yaml").write_text("name: g\ngraph: {name: m}\n")
    (folder / "model-config.yaml").write_text("batchSize: 4\n")
    with caplog.at_level(logging.WARNING, "mms.serving"):
        assert await told(bench, "g") == []
    assert "batch_size has no effect on model g: it is a graph" in caplog.text


# Pre-packaged servers that are there already


@pytest.mark.parametrize(
    "change", [{"modelUri": "other"}, {"implementation": "XGBOOST_SERVER"}], ids=str
)
async def test_a_graph_that_names_other_files_for_a_server_that_is_there_is_refused(
    bench: Any, change: Any
) -> None:
    for name in ("files", "other"):
        (bench.store / name).mkdir()
    node = {"name": "n", "implementation": "SKLEARN_SERVER", "modelUri": "files"}
    await told(bench, write_graph(bench, "g", **node), initial_workers=0)
    await bench.host.unregister("g")
    assert await told(bench, write_graph(bench, "g", **node)) == []
    await bench.host.unregister("g")
    with pytest.raises(Conflict, match="g.n is registered already, as sklearn of files, and"):
        await told(bench, write_graph(bench, "g", **{**node, **change}))
    await bench.host.unregister("g.n")
    assert await told(bench, write_graph(bench, "g", **{**node, **change}), initial_workers=0) == []
    assert bench.described("g.n")["modelUri"] == change.get("modelUri", "files")


async def test_a_model_of_ones_own_takes_the_place_of_a_server(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.register("m", OK, model_name="g.n", initial_workers=0)
    node = {"name": "n", "implementation": "SKLEARN_SERVER", "modelUri": "nowhere"}
    with caplog.at_level(logging.WARNING, "mms.serving"):
        await told(bench, write_graph(bench, "g", **node))
    assert "the model g.n is registered already, so that implementation and modelUri" in caplog.text


async def test_replicas_of_a_function_hold_beside_a_model_config_file(bench: Any) -> None:
    folder = bench.store / "fn"
    folder.mkdir()
    spec = {**ROUTER, "replicas": 2}
    (folder / "serving_spec.json").write_text(json.dumps(spec))
    (folder / "f.py").write_text(CODE)
    (folder / "model-config.yaml").write_text("batchSize: 4\n")
    await told(bench, "fn")
    described = bench.described("a")
    assert (described["minWorkers"], described["batchSize"]) == (2, 4)
