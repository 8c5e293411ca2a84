from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from archive_building import HANDLER, manifest_json, tree, write_folder, write_zip

import mms
from archiver import Archive, __version__
from archiver.cli import main
from archiver.pack_parser import pack_parser

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder beside the current directory, which is an empty one."""
    current = tmp_path / "current"
    current.mkdir()
    monkeypatch.chdir(current)
    return write_folder(tmp_path / "model", {"service.py": HANDLER, "dir/1.py": "1"})


def call(model: Path, *more: str, name: str = "m") -> int:
    words = ["--model-name", name, "--model-path", str(model), "--handler", "service:handle"]
    return main([*words, *more])


def test_the_plain_call_writes_the_archive_into_the_current_folder_and_says_nothing(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(model) == 0
    assert os.listdir() == ["m.mar"]
    assert capsys.readouterr() == ("", "")
    with Archive.open("m.mar") as archive:
        assert {entry.name for entry in archive.entries} == {
            "service.py",
            "dir/1.py",
            "MAR-INF/MANIFEST.json",
        }


def test_the_manifest_is_that_of_mms_to_the_byte(model: Path) -> None:
    assert call(model, "--runtime", "python3", "--archive-format", "no-archive") == 0
    assert Path("m/MAR-INF/MANIFEST.json").read_text() == (
        "{\n"
        '  "runtime": "python3",\n'
        '  "model": {\n'
        '    "modelName": "m",\n'
        '    "handler": "service:handle"\n'
        "  },\n"
        '  "modelServerVersion": "1.0",\n'
        '  "implementationVersion": "1.0",\n'
        '  "specificationVersion": "1.0"\n'
        "}"
    )


@pytest.mark.parametrize(
    ("archive_format", "name"), [("default", "m.mar"), ("tgz", "m.tar.gz"), ("no-archive", "m")]
)
def test_without_force_a_second_call_fails_and_with_it_succeeds(
    model: Path, capsys: pytest.CaptureFixture[str], archive_format: str, name: str
) -> None:
    words = ["--archive-format", archive_format, "--export-path", "."]
    assert call(model, *words) == 0
    assert call(model, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"ERROR - ./{name} already exists.\n")
    assert "--force/-f" in error
    assert call(model, *words, "-f") == 0
    assert capsys.readouterr().err == f"WARNING - Overwriting ./{name} ...\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--model-name", "m"],
        ["--model-name", "m", "--model-path", "."],
        ["--model-name", "m", "--model-path", ".", "--handler", "s", "positional"],
        ["--model-name", "m", "--model-path", ".", "--handler", "s", "--runtime", "ruby"],
        ["--model-name", "m", "--model-path", ".", "--handler", "s", "--archive-format", "rar"],
        ["--model-name", "m", "--model-path", ".", "--handler", "s", "--unknown"],
        ["--model-name", "m", "--model-path", ".", "--handler", "s", "--extensions", "[1]"],
        ["--model-name", "m", "--model-path", ".", "--handler", "s", "--extensions", "{"],
        ["inspect"],
        ["verify"],
    ],
)
def test_wrong_usage_ends_with_exit_code_2_and_the_usage(
    model: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: model-archiver")
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        (["--e", "out"], "export_path", "out"),
        (["--ex=out"], "export_path", "out"),
        (["--a", "tgz"], "archive_format", "tgz"),
        (["--r", "python3"], "runtime", "python3"),
        (["--f"], "force", True),
        (["--c"], "convert", True),
        (["--ext", "{}"], "extensions", {}),
        (["--inc"], "include_hidden", True),
    ],
)
def test_every_abbreviation_that_mms_knew_still_works(
    words: list[str], option: str, value: object
) -> None:
    required = ["--model-n", "m", "--model-p", "p", "--han", "s"]
    options = pack_parser().parse_args([*required, *words])
    assert (options.model_name, options.model_path, options.handler) == ("m", "p", "s")
    assert getattr(options, option) == value


def test_help_names_the_further_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "model-archiver inspect" in text
    assert "model-archiver verify" in text


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"model-archiver {__version__}\n"


def test_the_version_is_that_of_the_distribution() -> None:
    assert 'attr = "mms.version.__version__"' in (ROOT / "pyproject.toml").read_text()
    assert __version__ == mms.__version__


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--model-name", "a%", "--model-path", "none", "--export-path", "none"],
            (
                "Model name contains special characters.\nThe allowed regular expression filter for "
                "model name is: ^[A-Za-z0-9][A-Za-z0-9_\\-.]*$"
            ),
        ),
        (
            ["--model-name", "m", "--model-path", "none", "--export-path", "nowhere"],
            "Given export-path nowhere is not a directory. Point to a valid export-path directory.",
        ),
        (
            ["--model-name", "m", "--model-path", "none"],
            "Given model-path none is not a valid directory. Point to a valid model-path directory.",
        ),
    ],
)
def test_checks_come_in_the_order_and_words_of_mms(
    model: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main([*words, "--handler", "s"]) == 1
    assert capsys.readouterr().err == f"ERROR - {message}\n"


def test_convert_says_what_to_do_with_an_onnx_file(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "net.onnx").write_text("")
    assert call(model, "-c") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("ERROR - net.onnx is not converted")
    assert "ONNX Runtime" in error
    assert os.listdir() == []


def test_convert_with_several_onnx_files_names_them(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "b.onnx").write_text("")
    (model / "a.onnx").write_text("")
    assert call(model, "-c") == 1
    assert capsys.readouterr().err == (
        "ERROR - model-archiver expects only one .onnx file in the folder. "
        "Found 2 files ['a.onnx', 'b.onnx'] in model-path.\n"
    )


def test_convert_without_an_onnx_file_changes_nothing(model: Path) -> None:
    assert call(model, "-c") == 0


@pytest.mark.parametrize("archive_format", ["default", "tgz", "no-archive"])
def test_an_onnx_file_without_convert_is_packed_as_it_is(model: Path, archive_format: str) -> None:
    (model / "model.onnx").write_bytes(b"\0onnx")
    assert call(model, "--archive-format", archive_format) == 0
    (name,) = os.listdir()
    with Archive.open(name) as archive:
        assert archive.read("model.onnx", max_bytes=100) == b"\0onnx"


def test_an_output_that_exists_is_found_before_the_onnx_file(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "net.onnx").write_text("")
    Path("m.mar").write_text("")
    assert call(model, "-c") == 1
    assert "already exists" in capsys.readouterr().err


def test_the_manifest_flags_are_written(model: Path) -> None:
    Path("extensions.json").write_text('{"labels": [1, 2]}')
    words = [
        *("--model-version", "1.2", "--description", "d", "--author", "A", "--email", "a@b"),
        *("--license", "MIT", "--engine-name", "ONNX", "--engine-version", "1.2"),
        *("--extensions", "@extensions.json"),
    ]
    assert call(model, *words) == 0
    with Archive.open("m.mar") as archive:
        manifest = archive.manifest
    assert manifest is not None
    assert (manifest.model_version, manifest.description) == ("1.2", "d")
    assert (manifest.author, manifest.email, manifest.license) == ("A", "a@b", "MIT")
    assert (manifest.engine_name, manifest.engine_version) == ("ONNX", "1.2")
    assert manifest.extensions == {"labels": [1, 2]}


def test_the_version_flag_with_a_value_is_the_models(model: Path) -> None:
    assert call(model, "--version", "2.1") == 0
    with Archive.open("m.mar") as archive:
        assert archive.manifest is not None
        assert archive.manifest.model_version == "2.1"


def test_hidden_files_go_in_by_flag_and_excluded_ones_stay_out(model: Path) -> None:
    write_folder(model, {".env": "A=1", "big.log": "x", "dir/x.tmp": "x"})
    words = ["--include-hidden", "--exclude", "*.log", "--exclude", "*.tmp"]
    assert call(model, *words, "--archive-format", "no-archive") == 0
    assert tree(Path("m")).keys() == {".env", "service.py", "dir/1.py", "MAR-INF/MANIFEST.json"}


def test_a_pattern_that_matches_nothing_is_a_warning(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(model, "--exclude", "*.none") == 0
    assert capsys.readouterr().err == "WARNING - --exclude *.none matches no file\n"


def test_a_symbolic_link_is_one_line_and_exit_code_1(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "link").symlink_to("service.py")
    assert call(model) == 1
    assert capsys.readouterr().err.startswith("ERROR - link is a symbolic link to service.py.")
    assert os.listdir() == []


def test_a_failing_disk_is_one_line_that_names_the_place(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("archiver.packing.writers.os.fsync", fail)
    assert call(model, "--export-path", ".") == 1
    error = capsys.readouterr().err
    assert error.startswith('ERROR - Failed to save the model-archive to model-path "."')
    assert "No space left on device" in error
    assert error.count("\n") == 1
    assert os.listdir() == []


def test_an_interrupt_leaves_nothing_and_no_traceback(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("archiver.packing.writers.os.fsync", interrupt)
    assert call(model) == 130
    assert capsys.readouterr().err == "ERROR - Interrupted.\n"
    assert os.listdir() == []


def test_inspect_shows_manifest_files_sizes_and_hashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_zip(tmp_path / "m.mar", [("a", "abc"), ("MAR-INF/MANIFEST.json", manifest_json())])
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad    3  a\n" in text
    assert '"modelName": "sample"' in text
    assert f"{path.stat().st_size} bytes" in text


def test_inspect_as_json_can_be_read_by_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_zip(tmp_path / "m.mar", [("a", "abc"), ("MAR-INF/MANIFEST.json", manifest_json())])
    assert main(["inspect", "--json", str(path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == "mar"
    assert document["sizeBytes"] == path.stat().st_size
    assert document["manifest"] == json.loads(manifest_json())
    assert document["files"][1] == {
        "name": "a",
        "sizeBytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }


def test_inspect_of_a_bad_manifest_lists_the_files_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_zip(tmp_path / "m.mar", [("a", "abc"), ("MAR-INF/MANIFEST.json", "{")])
    assert main(["inspect", str(path)]) == 1
    assert "Failed to parse signature.json." in capsys.readouterr().out
    assert main(["inspect", "--json", str(path)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["manifestError"].startswith("Failed to parse signature.json.")
    assert [file["name"] for file in document["files"]] == ["MAR-INF/MANIFEST.json", "a"]


def test_inspect_on_a_terminal_draws_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip(
        tmp_path / "m.mar", [("a[b]", "abc"), ("MAR-INF/MANIFEST.json", manifest_json())]
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "SHA-256" in text
    assert "a[b]" in text


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_an_archive_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, str(tmp_path / "none.mar")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ERROR - ")
    assert "none.mar" in error


def test_verify_of_a_good_archive_is_ok(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(model) == 0
    assert main(["verify", "m.mar"]) == 0
    assert capsys.readouterr() == ("m.mar: ok\n", "")
    assert main(["verify", "--json", "m.mar"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "m.mar", "ok": True, "findings": []}


def test_verify_of_a_bad_archive_names_the_faults_and_fails(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "service.py").write_text("def handle(data, context:\n")
    assert call(model) == 0
    assert main(["verify", "m.mar"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "m.mar: would be refused\n"
    assert "\nERROR - service.py, line 1: " in captured.err
    assert main(["verify", "--json", "m.mar"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["findings"][0]["level"] == "error"


def test_the_command_runs_as_a_module_and_survives_a_closed_pipe(model: Path) -> None:
    write_folder(model, {f"f{index}": "" for index in range(2000)})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    archiver = [sys.executable, "-m", "archiver.cli"]
    words = ["--model-name", "m", "--model-path", str(model), "--handler", "service:handle"]
    subprocess.run([*archiver, *words], env=environment, check=True)
    process = subprocess.Popen(
        [*archiver, "inspect", "m.mar"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout, process.stderr:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=20) == 1


def test_a_big_model_shows_a_bar_on_a_terminal_and_a_small_one_does_not(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert call(model) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("archiver.cli._PROGRESS_FROM_BYTES", 1)
    assert call(model, name="big") == 0
    assert "service.py" in capsys.readouterr().err


def test_every_option_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "archive-format.md").read_text()
    usage = pack_parser().format_usage()
    for option in re.findall(r"--[a-z-]+", usage):
        assert f"`{option}" in text or f", `{option}`" in text, option


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_an_archive_that_is_not_there_is_one_clear_line(
    model: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "absent.mar"]) == 1
    assert capsys.readouterr() == ("", "ERROR - absent.mar does not exist.\n")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("--modelname", "--model-name"),
        ("--exportpath", "--export-path"),
        ("--handeler=x", "--handler"),
        ("--model_path", "--model-path"),
    ],
)
def test_an_unknown_flag_is_told_the_nearest_one(
    model: Path, capsys: pytest.CaptureFixture[str], wrong: str, right: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([wrong, "m", "--model-path", str(model)])
    assert ended.value.code == 2
    hint = f"there is no {wrong.partition('=')[0]}, did you mean {right}?"
    assert hint in capsys.readouterr().err


def test_a_known_flag_is_told_no_other(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--model-name", "m", "--export", "x"])
    assert "did you mean" not in capsys.readouterr().err


# What was packed is checked


@pytest.mark.parametrize(
    ("files", "warning"),
    [
        ({"other.py": ""}, "The handler's module service.py is not in the archive."),
        (
            {"service.py": "def handel(d, c): ...\n"},
            "service.py has no handle, nor exactly one class; functions there: handel; classes there: none.",
        ),
        ({"service.py": "def handle(: ...\n"}, "service.py, line 1: invalid syntax."),
        (
            {"service.py": HANDLER, ".env": "", ".cache/x": ""},
            "hidden files are left out: .cache/, .env; --include-hidden packs them",
        ),
        (
            {"service.py": HANDLER, "requirements.txt": "numpy\n"},
            (
                "A server installs requirements.txt only with install_requirements=folder or venv, "
                "which is off by default."
            ),
        ),
        (
            {"service.py": HANDLER, "model-config.yaml": "batchsize: 8\nhandler: {x: 1}\n"},
            "model-config.yaml: unknown key 'batchsize' has no effect; did you mean batchSize?",
        ),
        (
            {"service.py": HANDLER, "model-config.yaml": "batchSize: '8'\n"},
            "model-config.yaml: batchSize is '8' and has no effect; it should be a whole number from 1 on.",
        ),
        (
            {"service.py": HANDLER, "model-config.yaml": "deviceIds: [0, one]\n"},
            (
                "model-config.yaml: deviceIds is [0, 'one'] and has no effect; it should be a list of numbers of GPUs "
                "such as [0, 2]."
            ),
        ),
        (
            {"service.py": HANDLER, "model-config.yaml": "deviceType: tpu\n"},
            "model-config.yaml: deviceType is 'tpu' and has no effect; it should be cpu or gpu.",
        ),
        (
            {"service.py": HANDLER, "model-config.yaml": "minWorkers: 3\nmaxWorkers: 2\n"},
            "model-config.yaml: maxWorkers 2 is less than minWorkers and has no effect; 3 count.",
        ),
        (
            {"service.py": HANDLER, "model-config.yaml": "a: [1\n"},
            (
                "model-config.yaml cannot be read: while parsing a flow sequence: did not find expected ',' or ']' "
                "(line 2, column 1)."
            ),
        ),
        (
            {"service.py": HANDLER, "model-config.yaml": "- 1\n"},
            "model-config.yaml must be a mapping such as `batchSize: 8`, not [1].",
        ),
    ],
)
@pytest.mark.parametrize("archive_format", ["default", "tgz", "no-archive"])
def test_what_will_not_load_as_it_was_packed_is_a_warning(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str],
    warning: str,
    archive_format: str,
) -> None:
    folder = write_folder(tmp_path / "folder", files)
    export = ["--export-path", str(tmp_path), "--archive-format", archive_format]
    assert call(folder, *export) == 0
    assert capsys.readouterr() == ("", f"WARNING - {warning}\n")


def test_hidden_files_that_are_excluded_or_of_version_control_are_no_news(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"service.py": HANDLER, ".git/config": "", ".DS_Store": "", ".env": ""}
    folder = write_folder(tmp_path / "folder", files)
    assert call(folder, "--export-path", str(tmp_path), "--exclude", ".env") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("output", ["second", "second.mar"])
def test_an_archive_may_have_another_name_than_its_model(
    model: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    assert call(model, "--output", output) == 0
    assert os.listdir() == ["second.mar"]
    with Archive.open("second.mar") as archive:
        assert archive.manifest is not None
        assert archive.manifest.model_name == "m"


@pytest.mark.parametrize("output", ["a/b", "..", ".mar"])
def test_an_output_that_is_no_name_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    assert call(model, "--output", output) == 1
    assert "--export-path says which folder it goes to" in capsys.readouterr().err
    assert os.listdir() == []


def test_the_export_folder_is_made_where_it_is_asked_for(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(model, "--export-path", "a/b") == 1
    assert not os.path.exists("a")
    assert call(model, "--export-path", "a/b", "--parents") == 0
    assert os.listdir("a/b") == ["m.mar"]
    assert call(model, "--export-path", "a/b", "--parents", "--force") == 0
