from __future__ import annotations

import re
from pathlib import Path

import pytest

from mms.prepackaged.errors import ModelNotLoaded
from mms.prepackaged.mlflow_layout import find_flavor
from mms.prepackaged.model_folder import ModelFolder


def test_without_a_uri_the_current_folder_is_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").touch()
    assert ModelFolder(None).one("a model", "*.onnx") == tmp_path / "model.onnx"


def test_a_uri_may_name_a_folder_a_file_or_either_with_its_scheme(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.touch()
    for uri in (str(tmp_path), f"file://{tmp_path}", str(file), f"file://{file}"):
        assert ModelFolder(uri).one("a model", "*.onnx") == file


def test_a_named_file_of_another_kind_is_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "weights.txt"
    file.touch()
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelNotLoaded, match=r"weights\.txt is not what was expected: a model"):
        ModelFolder(str(file)).one("a model", "*.onnx")


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match=re.escape(f"there is no {tmp_path / 'gone'}")):
        ModelFolder(str(tmp_path / "gone"))


def test_a_remote_uri_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotLoaded, match="s3://bucket/iris is not a local path"):
        ModelFolder("s3://bucket/iris")


def test_a_folder_without_the_model_is_told_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "data").mkdir()
    expected = f"{tmp_path} has no model: expected one file *.onnx; it holds data/, notes.txt"
    with pytest.raises(ModelNotLoaded, match=re.escape(expected)):
        ModelFolder(str(tmp_path)).one("one file *.onnx", "*.onnx")


def test_several_candidates_are_named(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).touch()
    with pytest.raises(ModelNotLoaded, match=r"several of them \(a\.onnx, b\.onnx\)"):
        ModelFolder(str(tmp_path)).one("one file *.onnx", "*.onnx")


def test_metadata_beside_the_model_is_read(tmp_path: Path) -> None:
    assert ModelFolder(str(tmp_path)).read_metadata() == {}
    (tmp_path / "metadata.yaml").write_text("name: iris\nversions: [v1]\n", encoding="utf-8")
    assert ModelFolder(str(tmp_path)).read_metadata() == {"name": "iris", "versions": ["v1"]}


@pytest.mark.parametrize(
    ("text", "message"), [("[iris]", "has to be a mapping"), ("a: [", "is not valid YAML")]
)
def test_metadata_of_another_form_is_refused_with_the_files_name(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "metadata.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelNotLoaded, match=rf"metadata\.yaml {message}"):
        ModelFolder(str(tmp_path)).read_metadata()


def test_a_description_without_the_flavor_tells_which_it_has(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {lightgbm: {}}", encoding="utf-8")
    with pytest.raises(ModelNotLoaded, match="has the flavors lightgbm; expected sklearn"):
        find_flavor(ModelFolder(str(tmp_path)), "sklearn")


@pytest.mark.parametrize("text", ["[]", "flavors: none", ""])
def test_a_description_without_flavors_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "MLmodel").write_text(text, encoding="utf-8")
    with pytest.raises(ModelNotLoaded, match="MLmodel has no `flavors`"):
        find_flavor(ModelFolder(str(tmp_path)), "sklearn")


def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "model").mkdir()
    folder = ModelFolder(str(tmp_path / "model"))
    with pytest.raises(ModelNotLoaded, match=r"names '\.\./secret', which is outside of"):
        folder.inside("../secret", folder.path / "MLmodel")
