"""Functions: how they are built, what they refuse, and the documents they become."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import harness_classes
import pytest
import yaml
from harness_classes import Mul

from mms.interfaces.mlrun import (
    GraphServer,
    ServingFunction,
    VotingEnsemble,
    code_to_function,
    create_graph_server,
    deploy_function,
    import_function,
    new_function,
)
from mms.interfaces.mlrun.authoring.functions import function_from_dict
from mms.interfaces.mlrun.authoring.project import get_or_create_project
from mms.interfaces.mlrun.authoring.scripts import mlconf
from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError, MLRunNotFoundError

CODE = """
import mlrun_free


class Tens(mlrun_free.Base):
    def predict(self, request):
        return [x * self.get_param("factor") for x in request["inputs"]]
"""
BASE = """
from mms.interfaces.mlrun import V2ModelServer

class Base(V2ModelServer):
    def load(self):
        pass
"""


@pytest.fixture
def code_file(tmp_path: Path) -> str:
    (tmp_path / "mlrun_free.py").write_text(BASE)
    file = tmp_path / "tens_model.py"
    file.write_text(CODE)
    return str(file)


# Building


def test_a_name_is_written_as_mlrun_writes_it() -> None:
    function = new_function("My_Server", kind="serving", tag="v1")
    assert (function.metadata.name, function.uri) == ("my-server", "default/my-server:v1")


def test_other_kinds_of_functions_are_refused() -> None:
    with pytest.raises(MLRunInvalidArgumentError, match="functions of kind job are not known"):
        new_function("x", kind="job")


def test_a_topology_is_set_once() -> None:
    function = new_function("x")
    first = function.set_topology("router")
    with pytest.raises(MLRunInvalidArgumentError, match="already set"):
        function.set_topology("flow")
    assert function.set_topology("flow", exist_ok=True) is not first
    with pytest.raises(
        MLRunInvalidArgumentError, match="unsupported topology ring, use 'router' or 'flow'"
    ):
        new_function("x").set_topology("ring")


def test_a_model_makes_the_router() -> None:
    function = new_function("x")
    function.add_model("m1", "path", class_name="Mul")
    assert function.spec.graph.kind == "router"


def test_a_topologys_arguments_are_the_routers() -> None:
    function = new_function("x")
    function.set_topology("router", "mlrun.serving.VotingEnsemble", vote_type="regression")
    function.add_model("m1", "", class_name="Mul", multiplier=2)
    server = function.to_mock_server(namespace=harness_classes)
    assert isinstance(server.graph.object, VotingEnsemble)
    assert server.graph.object.vote_type == "regression"


def test_a_class_is_named_and_not_given() -> None:
    with pytest.raises(ValueError, match=r"class name must be a string .*Mul"):
        new_function("x").add_model("m1", ".", class_name=Mul)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "model_path or model_url must be provided"),
        ({"model_path": "."}, "model_path must be provided with class_name"),
    ],
)
def test_a_model_without_a_class_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        new_function("x").add_model("m1", **arguments)


def test_a_function_has_a_class_for_models_without_one() -> None:
    function = new_function("x")
    function.spec.default_class = "Mul"
    function.add_model("m1", ".", multiplier=3)
    server = function.to_mock_server(namespace=harness_classes)
    assert server.test("/v2/models/m1/infer", {"inputs": [5]})["outputs"] == 15


def test_a_templates_path_is_overridden_by_the_models() -> None:
    function = new_function("x")
    function.add_model("own", class_name=Mul(name="a", model_path="first", multiplier=1))
    function.add_model("other", "second", class_name=Mul(name="b", model_path="first"))
    server = function.to_mock_server()
    paths = [server.graph[key].object.model_path for key in ("own", "other")]
    assert paths == ["first", "second"]


def test_functions_parameters_reach_models_that_have_none() -> None:
    function = new_function("x")
    function.spec.parameters["multiplier"] = 7
    function.add_model("m1", ".", class_name="Mul")
    server = function.to_mock_server(namespace=harness_classes)
    assert server.test("/v2/models/m1/infer", {"inputs": [5]})["outputs"] == 35


def test_what_is_meant_for_kubernetes_is_taken() -> None:
    function = new_function("x")
    function.gpu(1)
    function.with_limits(mem="1G", cpu=1)
    function.spec.readiness_timeout = 100
    function.spec.max_replicas = 4
    with pytest.raises(AttributeError, match="have no fly_to_the_moon"):
        function.fly_to_the_moon()


def test_an_unknown_class_is_named_with_its_route() -> None:
    function = new_function("x")
    function.add_model("m1", ".", class_name="Nobody")
    with pytest.raises(Exception, match=r"step m1: class Nobody was not found"):
        function.to_mock_server()


def test_a_function_without_a_graph_has_no_server() -> None:
    with pytest.raises(MLRunInvalidArgumentError, match="function default/x has no graph"):
        new_function("x").to_mock_server()


# Where classes come from


def test_classes_are_found_where_the_server_is_made() -> None:
    class Local(Mul):
        pass

    globals()["OfThisModule"] = Local
    function = new_function("x")
    function.add_model("m1", ".", class_name="OfThisModule", multiplier=1)
    try:
        server = function.to_mock_server()
    finally:
        del globals()["OfThisModule"]
    assert server.test("/v2/models/m1/infer", {"inputs": [5]})["outputs"] == 5


def test_classes_are_found_in_the_code_of_a_file(code_file: str) -> None:
    function = code_to_function("my-function", kind="serving", filename=code_file)
    function.add_model("m1", ".", class_name="Tens", factor=10)
    server = function.to_mock_server()
    assert server.test("/v2/models/m1/infer", {"inputs": [1, 2]})["outputs"] == [10, 20]


def test_classes_are_found_in_the_code_of_a_notebook(tmp_path: Path) -> None:
    path = tmp_path / "notes.ipynb"
    cells = [BASE, "# mlrun: ignore\nraise SystemExit('not this cell')"]
    document = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    path.write_text(json.dumps(document))
    function = code_to_function("of-notes", kind="serving", filename=str(path))
    function.add_model("m1", ".", class_name="Base")
    server = function.to_mock_server()
    answer = server.test("/v2/models/m1", method="GET")
    assert answer["name"] == "m1"


def test_a_file_that_is_missing_is_told_of_at_once() -> None:
    with pytest.raises(OSError, match=r"nowhere\.py"):
        code_to_function("x", kind="serving", filename="nowhere.py")


def test_classes_are_found_in_the_code_that_is_given_as_text() -> None:
    function = new_function("of_text").with_code(body=BASE)
    function.add_model("m1", ".", class_name="Base")
    server = function.to_mock_server()
    assert type(server.graph["m1"].object).__name__ == "Base"


# Asking it


def test_invoke_asks_a_mock_server_that_is_made_once() -> None:
    function = new_function("x")
    function.add_model("my", ".", class_name="Mul", multiplier=100)
    answer = function.invoke("/v2/models/my/infer", {"inputs": [5]}, mock=True)
    assert answer["outputs"] == 500
    first = function._mock_server
    function.invoke("/v2/models/my/infer", {"inputs": [5]}, mock=True)
    assert function._mock_server is first


def test_a_function_deployed_as_a_mock_is_invoked_here() -> None:
    function = new_function("x")
    function.add_model("my", ".", class_name="Mul", multiplier=100)
    deploy_function(function, mock=True)
    assert function.invoke("/v2/models/my/infer", {"inputs": [5]})["outputs"] == 500


@pytest.mark.parametrize("value", ["1", "auto"])
def test_a_setting_makes_all_functions_mocks(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLRUN_MOCK_NUCLIO_DEPLOYMENT", value)
    assert mlconf.mock_nuclio_deployment == value
    function = new_function("x")
    function.add_model("my", ".", class_name="Mul", multiplier=100)
    assert function.invoke("/v2/models/my/infer", {"inputs": [5]})["outputs"] == 500
    deploy_function(function)
    assert function.status.address == ""


def test_a_function_that_is_nowhere_cannot_be_invoked() -> None:
    with pytest.raises(MLRunInvalidArgumentError, match="is not deployed"):
        new_function("x").invoke("/")


def test_a_graph_is_tested_without_a_function() -> None:
    server = create_graph_server(
        graph={"steps": {"s1": {"handler": "(event + step)"}}, "engine": "sync"}
    )
    server.init_states(None, namespace={})
    server.graph["s1"].handler = "(event + 1)"
    server.init_object({})
    assert server.test(body=5) == 6


def test_a_server_that_is_not_made_yet_says_what_to_do() -> None:
    with pytest.raises(MLRunInvalidArgumentError, match="to_mock_server"):
        GraphServer({"kind": "router", "routes": {}}).test("/")


# Documents


def a_function(code_file: str) -> ServingFunction:
    function = code_to_function("documented", project="p", kind="serving", filename=code_file)
    function.set_topology("router")
    function.add_model("m1:v1", "path", class_name="Tens", factor=10)
    function.spec.load_mode = "async"
    function.spec.parameters["a"] = 1
    function.set_tracking("dummy://", batch=3, sample=2)
    function.with_secrets("env", "A,B")
    function.set_env("VARIABLE", "x")
    return function


def test_a_serving_spec_is_what_a_server_is_made_of(code_file: str) -> None:
    spec = json.loads(json.dumps(a_function(code_file).to_serving_spec()))
    assert spec["function_uri"] == "p/documented"
    assert spec["version"] == "v2"
    assert spec["load_mode"] == "async"
    assert spec["parameters"] == {
        "a": 1,
        "log_stream": "dummy://",
        "log_stream_batch": 3,
        "log_stream_sample": 2,
    }
    route = spec["graph"]["routes"]["m1:v1"]
    assert (route["class_name"], route["class_args"]) == (
        "Tens",
        {"factor": 10, "model_path": "path"},
    )
    assert spec["secret_sources"] == [{"kind": "env", "source": "A,B"}]
    assert (spec["filename"], spec["code"]) == ("tens_model.py", CODE)
    server = GraphServer.from_dict(spec)
    assert server.to_dict()["graph"] == spec["graph"]
    assert yaml.safe_load(server.to_yaml()) == json.loads(server.to_json())


def test_a_serving_spec_is_written_to_a_file(code_file: str, tmp_path: Path) -> None:
    target = str(tmp_path / "serving_spec.json")
    function = a_function(code_file)
    assert function.export_serving_spec(target) == target
    assert json.loads(Path(target).read_text()) == json.loads(
        json.dumps(function.to_serving_spec())
    )


def test_what_json_cannot_hold_is_refused_by_the_functions_name(tmp_path: Path) -> None:
    function = new_function("x")
    function.add_model("m1", "", class_name="Mul", model=object())
    with pytest.raises(MLRunInvalidArgumentError, match="function default/x cannot be written"):
        function.export_serving_spec(str(tmp_path / "spec.json"))


def test_a_function_is_exported_and_imported_with_its_code(code_file: str, tmp_path: Path) -> None:
    target = tmp_path / "function.yaml"
    a_function(code_file).export(str(target))
    document = yaml.safe_load(target.read_text())
    assert (document["kind"], document["metadata"]["name"]) == ("serving", "documented")
    code = base64.b64decode(document["spec"]["build"]["functionSourceCode"]).decode()
    assert code == CODE
    function = import_function(str(target))
    assert function.uri == "p/documented"
    assert function.spec.load_mode == "async"
    assert function.get_env("VARIABLE") == "x"
    function.spec.load_mode = "sync"
    server = function.to_mock_server()
    assert server.test("/v2/models/m1/versions/v1/infer", {"inputs": [1]})["outputs"] == [10]


def test_a_function_of_mlruns_hub_is_imported_with_its_code_and_class(tmp_path: Path) -> None:
    source = (
        BASE.replace("Base", "Own")
        + "\n    def predict(self, request):\n        return [self.get_param('by')]\n"
    )
    code = base64.b64encode(source.encode()).decode()
    document = {
        "kind": "serving",
        "metadata": {"name": "v2-model-server", "categories": ["model-serving"]},
        "spec": {
            "command": "",
            "image": "mlrun/mlrun",
            "build": {"commands": ["python -m pip install x"]},
            "base_spec": {"kind": "Function", "spec": {"build": {"functionSourceCode": code}}},
            "default_class": "Own",
        },
    }
    target = tmp_path / "function.yaml"
    target.write_text(yaml.safe_dump(document))
    function = import_function(str(target))
    function.add_model("m1", "", by=3)
    server = function.to_mock_server()
    assert server.test("/v2/models/m1/infer", {"inputs": [2]})["outputs"] == [3]
    assert function_from_dict(function.to_dict()).spec.code == source


# What it costs


def test_the_harness_and_the_server_do_not_import_each_other() -> None:
    program = (
        "import sys; from mms.interfaces.mlrun import new_function, V2ModelServer; "
        "print([m for m in ('asyncio', 'aiohttp', 'numpy', 'mms.serving.host') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
    program = (
        "import sys; from mms.serving import ModelHost; "
        "print([m for m in sys.modules if m.startswith('mms.interfaces.mlrun.authoring.function')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_graph_that_is_to_be_drawn_says_that_nothing_is_and_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    function = new_function("f")
    graph = function.set_topology("flow")
    graph.to(name="same", handler="(event)").respond()
    for drawn in (function, graph, function.to_mock_server()):
        assert drawn.plot("graph.png", rankdir="LR") is None
        assert "plot() draws nothing here" in capsys.readouterr().out


# Projects


def test_a_project_deploys_its_functions_by_name(code_file: str) -> None:
    project = get_or_create_project("p1", context=str(Path(code_file).parent))
    assert get_or_create_project("p1") is project
    function = project.set_function("tens_model.py", name="tens", kind="serving")
    function.add_model("m1", ".", class_name="Tens", factor=10)
    project.deploy_function("tens", mock=True)
    assert project.get_function("tens").uri == "p1/tens"
    assert function.invoke("/v2/models/m1/infer", {"inputs": [4]})["outputs"] == [40]
    assert project.set_function(new_function("made")).uri == "p1/made"
    with pytest.raises(
        MLRunNotFoundError, match="project p1 has no function ones, only tens, made"
    ):
        project.get_function("ones")
