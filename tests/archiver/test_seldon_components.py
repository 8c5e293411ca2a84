"""Packing Seldon components: the interface that the source shows, and what the manifest says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from archive_building import HANDLER, write_folder

from archiver import Archive, Manifest, PackError, pack
from archiver.cli import main
from archiver.component import Component, InvalidComponent, checked_parameters, parameter_of_text
from archiver.detection import detect
from archiver.verify import verify

MODEL = """
class Model:
    def __init__(self, model_uri=None):
        self.ready = False

    def predict(self, X, feature_names=None, meta=None):
        return "Hello Model"
"""


def folder(tmp_path: Path, **files: str) -> Path:
    return write_folder(
        tmp_path / "model", {f"{n.replace('__', '/')}.py": t for n, t in files.items()}
    )


def extensions_of(path: Path) -> dict[str, Any]:
    with Archive.open(path) as archive:
        assert archive.manifest is not None
        return archive.manifest.extensions


def interface_of(handler: str, **files: str) -> str:
    sources = {f"{name.replace('__', '/')}.py": text.encode() for name, text in files.items()}
    return detect(handler, sources.get).interface.name


@pytest.mark.parametrize(
    "method",
    [
        *("predict", "transform_input", "transform_output", "route", "aggregate"),
        *("send_feedback", "predict_raw", "aggregate_raw", "route_rest", "predict_grpc"),
    ],
)
def test_a_class_with_one_of_seldons_methods_is_a_component(method: str) -> None:
    assert interface_of("M", M=f"class M:\n    def {method}(self, *a): pass\n") == "seldon"


@pytest.mark.parametrize("base", ["SeldonComponent", "user_model.SeldonComponent"])
def test_a_class_with_the_base_of_components_is_one(base: str) -> None:
    assert interface_of("M", M=f"class M({base}):\n    def load(self): pass\n") == "seldon"


def test_a_method_of_a_base_class_in_the_module_counts() -> None:
    source = "class Base:\n    def predict(self, X): pass\nclass M(Base):\n    pass\n"
    assert interface_of("M", M=source) == "seldon"


def test_a_class_with_handle_is_a_handler_of_mms() -> None:
    source = "class M:\n    def predict(self, X): pass\n    def handle(self, d, c): pass\n"
    assert interface_of("M", M=source) == "mms"


@pytest.mark.parametrize("handler", ["pkg.sub.Model", "pkg.sub:Model", "pkg/sub.py:Model"])
def test_a_class_in_a_package_is_found_in_each_spelling(handler: str) -> None:
    assert interface_of(handler, pkg__sub=MODEL) == "seldon"


FUNCTION = "def handle(data, context): pass\n"


@pytest.mark.parametrize(
    ("handler", "source", "interface"),
    [
        ("service:handle", FUNCTION, "mms"),
        ("service", FUNCTION, "mms"),
        ("service:", FUNCTION, "mms"),
        ("service:absent", "class Own:\n    def handle(self, d, c): pass\n", "mms"),
        ("service", "class Own:\n    def handle(self, d, c): pass\n", "mms"),
        ("service:Model", MODEL, "seldon"),
        ("service.Model", MODEL, "seldon"),
        ("service:Model", "class Model(SeldonComponent):\n    def load(self): pass\n", "seldon"),
        (
            "service",
            "class M:\n    def load(s): pass\n    def predict(s): pass\n    def do_event(s): pass\n",
            "mlrun",
        ),
        ("service:M", "import mlrun\nclass M(mlrun.serving.V2ModelServer): pass\n", "mlrun"),
    ],
)
def test_what_the_source_settles_is_certain(handler: str, source: str, interface: str) -> None:
    detected = detect(handler, {"service.py": source.encode()}.get)
    assert (detected.interface.name, detected.is_certain) == (interface, True)


@pytest.mark.parametrize(
    ("handler", "source"),
    [
        ("service:Model", "from library import Model\n"),
        ("service:Model", "from library import *\n"),
        ("service:Model", "def __getattr__(name): ...\n"),
        ("service:Model", "import library\nModel = library.make()\n"),
        ("service:Model", "from library import Base\nclass Model(Base): pass\n"),
        (
            "service:Model",
            "from library import Base\nclass Model(Base):\n    def predict(self, X): pass\n",
        ),
        ("service:Model", "if x:\n    class Model: pass\nelse:\n    from library import Model\n"),
        ("service", "from library import Base\nclass Model(Base): pass\n"),
        ("service", "from library import handle\n"),
        ("service:handle", f"import mlrun\n{FUNCTION}"),
        ("service:handle", f"from seldon_core.utils import x\n{FUNCTION}"),
        ("service:handle", "this is no python\n"),
        ("absent:handle", FUNCTION),
    ],
)
def test_what_only_an_import_can_tell_is_not_certain(handler: str, source: str) -> None:
    assert not detect(handler, {"service.py": source.encode()}.get).is_certain


def test_a_package_goes_before_a_file_of_its_name_as_in_python() -> None:
    sources = {
        "service.py": b"from library import handle\n",
        "service/__init__.py": FUNCTION.encode(),
    }
    detected = detect("service:handle", sources.get)
    assert (detected.interface.name, detected.is_certain) == ("mms", True)


@pytest.mark.parametrize(
    "source", ["class Model(", "Model = 1\n", "class Other:\n    def predict(self): pass\n", "\0"]
)
def test_what_shows_no_component_is_taken_for_mms(source: str) -> None:
    assert interface_of("Model", Model=source) == "mms"


def test_a_function_beside_a_class_with_predict_stays_a_handler_of_mms() -> None:
    assert interface_of("service:handle", service=MODEL + HANDLER) == "mms"


def test_a_component_is_packed_with_its_interface(tmp_path: Path) -> None:
    path = pack(
        folder(tmp_path, Model=MODEL), model_name="m", handler="Model", export_path=tmp_path
    )
    assert extensions_of(path) == {"interface": "seldon"}


def test_a_module_with_handle_is_a_handler_of_mms_unless_the_class_is_named() -> None:
    assert interface_of("Model", Model=MODEL + HANDLER) == "mms"
    assert interface_of("Model:Model", Model=MODEL + HANDLER) == "seldon"


def test_all_that_is_said_of_a_component_goes_into_its_extensions_beside_those_given(
    tmp_path: Path,
) -> None:
    words = ["--model-name", "m", "--model-path", str(folder(tmp_path, Model=MODEL))]
    words += ["--handler", "Model", "--service-type", "ROUTER", "--model-uri", "s3://a/b"]
    words += ["--param", "n=5:INT", "--param", "url=http://x=y:STRING"]
    words += ["--extensions", '{"labels": 3}', "--export-path", str(tmp_path)]
    assert main(words) == 0
    assert extensions_of(tmp_path / "m.mar") == {
        "labels": 3,
        "interface": "seldon",
        "service_type": "ROUTER",
        "parameters": [
            {"name": "n", "value": "5", "type": "INT"},
            {"name": "url", "value": "http://x=y", "type": "STRING"},
        ],
        "model_uri": "s3://a/b",
    }


def test_a_handler_of_mms_is_packed_without_extensions(tmp_path: Path) -> None:
    source = folder(tmp_path, service=HANDLER)
    path = pack(source, model_name="m", handler="service:handle", export_path=tmp_path)
    with Archive.open(path) as archive:
        assert archive.manifest == Manifest.create(model_name="m", handler="service:handle")


def test_a_prepackaged_server_takes_the_place_of_a_handler(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "model", {"model.joblib": b"x"})
    words = ["--model-name", "m", "--model-path", str(source), "--export-path", str(tmp_path)]
    assert main([*words, "--prepackaged", "sklearn"]) == 0
    assert extensions_of(tmp_path / "m.mar") == {"interface": "seldon", "prepackaged": "sklearn"}
    assert verify(tmp_path / "m.mar") == []


def test_without_handler_and_prepackaged_the_handler_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--model-name", "m", "--model-path", str(tmp_path)])
    assert caught.value.code == 2
    assert "required: --handler" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n=5:INTEGER", "'INTEGER', which is not one of INT, FLOAT"),
        ("n=five:INT", "parameter n: the value 'five' is not a valid INT"),
        ("n=maybe:BOOL", "parameter n: the value 'maybe' is not a valid BOOL"),
        ("n=5", "is not name=value:TYPE"),
        ("5=n:STRING", "a name that no argument in Python can have"),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    with pytest.raises(InvalidComponent, match=message):
        parameter_of_text(text)
    with pytest.raises(SystemExit):
        main(["--model-name", "m", "--model-path", ".", "--handler", "M", "--param", text])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"name": "n"}, "must be a list"),
        (["n"], "is not an object"),
        ([{"name": "n", "value": "1"}], 'has no "type"'),
        ([{"name": "n", "value": [1], "type": "STRING"}], "is not a valid STRING"),
        ([{"name": "n", "value": "1", "type": "INT"}] * 2, "parameter n is given twice"),
    ],
)
def test_parameters_of_another_form_are_refused(parameters: Any, message: str) -> None:
    with pytest.raises(InvalidComponent, match=message):
        checked_parameters(parameters)


def test_a_truth_of_json_becomes_the_text_that_seldon_reads() -> None:
    (parameter,) = checked_parameters([{"name": "b", "value": True, "type": "BOOL"}])
    assert parameter["value"] == "true"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"handler": "Model", "model_uri": "ftp://a/b"},
            "the scheme ftp, which is not one of file",
        ),
        ({"handler": "service:handle", "service_type": "MODEL"}, "--service-type is for Seldon"),
        ({"handler": "Model:Absent", "interface": "seldon"}, "has no class Absent"),
        ({"handler": "Model", "prepackaged": "sklearn"}, "cannot be used together"),
        ({"prepackaged": "caffe"}, "'caffe' is not one of sklearn"),
        ({"prepackaged": "sklearn", "interface": "mms"}, "has the interface seldon, not mms"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    source = folder(tmp_path, Model=MODEL, service=HANDLER)
    with pytest.raises(PackError, match=message):
        pack(source, model_name="m", export_path=tmp_path, **options)


def test_a_module_that_is_not_in_the_folder_is_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    pack(
        folder(tmp_path, service=HANDLER),
        model_name="m",
        handler="installed.Model",
        interface="seldon",
        export_path=tmp_path,
        warn=warnings.append,
    )
    assert len(warnings) == 1
    assert "must be installed where the model is served" in warnings[0]


def test_inspect_shows_what_is_said_of_a_component(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pack(
        folder(tmp_path, Model=MODEL),
        model_name="m",
        handler="Model",
        service_type="TRANSFORMER",
        parameters=[{"name": "n", "value": "5", "type": "INT"}],
        export_path=tmp_path,
    )
    assert main(["inspect", str(path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {"interface seldon", "service TRANSFORMER", "parameter n=5:INT"} <= set(lines)


def test_verify_finds_a_component_whose_class_is_absent(tmp_path: Path) -> None:
    manifest = {"model": {"modelName": "m", "handler": "Model", "extensions": {}}}
    manifest["model"]["extensions"] = {"interface": "seldon"}
    path = write_folder(
        tmp_path / "m", {"MAR-INF/MANIFEST.json": json.dumps(manifest), "Model.py": "X = 1\n"}
    )
    assert [f.message for f in verify(path)] == ["Model.py has no class Model."]
    (path / "Model.py").write_text(MODEL)
    assert verify(path) == []


def test_extensions_of_others_mean_nothing_here() -> None:
    assert Component.of_extensions({"interface": "rest", "parameters": 5}) == Component()
    assert Component.of_extensions({"model_uri": 5, "prepackaged": "caffe"}) == Component()
