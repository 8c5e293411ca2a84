"""What `mms serve PATH` takes a path for."""

from __future__ import annotations

import json
import os
import pickle
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from mms.cli.mms import main
from mms.cli.serve.target import NoModel, find_target
from mms.prepackaged.columns import columns_of
from mms.processes.launch_options import LaunchOptions

HANDLER = "def handle(data, context):\n    return data\n"
CLASS = "class Service:\n    def handle(self, data, context):\n        return data\n"
SELDON = "class Model:\n    def predict(self, X, names=None):\n        return X\n"
MANIFEST = json.dumps({"model": {"modelName": "m", "handler": "service:handle"}})


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "path", "handler", "expected"),
    [
        ({"m/service.py": HANDLER}, "m", None, {"handler": "service", "model_name": "m"}),
        ({"m/service.py": CLASS, "m/util.py": "x = 1"}, "m", None, {"handler": "service"}),
        ({"m/Model.py": SELDON}, "m", None, {"handler": "Model"}),
        (
            {"m/service.py": HANDLER, "m/test_service.py": HANDLER},
            "m",
            None,
            {"handler": "service"},
        ),
        ({"m/a.py": HANDLER, "m/b.py": HANDLER}, "m", "b:run", {"handler": "b:run"}),
        ({"m/a.py": HANDLER, "m/model.pkl": ""}, "m", None, {"handler": "a"}),
        ({"greet.py": HANDLER}, "greet.py", None, {"handler": "greet", "model_name": "greet"}),
        ({"greet.py": "def f(d, c): ..."}, "greet.py", "f", {"handler": "greet:f"}),
        ({"m/a.py": "def f(:"}, "m", None, {"handler": "a"}),
        ({"a b.py": "def f(:"}, "a b.py", None, {"handler": "a b", "model_name": "a_b"}),
    ],
)
def test_code_is_served_from_its_folder_by_the_handler_that_it_has(
    tmp_path: Path,
    files: Mapping[str, str],
    path: str,
    handler: str | None,
    expected: Mapping[str, str],
) -> None:
    found = find_target(write(tmp_path, files) / path, handler)
    folder = tmp_path / path if path == "m" else tmp_path
    assert found.registration["folder"] == str(folder)
    assert {key: found.registration[key] for key in expected} == expected
    assert found.followed == folder


@pytest.mark.parametrize(
    ("files", "path", "server", "uri"),
    [
        (["iris.pkl"], "iris.pkl", "sklearn", "iris.pkl"),
        (["m/iris.joblib"], "m", "sklearn", "m/iris.joblib"),
        (["net.onnx"], "net.onnx", "onnx", "net.onnx"),
        (["m/net.ONNX"], "m", "onnx", "m/net.ONNX"),
        (["m/model.json"], "m", "xgboost", "m"),
        (["m/weights.pt", "m/net.py"], "m", "pytorch", "m"),
        (["m/MLmodel", "m/model.pkl"], "m", "mlflow", "m"),
        (["m/saved_model.pb"], "m", "tensorflow", "m"),
    ],
)
def test_a_saved_model_is_served_where_it_lies_by_the_server_for_its_kind(
    tmp_path: Path, files: Sequence[str], path: str, server: str, uri: str
) -> None:
    write(tmp_path, dict.fromkeys(files, ""))
    found = find_target(tmp_path / path).registration
    assert (found["prepackaged"], found["model_uri"]) == (server, f"file://{tmp_path / uri}")
    assert found["model_name"] == Path(path).stem


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (["m.mar"], "m.mar"),
        (["m/MAR-INF/MANIFEST.json", "m/service.py"], "m"),
        (["graph.yaml"], "graph.yaml"),
        (["m/graph.yaml"], "m"),
    ],
)
def test_an_archive_and_what_says_itself_what_it_is_go_to_the_server_as_they_are(
    tmp_path: Path, files: Sequence[str], path: str
) -> None:
    write(tmp_path, dict.fromkeys(files, MANIFEST))
    assert find_target(tmp_path / path).registration == {"url": f"file://{tmp_path / path}"}


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        ({}, ".", "has no model"),
        ({"a.py": HANDLER, "b.py": HANDLER}, ".", "a.py, b.py"),
        ({"a.py": "def f(): ..."}, ".", "no file of .* has a handler"),
        ({"a.py": "def f(): ..."}, "a.py", "it has f"),
        ({"a.pkl": "", "b.onnx": ""}, ".", "several saved models .a.pkl, b.onnx"),
        ({"a.mar": "", "b.mar": ""}, ".", "a.mar, b.mar.*--models ALL"),
        ({"a.csv": ""}, "a.csv", "nothing that can be served"),
    ],
)
def test_what_cannot_be_served_is_refused_with_what_is_there(
    tmp_path: Path, files: Mapping[str, str], path: str, message: str
) -> None:
    with pytest.raises(NoModel, match=message):
        find_target(write(tmp_path, files) / path)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[LaunchOptions]:
    """The servers that the command would have become."""
    found: list[LaunchOptions] = []
    monkeypatch.setattr(
        "mms.cli.starting.become", lambda options, variables=None: found.append(options)
    )
    return found


@pytest.fixture
def model(folder: Path) -> Path:
    return write(folder, {"m/service.py": HANDLER}) / "m"


def test_a_server_by_hand_has_one_worker_on_loopback_and_tells_errors(
    started: list[LaunchOptions], model: Path
) -> None:
    result = CliRunner().invoke(main, ["serve", "m", "--port", "0", "--reload"])
    assert result.exit_code == 0, result.output
    (options,) = started
    assert options.settings["inference_address"] == "http://127.0.0.1:0"
    assert options.settings["management_address"].startswith("http://127.0.0.1:")
    assert options.settings["debug_errors"] == "true"
    assert json.loads(options.component or "")["initial_workers"] == 1
    assert options.followed == str(model)
    assert LaunchOptions.from_argv(options.to_argv()) == options


def test_settings_of_the_user_come_before_those_of_serving_by_hand(
    started: list[LaunchOptions], model: Path
) -> None:
    Path("config.properties").write_text("inference_address=http://127.0.0.1:0\nmetrics=true\n")
    result = CliRunner().invoke(main, ["serve", "m", "--set", "debug_errors=false"])
    assert result.exit_code == 0, result.output
    assert "inference_address" not in started[0].settings
    assert "metrics" not in started[0].settings
    assert started[0].settings["debug_errors"] == "false"


def test_a_port_that_is_taken_is_told_with_the_process_that_has_it(
    started: list[LaunchOptions], model: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(main, ["serve", "m", "--port", str(port)])
    assert result.exit_code == 1
    assert f"process {os.getpid()}; --port chooses another" in result.output
    assert started == []


class Estimator:
    def __init__(self, columns: int) -> None:
        self.n_features_in_ = columns


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("columns", [4, 300, 70_000])
def test_the_columns_of_a_saved_estimator_are_read_without_loading_it(
    tmp_path: Path, columns: int, protocol: int
) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(Estimator(columns), protocol))
    assert columns_of(file) == columns_of(tmp_path) == columns


def test_a_file_that_does_not_say_its_columns_has_none(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    assert columns_of(tmp_path) is None
    assert columns_of(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["m.mar"], {"url": "m.mar"}),
        (["model-store/m.mar", "config/config.properties"], {"url": "model-store/m.mar"}),
        (["adder/config.pbtxt", "adder/1/model.py"], {"url": "adder"}),
        (["inner/model.joblib"], {"prepackaged": "sklearn", "model_uri": "inner/model.joblib"}),
    ],
)
def test_a_volume_that_holds_one_model_is_that_model(
    tmp_path: Path, files: Sequence[str], expected: Mapping[str, str]
) -> None:
    texts = {"config.pbtxt": 'backend: "python"', "model.py": "class TritonPythonModel: ..."}
    write(tmp_path, {name: texts.get(Path(name).name, "") for name in files})
    found = find_target(tmp_path).registration
    place = f"file://{tmp_path}/"
    assert {key: found[key].removeprefix(place) for key in expected} == expected


def test_a_folder_of_itself_alone_has_no_model(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(NoModel, match="has no model"):
        find_target(tmp_path)
