"""The command `model-archiver`."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.processes import run_archiver
from support.server import MODELS, Server, unique_name

Completed = subprocess.CompletedProcess[str]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "dir").mkdir(parents=True)
    (folder / "service.py").write_text("def handle(data, context):\n    return ['OK']\n")
    (folder / "dummy-artifacts.txt").write_text("artifacts\n")
    (folder / "dir" / "1.py").write_text("")
    return folder


def _archive(model: Path, *arguments: str, name: str = "packed") -> Completed:
    """Run in a folder beside the model, where the archive goes by default."""
    return run_archiver(
        [
            "--model-name",
            name,
            "--model-path",
            str(model),
            "--handler",
            "service:handle",
            *arguments,
        ],
        model.parent / "run",
    )


def _members(model: Path, archive_format: str, name: str = "packed") -> dict[str, bytes]:
    """The files of the archive that was made, by their names in it."""
    directory = model.parent / "run"
    if archive_format == "default":
        with zipfile.ZipFile(directory / f"{name}.mar") as archive:
            return {
                entry: archive.read(entry)
                for entry in archive.namelist()
                if not entry.endswith("/")
            }
    if archive_format == "tgz":
        with tarfile.open(directory / f"{name}.tar.gz") as packed:
            files = {}
            for member in packed.getmembers():
                assert member.name == name or member.name.startswith(f"{name}/")
                content = packed.extractfile(member)
                if content is not None:
                    files[member.name.removeprefix(f"{name}/")] = content.read()
            return files
    folder = directory / name
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


FORMATS = ["default", "tgz", "no-archive"]


@pytest.mark.parametrize("archive_format", FORMATS)
def test_a_folder_is_packed_in_each_format(model: Path, archive_format: str) -> None:
    done = _archive(model, "--archive-format", archive_format, "--runtime", "python3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    members = _members(model, archive_format)
    assert set(members) == {
        "service.py",
        "dummy-artifacts.txt",
        "dir/1.py",
        "MAR-INF/MANIFEST.json",
    }
    assert members["dummy-artifacts.txt"] == b"artifacts\n"
    manifest = json.loads(members["MAR-INF/MANIFEST.json"])
    assert manifest["runtime"] == "python3"
    assert manifest["model"] == {"modelName": "packed", "handler": "service:handle"}


def test_the_manifest_has_its_keys_in_their_order(model: Path) -> None:
    assert _archive(model).returncode == 0
    text = _members(model, "default")["MAR-INF/MANIFEST.json"].decode()
    manifest = json.loads(text)
    assert list(manifest) == [
        "runtime",
        "model",
        "modelServerVersion",
        "implementationVersion",
        "specificationVersion",
    ]
    assert manifest["runtime"] == "python"
    assert manifest["modelServerVersion"] == "1.0"
    assert manifest["implementationVersion"] == "1.0"
    assert manifest["specificationVersion"] == "1.0"
    assert text == json.dumps(manifest, indent=2)


def test_the_manifest_is_the_last_entry_of_the_zip(model: Path) -> None:
    _archive(model)
    with zipfile.ZipFile(model.parent / "run" / "packed.mar") as archive:
        assert archive.namelist()[-1] == "MAR-INF/MANIFEST.json"
        assert archive.getinfo("service.py").compress_type == zipfile.ZIP_DEFLATED


def test_the_archive_goes_where_it_is_told(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    assert _archive(model, "--export-path", str(target)).returncode == 0
    assert [file.name for file in target.iterdir()] == ["packed.mar"]


@pytest.mark.parametrize("archive_format", FORMATS)
def test_an_existing_output_is_replaced_by_force_alone(model: Path, archive_format: str) -> None:
    assert _archive(model, "--archive-format", archive_format).returncode == 0
    (model / "dummy-artifacts.txt").write_text("new\n")
    done = _archive(model, "--archive-format", archive_format)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR - ")
    assert "already exists." in done.stderr
    assert _members(model, archive_format)["dummy-artifacts.txt"] == b"artifacts\n"
    for flag in ("-f", "--force"):
        done = _archive(model, "--archive-format", archive_format, flag)
        assert done.returncode == 0
        assert done.stderr.startswith("WARNING - Overwriting ")
        assert done.stderr.rstrip().endswith("...")
    assert _members(model, archive_format)["dummy-artifacts.txt"] == b"new\n"


@pytest.mark.parametrize("archive_format", FORMATS)
def test_an_onnx_file_without_conversion_is_packed_as_it_is(
    model: Path, archive_format: str
) -> None:
    (model / "model.onnx").write_bytes(b"onnx")
    assert _archive(model, "--archive-format", archive_format).returncode == 0
    assert _members(model, archive_format)["model.onnx"] == b"onnx"


ACCEPTED = [
    "my-awesome-model",
    "Aa.model",
    "a",
    "aA.model",
    "a1234.model",
    "a-A-A.model",
    "123-abc",
]
REJECTED = [
    "abc%",
    "123$abc",
    "abc!123",
    "@123",
    "(model",
    "mdoel)",
    "12*model-a.model",
    "##.model",
    "-.model",
    "",
    "a b",
    "_model",
    ".model",
]


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_good_name_is_accepted(model: Path, name: str) -> None:
    assert _archive(model, name=name).returncode == 0
    assert (model.parent / "run" / f"{name}.mar").exists()


@pytest.mark.parametrize("name", REJECTED)
def test_a_bad_name_is_rejected(model: Path, name: str) -> None:
    done = run_archiver(
        [
            f"--model-name={name}",
            f"--model-path={model}",
            "--handler=service:handle",
        ],
        model.parent / "run",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR - Model name contains special characters.\n")


@pytest.mark.better_than_mms
def test_a_name_that_ends_in_a_line_break_is_rejected(model: Path) -> None:
    assert _archive(model, name="model\n").returncode == 1


def test_a_missing_export_path_is_told(model: Path) -> None:
    done = _archive(model, "--export-path", "/absent/folder")
    assert done.returncode == 1
    assert done.stderr == (
        "ERROR - Given export-path /absent/folder is not a directory. "
        "Point to a valid export-path directory.\n"
    )


def test_a_missing_model_path_is_told(tmp_path: Path) -> None:
    done = _archive(tmp_path / "absent")
    assert done.returncode == 1
    assert done.stderr == (
        f"ERROR - Given model-path {tmp_path / 'absent'} is not a valid directory. "
        "Point to a valid model-path directory.\n"
    )


def test_the_checks_have_their_order(model: Path) -> None:
    absent = model.parent / "absent"
    done = _archive(absent, "--export-path", "/absent/folder", name="%")
    assert "Model name contains special characters." in done.stderr
    done = _archive(absent, "--export-path", "/absent/folder")
    assert "Given export-path" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model-name", "m", "--model-path", "."],
        ["--model-name", "m", "--handler", "h"],
        ["--model-path", ".", "--handler", "h"],
        ["--model-name", "m", "--model-path", ".", "--handler", "h", "--runtime", "java"],
        ["--model-name", "m", "--model-path", ".", "--handler", "h", "--archive-format", "zip"],
    ],
)
def test_a_misuse_of_flags_is_exit_2(tmp_path: Path, arguments: list[str]) -> None:
    done = run_archiver([*arguments], tmp_path)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_help_is_given(tmp_path: Path) -> None:
    done = run_archiver(["--help"], tmp_path)
    assert done.returncode == 0
    for flag in (
        "--model-name",
        "--model-path",
        "--handler",
        "--runtime",
        "--export-path",
        "--archive-format",
        "--force",
        "--convert",
    ):
        assert flag in done.stdout


@pytest.mark.parametrize("archive_format", FORMATS)
def test_what_does_not_belong_in_an_archive_is_left_out(model: Path, archive_format: str) -> None:
    for name in (
        "__MACOSX/x.py",
        "__pycache__/service.pyc",
        ".git/config",
        "dir/.hidden/x.py",
        "dir/__pycache__/x.py",
        "compiled.pyc",
        ".DS_Store",
        "other.mar",
        "dir/MANIFEST.json",
        "MANIFEST.json",
    ):
        file = model / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    for name in ("weights.mxnet", "dir/deeper/data.bin"):
        file = model / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("kept")
    assert _archive(model, "--archive-format", archive_format).returncode == 0
    assert set(_members(model, archive_format)) == {
        "service.py",
        "dummy-artifacts.txt",
        "dir/1.py",
        "weights.mxnet",
        "dir/deeper/data.bin",
        "MAR-INF/MANIFEST.json",
    }


def test_a_folder_without_archive_in_place_gets_its_manifest_only(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "service.py").write_text("")
    done = run_archiver(
        [
            "--model-name=model",
            f"--model-path={folder}",
            "--handler=service:handle",
            f"--export-path={tmp_path}",
            "--archive-format=no-archive",
            "-f",
        ],
        tmp_path / "run",
    )
    assert done.returncode == 0
    files = [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]
    assert sorted(files) == ["MAR-INF/MANIFEST.json", "service.py"]


def test_conversion_of_two_onnx_files_is_refused(model: Path) -> None:
    (model / "a.onnx").write_bytes(b"")
    (model / "b.onnx").write_bytes(b"")
    done = _archive(model, "--convert")
    assert done.returncode == 1
    assert "model-archiver expects only one .onnx file in the folder. Found 2 files" in done.stderr


def test_conversion_without_an_onnx_file_is_nothing_special(model: Path) -> None:
    assert _archive(model, "-c").returncode == 0
    assert (model.parent / "run" / "packed.mar").exists()


def test_conversion_is_not_there_and_says_so(model: Path) -> None:
    (model / "model.onnx").write_bytes(b"")
    done = _archive(model, "-c")
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR - ")
    assert not (model.parent / "run" / "packed.mar").exists()


@pytest.mark.better_than_mms
def test_conversion_says_what_to_do_instead(model: Path) -> None:
    (model / "model.onnx").write_bytes(b"")
    done = _archive(model, "-c")
    assert "ONNX Runtime" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_packed_model_is_served(main_server: Server, tmp_path: Path) -> None:
    name = unique_name("packed")
    done = run_archiver(
        [
            f"--model-name={name}",
            f"--model-path={MODELS / 'noop-no-manifest'}",
            "--handler=service:handle",
            f"--export-path={main_server.store}",
        ],
        tmp_path,
        in_process=False,
    )
    assert done.returncode == 0
    reply = main_server.register(f"{name}.mar", initial_workers=1)
    assert reply.status_text == "Workers scaled"
    assert main_server.inference.get(f"/predictions/{name}").body == b"OK"
    main_server.unregister(name)


def test_a_packed_folder_is_served(main_server: Server, tmp_path: Path) -> None:
    name = unique_name("folder")
    done = run_archiver(
        [
            f"--model-name={name}",
            f"--model-path={MODELS / 'noop-no-manifest'}",
            "--handler=service:handle",
            f"--export-path={main_server.store}",
            "--archive-format=no-archive",
        ],
        tmp_path,
    )
    assert done.returncode == 0
    with main_server.registered(name) as registered:
        assert main_server.inference.get(f"/predictions/{registered}").body == b"OK"


# Better than before


@pytest.mark.better_than_mms
@pytest.mark.parametrize("archive_format", ["default", "tgz"])
def test_equal_input_gives_equal_bytes(model: Path, archive_format: str) -> None:
    suffix = {"default": "mar", "tgz": "tar.gz"}[archive_format]
    file = model.parent / "run" / f"packed.{suffix}"
    contents = []
    for time_s in (1_000_000_000, 1_600_000_000):
        for path in model.rglob("*"):
            os.utime(path, (time_s, time_s))
        assert _archive(model, "--archive-format", archive_format, "-f").returncode == 0
        contents.append(file.read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.better_than_mms
def test_hidden_files_stay_out_unless_wanted(model: Path) -> None:
    (model / ".env").write_text("SECRET=1")
    assert _archive(model).returncode == 0
    assert ".env" not in _members(model, "default")
    assert _archive(model, "-f", "--include-hidden").returncode == 0
    assert ".env" in _members(model, "default")


@pytest.mark.better_than_mms
def test_files_can_be_excluded(model: Path) -> None:
    assert _archive(model, "--exclude", "*.txt").returncode == 0
    assert set(_members(model, "default")) == {"service.py", "dir/1.py", "MAR-INF/MANIFEST.json"}


@pytest.mark.better_than_mms
def test_a_symbolic_link_is_refused_with_its_name(model: Path) -> None:
    (model / "link-to-passwords").symlink_to("/etc/passwd")
    done = _archive(model)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR - ")
    assert "link-to-passwords" in done.stderr
    assert not (model.parent / "run" / "packed.mar").exists()


@pytest.mark.better_than_mms
def test_a_failure_leaves_no_half_file(model: Path) -> None:
    (model / "link").symlink_to("absent")
    _archive(model)
    left = {file.name for file in (model.parent / "run").iterdir()}
    assert left <= {"tmp"}


@pytest.mark.better_than_mms
def test_the_version_and_the_author_go_into_the_manifest(model: Path) -> None:
    done = _archive(
        model,
        "--model-version",
        "1.2",
        "--author",
        "Ada",
        "--email",
        "ada@example.org",
        "--description",
        "words",
        "--engine-name",
        "MXNet",
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads(_members(model, "default")["MAR-INF/MANIFEST.json"])
    assert manifest["model"]["modelVersion"] == "1.2"
    assert manifest["publisher"] == {"author": "Ada", "email": "ada@example.org"}
    assert "words" in (manifest.get("description"), manifest["model"].get("description"))
    assert manifest["engine"]["engineName"] == "MXNet"
    assert "license" not in manifest


@pytest.mark.better_than_mms
def test_inspect_shows_the_manifest_and_the_files(model: Path) -> None:
    _archive(model)
    file = model.parent / "run" / "packed.mar"
    done = run_archiver(["inspect", str(file)], model.parent / "inspect")
    assert done.returncode == 0
    assert "service:handle" in done.stdout
    assert "dir/1.py" in done.stdout
    digest = hashlib.sha256((model / "service.py").read_bytes()).hexdigest()
    assert digest[:12] in done.stdout


def _verify(model: Path) -> Completed:
    file = model.parent / "run" / "packed.mar"
    return run_archiver(["verify", str(file)], model.parent / "verify")


@pytest.mark.better_than_mms
def test_verify_passes_a_good_archive(model: Path) -> None:
    _archive(model)
    assert _verify(model).returncode == 0


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    "source", ["def handle(:\n", "def other(data, context):\n    pass\n", None]
)
def test_verify_refuses_a_handler_that_could_not_be_loaded(model: Path, source: Any) -> None:
    if source is None:
        (model / "service.py").unlink()
    else:
        (model / "service.py").write_text(source)
    _archive(model)
    done = _verify(model)
    assert done.returncode == 1
    assert "service" in done.stdout + done.stderr
