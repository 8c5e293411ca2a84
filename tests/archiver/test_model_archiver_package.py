"""The import names of MMS's own package."""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_building import HANDLER, tree, write_folder

import model_archiver
from archiver import Archive, __version__
from model_archiver.arg_parser import ArgParser
from model_archiver.manifest_components.engine import Engine, EngineType
from model_archiver.manifest_components.manifest import Manifest, RuntimeType
from model_archiver.manifest_components.model import Model
from model_archiver.manifest_components.publisher import Publisher
from model_archiver.model_archiver_error import ModelArchiverError
from model_archiver.model_packaging import generate_model_archive, package_model
from model_archiver.model_packaging_utils import ModelExportUtils


@pytest.fixture
def model(tmp_path: Path) -> Path:
    files = {"service.py": HANDLER, "dir/1.py": "1", "a.pyc": "", ".hidden": "", "b[1].txt": "b"}
    return write_folder(tmp_path / "model", files)


def parsed(model: Path, *more: str) -> argparse.Namespace:
    words = ["--model-name", "m", "--model-path", str(model), "--handler", "service:handle"]
    parser = ArgParser.export_model_args_parser()
    return parser.parse_args([*words, "--export-path", str(model.parent), *more])


def test_the_package_has_the_version_of_the_archiver() -> None:
    assert model_archiver.__version__ == __version__


def test_generate_model_archive_packs_as_the_command_line_says(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--model-name", "m", "--model-path", str(model), "--handler", "service:handle"]
    monkeypatch.setattr(sys, "argv", ["model-archiver", *words, "--export-path", str(model.parent)])
    generate_model_archive()
    with Archive.open(model.parent / "m.mar") as archive:
        assert archive.manifest is not None
        assert archive.manifest.model_name == "m"
    with pytest.raises(SystemExit) as caught:
        generate_model_archive()
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("archive_format", "name"), [("default", "m.mar"), ("tgz", "m.tar.gz"), ("no-archive", "m")]
)
def test_package_model_packs_with_the_manifest_it_is_given(
    model: Path, archive_format: str, name: str
) -> None:
    args = parsed(model, "--archive-format", archive_format)
    manifest = ModelExportUtils.generate_manifest_json(args)
    package_model(args, manifest)
    with Archive.open(model.parent / name) as archive:
        files = {entry.name for entry in archive.entries}
        assert archive.read("MAR-INF/MANIFEST.json", max_bytes=10_000).decode() == manifest
    assert files == {"service.py", "dir/1.py", "b[1].txt", "MAR-INF/MANIFEST.json"}


def test_package_model_logs_a_fault_and_exits_with_1(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    args = parsed(model)
    args.model_name = "%"
    with pytest.raises(SystemExit) as caught:
        package_model(args, "{}")
    assert caught.value.code == 1
    assert "special characters" in caplog.text


def test_a_manifest_with_author_email_and_engine_has_them(model: Path) -> None:
    args = parsed(model, "--author", "A", "--email", "a@example.org")
    args.engine = "MXNet"
    document = json.loads(ModelExportUtils.generate_manifest_json(args))
    assert document["publisher"] == {"author": "A", "email": "a@example.org"}
    assert document["engine"] == {"engineName": "MXNet"}
    assert document["model"] == {"modelName": "m", "handler": "service:handle"}
    assert "license" not in document


def test_the_manifest_classes_write_what_they_are_given() -> None:
    manifest = Manifest(
        "python2",
        Model("m", "s", description="d", model_version="1", extensions={"x": 1}),
        engine=Engine("MXNet", "1.1"),
        publisher=Publisher("A", "a@example.org"),
        license="MIT",
        user_data={"u": 1},
        description="whole",
    )
    assert manifest.runtime is RuntimeType.PYTHON2
    assert json.loads(str(manifest)) == {
        "runtime": "python2",
        "model": {
            "modelName": "m",
            "handler": "s",
            "description": "d",
            "modelVersion": "1",
            "extensions": {"x": 1},
        },
        "engine": {"engineName": "MXNet", "engineVersion": "1.1"},
        "license": "MIT",
        "modelServerVersion": "1.0",
        "description": "whole",
        "implementationVersion": "1.0",
        "specificationVersion": "1.0",
        "userData": {"u": 1},
        "publisher": {"author": "A", "email": "a@example.org"},
    }
    assert Engine("MXNet").engine_name is EngineType.MXNET
    with pytest.raises(ValueError, match="TensorFlow"):
        Engine("TensorFlow")


def test_the_filters_drop_what_mms_drops() -> None:
    excluded = {"abc.onnx"}
    dropped = ["abc.onnx", "abc.pyc", ".DS_Store", "MANIFEST.json", "old.mar"]
    assert [ModelExportUtils.file_filter(name, excluded) for name in dropped] == [False] * 5
    assert ModelExportUtils.file_filter("abc.mxnet", excluded)
    unwanted = {"__MACOSX", "__pycache__"}
    for name in ("__MACOSX", "__pycache__", ".git", ".anything"):
        assert not ModelExportUtils.directory_filter(name, unwanted)
    assert ModelExportUtils.directory_filter("my-model", unwanted)


def test_a_suffix_search_finds_none_one_or_fails() -> None:
    assert ModelExportUtils.find_unique(["a.txt"], ".onnx") is None
    assert ModelExportUtils.find_unique(["a.txt", "b.onnx"], ".onnx") == "b.onnx"
    with pytest.raises(ModelArchiverError, match=r"expects only one \.onnx file"):
        ModelExportUtils.find_unique(["a.onnx", "b.onnx"], ".onnx")


def test_an_archive_that_exists_is_an_error_without_overwrite(tmp_path: Path) -> None:
    (tmp_path / "m.mar").write_text("")
    with pytest.raises(ModelArchiverError, match="already exists"):
        ModelExportUtils.check_mar_already_exists("m", str(tmp_path), overwrite=False)
    found = ModelExportUtils.check_mar_already_exists("m", str(tmp_path), overwrite=True)
    assert found == str(tmp_path)


def test_a_name_is_checked_by_its_regular_expression() -> None:
    ModelExportUtils.check_model_name_regex_or_exit("my-awesome.model_1")
    with pytest.raises(ModelArchiverError, match="special characters"):
        ModelExportUtils.check_model_name_regex_or_exit("abc%")


def test_onnx_files_are_not_converted(model: Path) -> None:
    assert ModelExportUtils.check_custom_model_types(str(model), "m") == ([], [])
    (model / "a.onnx").write_text("")
    with pytest.raises(ModelArchiverError, match="ONNX Runtime"):
        ModelExportUtils.check_custom_model_types(str(model), "m")
    with pytest.raises(ModelArchiverError, match="ONNX Runtime"):
        ModelExportUtils.convert_onnx_model(str(model), "a.onnx", "m")


def test_archive_leaves_out_what_it_is_told_to_by_name(model: Path) -> None:
    ModelExportUtils.archive(str(model.parent), "m", str(model), ["b[1].txt"], "{}", "no-archive")
    assert tree(model.parent / "m").keys() == {"service.py", "dir/1.py", "MAR-INF/MANIFEST.json"}


def test_archive_dir_adds_to_an_open_archive(model: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zip_archive:
        ModelExportUtils.archive_dir(str(model), zip_archive, [], "default", "m")
        assert zip_archive.namelist() == ["b[1].txt", "dir/1.py", "service.py"]
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar_archive:
        ModelExportUtils.archive_dir(str(model), tar_archive, [], "tgz", "m")
        assert tar_archive.getnames() == ["m/b[1].txt", "m/dir/1.py", "m/service.py"]
    ModelExportUtils.archive_dir(str(model), str(tmp_path / "x"), [], "no-archive", "m")
    assert tree(tmp_path / "x").keys() == {"b[1].txt", "dir/1.py", "service.py"}
