"""What a function's document and its code say, read without running anything."""

from __future__ import annotations

import ast
import base64
from pathlib import Path
from typing import Any

import pytest

from mms.interfaces.mlrun.spec.code_file import without_own_deployment
from mms.interfaces.mlrun.spec.function_code import FunctionCode
from mms.interfaces.mlrun.spec.serving_spec import (
    InvalidSpec,
    is_serving_document,
    read_spec,
    read_text,
)

ROUTER: dict[str, Any] = {"kind": "router", "routes": {"m1": {"class_name": "Mul"}}}
CODE = """
from mlrun.serving import V2ModelServer as Base
from elsewhere import *

class Model(Base):
    pass

class Step:
    def do(self, body):
        return body

class OtherStep(Step):
    pass

class OwnModel:
    def load(self): ...
    def predict(self, request): ...
    def do_event(self, event): ...

if True:
    def start(server): ...

limit: int = 5
"""


# Documents


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"graph": ROUTER}, True),
        ({"graph": {"steps": {}}}, True),
        ({"kind": "serving", "spec": {"graph": ROUTER}}, True),
        ({"graph": {"name": "node", "type": "MODEL", "children": []}}, False),
        ({"spec": {"graph": ROUTER}}, False),
        ({"graph": 5}, False),
        ([ROUTER], False),
        (None, False),
    ],
)
def test_a_function_is_told_from_other_documents(document: Any, expected: bool) -> None:
    assert is_serving_document(document) is expected


def test_json_and_yaml_are_read() -> None:
    assert read_text(b'{"a": [1, null]}', "x") == {"a": [1, None]}
    assert read_text(b"{a: [1, null]}", "x") == {"a": [1, None]}
    assert read_text(b"a:\n- 1\n", "x") == {"a": [1]}


def test_what_is_neither_is_refused_with_its_name() -> None:
    with pytest.raises(InvalidSpec, match=r"fn\.yaml is neither JSON nor YAML: "):
        read_text(b"{a: [1", "fn.yaml")


def test_a_spec_is_read_and_written_alike() -> None:
    given = {
        "function_uri": "iris/server:v1@abc",
        "graph": ROUTER,
        "parameters": {"a": 1},
        "load_mode": "async",
        "default_content_type": "application/json",
        "graph_initializer": "start",
        "secret_sources": [{"kind": "env", "source": "A"}],
        "verbose": True,
    }
    spec = read_spec(given)
    assert (spec.project, spec.function_name, spec.is_router) == ("iris", "server", True)
    document = spec.to_document()
    assert {name: document[name] for name in given} == given
    assert read_spec(document) == spec


def test_replicas_and_timeouts_of_a_function_are_read() -> None:
    spec = {"graph": ROUTER, "min_replicas": 1, "max_replicas": 4, "readiness_timeout": 120}
    found = read_spec({"kind": "serving", "metadata": {}, "spec": spec})
    assert (found.workers, found.readiness_timeout) == (1, 120.0)
    assert found.without_effect == ("max_replicas=4",)
    assert read_spec({"graph": ROUTER, "replicas": 4, "max_replicas": 4}).without_effect == ()


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"replicas": "two"}, "replicas is 'two', but must be a whole number"),
        ({"min_replicas": -1}, "min_replicas is -1, but must be a whole number"),
        ({"readiness_timeout": "soon"}, "readiness_timeout is 'soon', but must be a number of s"),
    ],
)
def test_replicas_that_are_no_numbers_are_refused(members: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidSpec, match=told):
        read_spec({"graph": ROUTER, **members})


def in_hubs_form(build: dict[str, Any]) -> dict[str, Any]:
    """As MLRun's hub has functions: the code is in the document of nuclio's function."""
    return {
        "build": {"commands": [], "code_origin": ""},
        "base_spec": {"kind": "Function", "spec": {"handler": "x:handler", "build": build}},
        "function_kind": "serving_v2",
    }


@pytest.mark.parametrize("form", [lambda build: {"build": build}, in_hubs_form])
def test_an_exported_function_is_the_spec_with_its_code(form: Any) -> None:
    encoded = base64.b64encode(CODE.encode()).decode()
    spec = read_spec(
        {
            "kind": "serving",
            "metadata": {"name": "my-server", "project": "iris", "tag": "v2"},
            "spec": {"graph": ROUTER, **form({"functionSourceCode": encoded})},
            "verbose": True,
        }
    )
    assert (spec.function_uri, spec.filename) == ("iris/my-server:v2", "my_server.py")
    assert (spec.code, spec.verbose) == (CODE, True)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"load_mode": "later"}, "load_mode is 'later', but must be one of sync, async"),
        ({"parameters": [1]}, "parameters must be an object, not list"),
        ({"secret_sources": {}, "code": 5}, "code must be a text, not int"),
        ({"secret_sources": "env"}, "secret_sources must be a list"),
        ({"error_stream": 5}, "error_stream must be a text, not int"),
    ],
)
def test_a_member_that_cannot_be_is_refused_by_name(members: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidSpec, match=told):
        read_spec({"graph": ROUTER, **members})


@pytest.mark.parametrize(
    ("form", "place"),
    [(lambda build: {"build": build}, "spec.build"), (in_hubs_form, "spec.base_spec.spec.build")],
)
def test_code_that_is_no_base64_is_refused(form: Any, place: str) -> None:
    spec = {"graph": ROUTER, **form({"functionSourceCode": "%"})}
    with pytest.raises(InvalidSpec, match=f"{place}.functionSourceCode is not text in base64"):
        read_spec({"kind": "serving", "spec": spec})


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("src/my-code.py", "my_code.py"),
        ("2nd.ipynb", "_2nd.py"),
        ("../../etc/passwd", "passwd.py"),
        ("C:\\code\\fn.py", "fn.py"),
        (None, "function.py"),
    ],
)
def test_code_is_written_to_a_module_of_its_name_and_nowhere_else(
    filename: str | None, expected: str
) -> None:
    spec = read_spec({"graph": ROUTER, "code": "x = 1", "filename": filename})
    assert spec.filename == expected


def test_tracking_is_that_of_the_function() -> None:
    parameters = {
        "log_stream": "/logs/{project}.jsonl",
        "log_stream_sample": 3,
        "log_stream_batch": 2,
        "stream_args": {"keep": 1},
    }
    document = {"function_uri": "iris/fn", "graph": ROUTER, "parameters": parameters}
    assert read_spec({**document, "error_stream": "/logs/errors"}).tracking() == {
        "path": "/logs/iris.jsonl",
        "error_stream": "/logs/errors",
        "sample": 3,
        "batch": 2,
        "stream_args": {"keep": 1},
        "function_uri": "iris/fn",
    }
    assert read_spec({"graph": ROUTER}).tracking() is None


# Code


@pytest.fixture
def code(tmp_path: Path) -> FunctionCode:
    (tmp_path / "a_first.py").write_text("class Model: pass\n")
    (tmp_path / "main.py").write_text(CODE.replace("from elsewhere import *\n", ""))
    return FunctionCode(tmp_path, "main.py")


@pytest.mark.parametrize(
    ("class_name", "handler"),
    [
        ("Model", "main:Model"),
        ("a_first.Model", "a_first:Model"),
        ("V2ModelServer", "mlrun.serving:V2ModelServer"),
        ("mlrun.serving.VotingEnsemble", "mlrun.serving:VotingEnsemble"),
        ("package.module.Class", "package.module:Class"),
    ],
)
def test_a_class_is_the_functions_own_then_a_built_in_one_then_an_importable_one(
    code: FunctionCode, class_name: str, handler: str
) -> None:
    assert code.handler_of(class_name, "m1") == handler


@pytest.mark.parametrize(
    ("class_name", "told"),
    [
        ("Nobody", r"Step m1: class Nobody was not found, neither in main\.py, a_first\.py nor"),
        ("main.Nobody", "Step m1: module main has no class Nobody"),
        ("mlrun.serving.Nobody", "Step m1: there is no class mlrun.serving.Nobody; built in are "),
        ("mlrun.serving.EnrichmentModelRouter", "Step m1: EnrichmentModelRouter looks features up"),
        ("EnrichmentVotingEnsemble", "Step m1: EnrichmentVotingEnsemble looks features up"),
        (None, "Step m1 has no class_name"),
    ],
)
def test_a_class_that_is_nowhere_is_refused_with_its_step(
    code: FunctionCode, class_name: Any, told: str
) -> None:
    with pytest.raises(InvalidSpec, match=told):
        code.handler_of(class_name, "m1")


def test_a_module_that_imports_everything_or_cannot_be_read_may_have_any_class(
    tmp_path: Path,
) -> None:
    for number, text in enumerate((CODE, "class Broken(:\n")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "main.py").write_text(text)
        assert FunctionCode(folder, None).handler_of("Anything", "m1") == "main:Anything"


def test_without_code_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="class Mul was not found, there is no code, and"):
        FunctionCode(tmp_path, None).handler_of("Mul", "m1")


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("Step", True),
        ("OtherStep", True),
        ("main.Step", True),
        ("Model", False),
        ("OwnModel", False),
        ("V2ModelServer", False),
        ("elsewhere.Step", False),
        (None, False),
    ],
)
def test_steps_are_told_from_models_by_what_they_have(
    code: FunctionCode, class_name: Any, expected: bool
) -> None:
    assert code.is_step(class_name) is expected


def test_an_initializer_is_found_in_any_module(code: FunctionCode) -> None:
    assert code.initializer("start") == "main.start"
    assert code.initializer("package.start") == "package.start"
    with pytest.raises(InvalidSpec, match="graph_initializer stop was not found in the code: main"):
        code.initializer("stop")


@pytest.mark.parametrize(
    "source", ["a = 1\n" * 50_000, "a = " + "-" * 50_000 + "1\n", "a = '\0'\n"]
)
def test_code_that_no_server_has_time_to_parse_is_left_to_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    parse = ast.parse

    def parse_small(text: str | bytes, *arguments: Any, **options: Any) -> ast.AST:
        assert len(text) <= 100_000
        return parse(text, *arguments, **options)

    monkeypatch.setattr(ast, "parse", parse_small)
    (tmp_path / "main.py").write_text(source)
    assert FunctionCode(tmp_path, "main.py").handler_of("Anything", "m1") == "main:Anything"
    assert without_own_deployment(source) == source
