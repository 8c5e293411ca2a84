"""`torch-model-archiver` and `torch-workflow-archiver` make what TorchServe's own make.

With TORCHSERVE_PYTHON set to an interpreter that has TorchServe's archivers, the cases run with those, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from archiver.torch.model import main as archive_model
from archiver.torch.workflow import main as archive_workflow

_ORIGINAL = os.environ.get("TORCHSERVE_PYTHON")
_MODEL = ["--model-name", "m", "--version", "1.0"]
_FLOW = ["--workflow-name", "w", "--spec-file", "spec.yaml"]
_MODEL_ARCHIVER = "model_archiver.model_packaging:generate_model_archive"
_WORKFLOW_ARCHIVER = "workflow_archiver.workflow_packaging:generate_workflow_archive"

#: Command line -> archive, its files without the manifest, and the manifest without `createdOn`.
MADE: list[tuple[list[str], str, list[str], dict[str, Any]]] = [
    (
        ["--handler", "handler.py"],
        "m.mar",
        ["handler.py"],
        {"model": {"modelName": "m", "handler": "handler.py", "modelVersion": "1.0"}},
    ),
    (
        ["--handler", "image_classifier", "--serialized-file", "in/w.pt", "--runtime", "python3"],
        "m.mar",
        ["w.pt"],
        {
            "runtime": "python3",
            "model": {
                "modelName": "m",
                "serializedFile": "w.pt",
                "handler": "image_classifier",
                "modelVersion": "1.0",
            },
        },
    ),
    (
        [
            *("--handler", "in/other:entry", "--model-file", "in/net.py", "-r", "in/needs.txt"),
            *("-c", "in/run.yaml", "--extra-files", "in/words.txt,extra,*.json"),
        ],
        "m.mar",
        [
            *("a.json", "b.json", "below/deep.txt", "flat.txt", "needs.txt", "net.py", "other.py"),
            *("run.yaml", "words.txt"),
        ],
        {
            "model": {
                "modelName": "m",
                "handler": "other:entry",
                "modelFile": "net.py",
                "modelVersion": "1.0",
                "requirementsFile": "needs.txt",
                "configFile": "run.yaml",
            }
        },
    ),
    (
        ["--handler", "handler", "--archive-format", "tgz"],
        "m.tar.gz",
        ["handler.py"],
        {"model": {"modelName": "m", "handler": "handler", "modelVersion": "1.0"}},
    ),
    (
        ["--handler", "handler.py", "--archive-format", "no-archive"],
        "m",
        ["handler.py"],
        {"model": {"modelName": "m", "handler": "handler.py", "modelVersion": "1.0"}},
    ),
    (
        ["--handler", "handler.py", "--archive-format", "zip-store", "--export-path", "out"],
        "out/m.mar",
        ["handler.py"],
        {"model": {"modelName": "m", "handler": "handler.py", "modelVersion": "1.0"}},
    ),
]

#: Command line, and the end of what is said of it.
REFUSED = [
    ([*_MODEL, "--handler", "absent.py"], "absent.py"),
    ([*_MODEL, "--handler", "handler.py", "--extra-files", "absent.txt"], "absent.txt"),
    ([*_MODEL, "--handler", "handler.py", "--export-path", "nowhere"], "export-path directory."),
    (
        ["--model-name", "m/x", "--version", "1", "--handler", "handler.py"],
        "is: ^[A-Za-z0-9][A-Za-z0-9_\\-.]*$",
    ),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with what archives are made of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    for name in (
        *("handler.py", "a.json", "b.json", "spec.yaml", "functions.py", "tmp/x", "out/.keep"),
        *("in/w.pt", "in/other.py", "in/net.py", "in/needs.txt", "in/run.yaml", "in/words.txt"),
        *("extra/flat.txt", "extra/below/deep.txt", "extra/__pycache__/c.pyc", "extra/.git/config"),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path


def _run_original(function: str, words: list[str]) -> tuple[int, str]:
    """Return the exit code and standard error of one of TorchServe's archivers."""
    module, _, name = function.partition(":")
    code = f"import {module}; {module}.{name}()"
    ran = subprocess.run([str(_ORIGINAL), "-c", code, *words], capture_output=True, text=True)
    return ran.returncode, ran.stderr


def _content(path: Path) -> dict[str, bytes]:
    """Return the files of an archive by name; in a tar file without the folder of the model's name."""
    if path.is_dir():
        return {
            str(file.relative_to(path)): file.read_bytes()
            for file in path.rglob("*")
            if file.is_file()
        }
    if path.suffix == ".gz":
        with tarfile.open(path) as tar:
            files = [(each.name, tar.extractfile(each)) for each in tar if each.isfile()]
            assert all(name.startswith("m/") for name, _ in files)
            return {name[2:]: file.read() for name, file in files if file is not None}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _originals() -> list[bool]:
    return [False, True] if _ORIGINAL else [False]


@pytest.mark.parametrize("is_original", _originals())
@pytest.mark.parametrize(("words", "target", "files", "manifest"), MADE)
def test_an_archive_has_torchserve_s_files_and_manifest(
    words: list[str],
    target: str,
    files: list[str],
    manifest: dict[str, Any],
    is_original: bool,
    folder: Path,
) -> None:
    command = [*_MODEL, *words]
    if is_original:
        assert _run_original(_MODEL_ARCHIVER, command) == (0, "")
    else:
        assert archive_model(command) == 0
    content = _content(folder / target)
    written = json.loads(content.pop("MAR-INF/MANIFEST.json"))
    assert written.pop("createdOn")
    assert written == {"runtime": "python", "archiverVersion": "0.12.0", **manifest}
    assert list(written["model"]) == list(manifest["model"])
    assert sorted(content) == files
    if target == "out/m.mar":
        with zipfile.ZipFile(folder / target) as archive:
            assert archive.getinfo("handler.py").compress_type == zipfile.ZIP_STORED


@pytest.mark.parametrize("is_original", _originals())
def test_an_archive_that_is_there_is_replaced_by_force_alone(
    is_original: bool, capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    def run(*words: str) -> tuple[int, str]:
        command = [*_MODEL, "--handler", "handler.py", "--export-path", str(folder), *words]
        if is_original:
            return _run_original(_MODEL_ARCHIVER, command)
        return archive_model(command), capfd.readouterr().err

    target = folder / "m.mar"
    assert run()[0] == 0
    code, told = run()
    assert code == 1
    assert f"ERROR - {target} already exists.\nPlease specify --force/-f option" in told
    assert run("-f") == (0, f"WARNING - Overwriting {target} ...\n")


@pytest.mark.parametrize(("words", "end"), REFUSED)
def test_what_cannot_be_packed_is_told_in_a_line_and_leaves_nothing(
    words: list[str], end: str, capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    before = sorted(folder.rglob("*"))
    assert archive_model(words) == 1
    told = capfd.readouterr().err
    assert told.startswith("ERROR - ")
    assert end in told
    assert "Traceback" not in told
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("is_original", _originals())
def test_a_workflow_s_archive_has_torchserve_s_files_and_manifest(
    is_original: bool, folder: Path
) -> None:
    command = [*_FLOW, "--handler", "functions.py", "--extra-files", "a.json,in/words.txt"]
    if is_original:
        assert _run_original(_WORKFLOW_ARCHIVER, command)[0] == 0
    else:
        assert archive_workflow(command) == 0
    content = _content(folder / "w.war")
    manifest = json.loads(content.pop("WAR-INF/MANIFEST.json"))
    assert manifest.pop("createdOn")
    assert manifest == {
        "workflow": {"workflowName": "w", "specFile": "spec.yaml", "handler": "functions.py"},
        "archiverVersion": "0.2.15",
    }
    assert sorted(content) == ["a.json", "functions.py", "spec.yaml", "words.txt"]


def test_a_workflow_without_functions_needs_no_handler(folder: Path) -> None:
    assert archive_workflow(_FLOW) == 0
    manifest = json.loads(_content(folder / "w.war")["WAR-INF/MANIFEST.json"])
    assert manifest["workflow"] == {"workflowName": "w", "specFile": "spec.yaml"}


def test_torchserve_s_package_packs_by_a_config(folder: Path) -> None:
    from model_archiver import ModelArchiverConfig
    from model_archiver.model_archiver_error import ModelArchiverError
    from model_archiver.model_packaging import generate_model_archive

    config = ModelArchiverConfig(
        model_name="m", handler="handler.py", version="2", export_path=str(folder)
    )
    generate_model_archive(config)
    assert json.loads(_content(folder / "m.mar")["MAR-INF/MANIFEST.json"])["model"] == {
        "modelName": "m",
        "handler": "handler.py",
        "modelVersion": "2",
    }
    with pytest.raises(ModelArchiverError, match="already exists"):
        generate_model_archive(config)
