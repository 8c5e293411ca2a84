"""Folders in the layouts of other model servers are packed without a handler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from archive_building import write_folder

from archiver import Archive
from archiver.cli import main
from archiver.verify import verify

TRITON = "class TritonPythonModel:\n    def execute(self, requests): ...\n"
MLSERVER = "from mlserver import MLModel\nclass Mine(MLModel): ...\n"


def pack(folder: Path, *more: str) -> int:
    words = ["--model-name", "m", "--model-path", str(folder), "--export-path", str(folder.parent)]
    return main([*words, *more])


def model_of(folder: Path) -> dict[str, object]:
    with Archive.open(folder.parent / "m.mar") as archive:
        assert archive.manifest is not None
        model: dict[str, object] = archive.manifest.to_dict()["model"]
    return model


def test_a_folder_of_tritons_repository_tells_its_handler_and_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"config.pbtxt": 'backend: "python" model_warmup { }', "3/model.py": TRITON}
    folder = write_folder(tmp_path / "model", files)
    assert pack(folder) == 0
    assert model_of(folder) == {
        "modelName": "m",
        "handler": "3/model.py:TritonPythonModel",
        "modelVersion": "3",
        "extensions": {"interface": "oip"},
    }
    assert capsys.readouterr().err == "WARNING - config.pbtxt: model_warmup has no effect here.\n"


def test_a_folder_of_mlserver_tells_its_class(tmp_path: Path) -> None:
    settings = json.dumps({"name": "other", "implementation": "models.Mine"})
    files = {"model-settings.json": settings, "models.py": MLSERVER}
    folder = write_folder(tmp_path / "model", files)
    assert pack(folder, "--model-version", "7") == 0
    model = model_of(folder)
    assert (model["handler"], model["modelVersion"]) == ("models:Mine", "7")
    assert model["extensions"] == {"interface": "oip"}


def test_a_handler_that_is_named_goes_before_the_layout(tmp_path: Path) -> None:
    files = {"config.pbtxt": "", "1/model.py": TRITON, "service.py": "def handle(d, c): ...\n"}
    folder = write_folder(tmp_path / "model", files)
    assert pack(folder, "--handler", "service:handle") == 0
    assert model_of(folder) == {"modelName": "m", "handler": "service:handle"}


def test_a_wrong_description_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "model", {"config.pbtxt": "\nname:", "1/model.py": TRITON})
    assert pack(folder) == 1
    text = "ERROR - config.pbtxt: line 2: expected a value, found the end of the text\n"
    assert capsys.readouterr().err == text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "model-config.yaml",
            "oip: {inputs: [{name: x, datatype: float, shape: [1]}]}",
            "The declaration of the model's tensors in model-config.yaml, oip is wrong: inputs[0] (x) has the",
        ),
        ("model-config.yaml", "oip: {signature: m.onnx}", "the archive has no file m.onnx, which"),
        ("model-settings.json", "[]", "model-settings.json is wrong: it must be a JSON object"),
    ],
)
def test_a_wrong_declaration_is_found_before_a_server_refuses_it(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    files = {name: text, "service.py": "def handle(data, context): ...\n"}
    folder = write_folder(tmp_path / "model", files)
    pack(folder, "--handler", "service:handle")
    (found,) = [each for each in verify(folder.parent / "m.mar") if each.level == "error"]
    assert message in found.message
