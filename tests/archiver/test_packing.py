from __future__ import annotations

import json
import os
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_building import HANDLER, tree, write_folder

from archiver import Archive, PackError, pack
from archiver.packing.writers import ArchiveFormat

FORMATS: list[ArchiveFormat] = ["default", "tgz", "no-archive"]
FILES: dict[str, str | bytes] = {
    "service.py": HANDLER,
    "dummy-artifacts.txt": "dummy",
    "dir/1.py": "one = 1\n",
    "weights.bin": bytes(range(256)) * 40,
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", FILES)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


def files_of(path: Path) -> dict[str, bytes]:
    """The files of an archive without its manifest."""
    with Archive.open(path) as archive:
        return {
            entry.name: b"".join(archive.chunks(entry.name))
            for entry in archive.entries
            if entry.name != "MAR-INF/MANIFEST.json"
        }


def as_bytes(files: dict[str, str | bytes]) -> dict[str, bytes]:
    return {
        name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()
    }


@pytest.mark.parametrize("archive_format", FORMATS)
def test_each_format_holds_every_file_and_the_manifest(
    model: Path, export: Path, archive_format: ArchiveFormat
) -> None:
    path = pack(
        model,
        model_name="m",
        handler="service:handle",
        runtime="python3",
        export_path=export,
        archive_format=archive_format,
    )
    assert path.name == {"default": "m.mar", "tgz": "m.tar.gz", "no-archive": "m"}[archive_format]
    assert files_of(path) == as_bytes(FILES)
    with Archive.open(path) as archive:
        manifest = archive.manifest
    assert manifest is not None
    assert (manifest.model_name, manifest.handler) == ("m", "service:handle")
    assert manifest.runtime == "python3"
    assert os.listdir(export) == [path.name]


def test_everything_in_a_tar_file_lies_below_the_model_name(model: Path, export: Path) -> None:
    path = pack(model, model_name="m", handler="s", export_path=export, archive_format="tgz")
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert all(name.startswith("m/") for name in names)
    assert names[-1] == "m/MAR-INF/MANIFEST.json"


@pytest.mark.parametrize("archive_format", ["default", "tgz"])
def test_the_same_files_give_the_same_bytes(tmp_path: Path, archive_format: ArchiveFormat) -> None:
    packed = []
    for name, order in (("first", FILES), ("second", dict(reversed(FILES.items())))):
        folder = write_folder(tmp_path / name, order)
        for index, path in enumerate(sorted(folder.rglob("*"))):
            os.utime(path, (index, 1_000_000_000 + index * len(name)))
        folder.joinpath("service.py").chmod(0o600 if name == "first" else 0o664)
        export = tmp_path / f"{name}-export"
        export.mkdir()
        path = pack(
            folder, model_name="m", handler="s", export_path=export, archive_format=archive_format
        )
        packed.append(path.read_bytes())
    assert packed[0] == packed[1]


@pytest.mark.parametrize("archive_format", FORMATS)
def test_files_that_may_be_executed_stay_so(
    model: Path, export: Path, archive_format: ArchiveFormat, tmp_path: Path
) -> None:
    (model / "tool.sh").write_text("#!/bin/sh\n")
    (model / "tool.sh").chmod(0o711)
    path = pack(
        model, model_name="m", handler="s", export_path=export, archive_format=archive_format
    )
    with Archive.open(path) as archive:
        executable = [entry.name for entry in archive.entries if entry.is_executable]
        archive.extract(tmp_path / "out")
    assert executable == ["tool.sh"]
    assert os.access(tmp_path / "out" / "tool.sh", os.X_OK)


def test_caches_old_archives_and_manifests_stay_out(model: Path, export: Path) -> None:
    write_folder(
        model,
        {
            "MANIFEST.json": "{}",
            "dir/MANIFEST.json": "{}",
            "MAR-INF/MANIFEST.json": "{}",
            "a.pyc": "",
            "dir/x.DS_Store": "",
            "old.mar": "",
            "__pycache__/a.py": "",
            "dir/__MACOSX/b.py": "",
            "c.mxnet": "kept",
        },
    )
    path = pack(model, model_name="m", handler="s", export_path=export)
    assert files_of(path) == as_bytes({**FILES, "c.mxnet": "kept"})


def test_hidden_files_and_folders_stay_out(model: Path, export: Path) -> None:
    write_folder(model, {".env": "SECRET=1", "dir/.hidden": "", ".cache/x": ""})
    path = pack(model, model_name="m", handler="s", export_path=export)
    assert files_of(path) == as_bytes(FILES)


def test_hidden_files_go_in_when_asked_for_but_version_control_never(
    model: Path, export: Path
) -> None:
    write_folder(model, {".env": "A=1", ".cfg/x": "x", ".git/config": "", "dir/.svn/x": ""})
    path = pack(model, model_name="m", handler="s", export_path=export, include_hidden=True)
    assert files_of(path) == as_bytes({**FILES, ".env": "A=1", ".cfg/x": "x"})


@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        (["*.bin"], ["weights.bin"]),
        (["1.py"], ["dir/1.py"]),
        (["dir"], ["dir/1.py"]),
        (["dir/"], ["dir/1.py"]),
        (["dir/*"], ["dir/1.py"]),
        (["./dir/1.py"], ["dir/1.py"]),
        (["other/1.py"], []),
        (["*.txt", "s*.py"], ["dummy-artifacts.txt", "service.py"]),
    ],
)
def test_excluded_patterns_stay_out(
    model: Path, export: Path, patterns: list[str], gone: list[str]
) -> None:
    path = pack(model, model_name="m", handler="s", export_path=export, exclude=patterns)
    assert sorted(set(FILES) - set(files_of(path))) == gone


def test_a_pattern_that_matches_nothing_is_told(model: Path, export: Path) -> None:
    warnings: list[str] = []
    pack(
        model,
        model_name="m",
        handler="s",
        export_path=export,
        exclude=["*.bin", "*.bni"],
        warn=warnings.append,
    )
    assert warnings == ["--exclude *.bni matches no file"]


@pytest.mark.parametrize("target", ["service.py", "dir", "/etc/passwd", "nowhere"])
def test_a_symbolic_link_is_refused_with_its_name(model: Path, export: Path, target: str) -> None:
    (model / "dir" / "link").symlink_to(target)
    with pytest.raises(PackError, match="dir/link is a symbolic link to "):
        pack(model, model_name="m", handler="s", export_path=export)
    assert os.listdir(export) == []


def test_a_link_that_is_excluded_does_not_matter(model: Path, export: Path) -> None:
    (model / "link").symlink_to("service.py")
    path = pack(model, model_name="m", handler="s", export_path=export, exclude=["link"])
    assert files_of(path) == as_bytes(FILES)


def test_a_pipe_is_refused_with_its_name(model: Path, export: Path) -> None:
    os.mkfifo(model / "pipe")
    with pytest.raises(PackError, match="pipe is a device, pipe or socket"):
        pack(model, model_name="m", handler="s", export_path=export)


def test_a_socket_is_refused_with_its_name(
    model: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)  # the path of a socket has about a hundred characters at most
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("listener")
        with pytest.raises(PackError, match="listener is a device, pipe or socket"):
            pack(model, model_name="m", handler="s", export_path=export)


def test_a_name_that_no_server_would_unpack_is_refused(model: Path, export: Path) -> None:
    (model / "back\\slash").write_text("x")
    with pytest.raises(PackError, match="backslash"):
        pack(model, model_name="m", handler="s", export_path=export)


@pytest.mark.parametrize("archive_format", ["default", "tgz", "no-archive"])
def test_a_file_in_place_of_the_manifests_folder_is_not_packed(
    model: Path, export: Path, archive_format: ArchiveFormat
) -> None:
    (model / "MAR-INF").write_text("x")
    with pytest.raises(PackError, match="MAR-INF is a file, but the folder of the manifest"):
        pack(model, model_name="m", handler="s", export_path=export, archive_format=archive_format)


@pytest.mark.parametrize("archive_format", ["default", "tgz"])
def test_names_that_differ_in_case_alone_are_not_packed(
    model: Path, export: Path, archive_format: ArchiveFormat
) -> None:
    (model / "Dir").mkdir()
    if len(list(model.iterdir())) == len(FILES):
        pytest.skip("this file system ignores case")
    (model / "Dir" / "2.py").write_text("two = 2")
    with pytest.raises(PackError, match=r"Dir and dir differ in case alone"):
        pack(model, model_name="m", handler="s", export_path=export, archive_format=archive_format)
    assert list(export.iterdir()) == []
    pack(model, model_name="m", handler="s", export_path=export, archive_format="no-archive")
    pack(
        model,
        model_name="m",
        handler="s",
        export_path=export,
        archive_format=archive_format,
        exclude=["Dir"],
    )


@pytest.mark.parametrize("archive_format", FORMATS)
def test_what_is_there_is_replaced_only_by_force(
    model: Path, export: Path, archive_format: ArchiveFormat
) -> None:
    def packed(force: bool) -> Path:
        return pack(
            model,
            model_name="m",
            handler="s",
            export_path=export,
            archive_format=archive_format,
            force=force,
        )

    path = packed(force=False)
    with pytest.raises(PackError) as caught:
        packed(force=False)
    assert str(caught.value).startswith(f"{path} already exists.\n")
    (model / "service.py").unlink()
    assert packed(force=True) == path
    assert files_of(path).keys() == FILES.keys() - {"service.py"}
    assert os.listdir(export) == [path.name]


@pytest.mark.parametrize("archive_format", FORMATS)
def test_a_failure_leaves_what_was_there_and_no_half_file(
    model: Path, export: Path, archive_format: ArchiveFormat
) -> None:
    def packed(progress: object = None) -> Path:
        return pack(
            model,
            model_name="m",
            handler="s",
            export_path=export,
            archive_format=archive_format,
            force=True,
            progress=progress,  # type: ignore[arg-type]
        )

    before = files_of(packed())
    (model / "service.py").write_text("changed")

    def fail(done_bytes: int, total_bytes: int, name: str) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        packed(fail)
    (path,) = export.iterdir()
    assert files_of(path) == before


@pytest.mark.parametrize("archive_format", FORMATS)
def test_progress_tells_how_far_packing_is(
    model: Path, export: Path, archive_format: ArchiveFormat
) -> None:
    told: list[tuple[int, int, str]] = []
    pack(
        model,
        model_name="m",
        handler="s",
        export_path=export,
        archive_format=archive_format,
        progress=lambda *step: told.append(step),
    )
    total = sum(len(content) for content in as_bytes(FILES).values())
    assert told[-1][:2] == (total, total)
    assert [step[0] for step in told] == sorted(step[0] for step in told)
    assert {step[2] for step in told} == FILES.keys()


def test_an_archive_inside_the_model_path_does_not_hold_itself(model: Path) -> None:
    def packed() -> Path:
        return pack(
            model,
            model_name="m",
            handler="s",
            export_path=model,
            archive_format="tgz",
            force=True,
        )

    first = packed().read_bytes()
    assert packed().read_bytes() == first
    assert files_of(model / "m.tar.gz") == as_bytes(FILES)


def test_a_folder_inside_the_model_path_does_not_hold_itself(model: Path) -> None:
    for _ in range(2):
        pack(
            model,
            model_name="m",
            handler="s",
            export_path=model,
            archive_format="no-archive",
            force=True,
        )
        assert files_of(model / "m") == as_bytes(FILES)


def test_no_archive_onto_the_model_path_writes_the_manifest_alone(model: Path) -> None:
    write_folder(model, {".env": "kept", "old.mar": "kept"})
    before = tree(model)
    pack(
        model,
        model_name=model.name,
        handler="service:handle",
        export_path=model.parent,
        archive_format="no-archive",
        force=True,
    )
    after = tree(model)
    manifest = json.loads(after.pop("MAR-INF/MANIFEST.json"))
    assert manifest["model"] == {"modelName": model.name, "handler": "service:handle"}
    assert after == before


def test_a_folder_that_is_no_model_is_not_replaced_even_by_force(model: Path, export: Path) -> None:
    write_folder(export / "m", {"thesis.tex": "years of work"})
    with pytest.raises(PackError, match="may not be a model"):
        pack(
            model,
            model_name="m",
            handler="s",
            export_path=export,
            archive_format="no-archive",
            force=True,
        )
    assert tree(export / "m") == {"thesis.tex": b"years of work"}


def test_a_folder_that_holds_the_model_path_is_not_replaced(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "m" / "source", FILES)
    write_folder(tmp_path / "m", {"MAR-INF/MANIFEST.json": "{}"})
    with pytest.raises(PackError, match="holds the model-path"):
        pack(
            source,
            model_name="m",
            handler="s",
            export_path=tmp_path,
            archive_format="no-archive",
            force=True,
        )
    assert tree(source) == as_bytes(FILES)


def test_a_folder_in_the_place_of_the_archive_file_is_not_replaced(
    model: Path, export: Path
) -> None:
    (export / "m.mar").mkdir()
    with pytest.raises(PackError, match=r"m\.mar is a folder"):
        pack(model, model_name="m", handler="s", export_path=export, force=True)


@pytest.mark.parametrize(
    "name",
    ["my-awesome-model", "Aa.model", "a", "aA.model", "a1234.model", "a-A-A.model", "123-abc"],
)
def test_a_name_of_letters_digits_dots_dashes_is_taken(
    model: Path, export: Path, name: str
) -> None:
    assert pack(model, model_name=name, handler="s", export_path=export).is_file()


@pytest.mark.parametrize(
    "name",
    [
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
        "a/b",
        "..",
        "trailing-newline\n",
        "ümlaut",
    ],
)
def test_a_name_with_other_characters_is_refused(model: Path, export: Path, name: str) -> None:
    with pytest.raises(PackError, match="Model name contains special characters"):
        pack(model, model_name=name, handler="s", export_path=export)


def test_the_manifest_fields_are_written(model: Path, export: Path) -> None:
    path = pack(
        model,
        model_name="m",
        handler="service:handle",
        export_path=export,
        model_version="1.2",
        description="what it is",
        author="A",
        email="a@example.org",
        license="MIT",
        engine_name="ONNX",
        engine_version="1.2",
        extensions={"labels": ["a", "b"]},
        user_data={"ticket": 7},
    )
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("MAR-INF/MANIFEST.json")) == {
            "runtime": "python",
            "model": {
                "modelName": "m",
                "handler": "service:handle",
                "modelVersion": "1.2",
                "extensions": {"labels": ["a", "b"]},
            },
            "engine": {"engineName": "ONNX", "engineVersion": "1.2"},
            "license": "MIT",
            "modelServerVersion": "1.0",
            "description": "what it is",
            "implementationVersion": "1.0",
            "specificationVersion": "1.0",
            "userData": {"ticket": 7},
            "publisher": {"author": "A", "email": "a@example.org"},
        }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"handler": ""}, "handler is empty"),
        ({"runtime": "ruby"}, "runtime 'ruby'"),
        ({"model_version": "1/2"}, "model version '1/2'"),
        ({"model_version": ""}, "model version ''"),
        ({"engine_version": "1"}, "needs an engine name"),
        ({"extensions": {"x": object()}}, "cannot be written as JSON"),
        ({"archive_format": "rar"}, "archive format 'rar'"),
    ],
)
def test_a_field_that_no_manifest_can_have_is_refused(
    model: Path, export: Path, fields: dict[str, object], message: str
) -> None:
    arguments = {"model_name": "m", "handler": "s", "export_path": export, **fields}
    with pytest.raises(PackError, match=message):
        pack(model, **arguments)  # type: ignore[arg-type]
    assert os.listdir(export) == []


def test_paths_that_are_no_folders_are_named(model: Path, export: Path) -> None:
    with pytest.raises(PackError) as caught:
        pack(model / "service.py", model_name="m", handler="s", export_path=export)
    assert str(caught.value) == (
        f"Given model-path {model / 'service.py'} is not a valid directory. "
        f"Point to a valid model-path directory. It is a file; its folder is {model}."
    )
    with pytest.raises(PackError) as caught:
        pack(model, model_name="m", handler="s", export_path=export / "none")
    assert str(caught.value) == (
        f"Given export-path {export / 'none'} is not a directory. "
        "Point to a valid export-path directory."
    )


def test_the_umask_rules_over_what_is_written(model: Path, export: Path) -> None:
    old = os.umask(0o077)
    try:
        path = pack(model, model_name="m", handler="s", export_path=export)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
