"""The launcher's names that tools of MMS import."""

from __future__ import annotations

from pathlib import Path

import pytest

from mms import export_model, model_server
from mms.arg_parser import ArgParser


@pytest.fixture
def without_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["multi-model-server", "--stop"])


@pytest.mark.usefixtures("without_arguments")
def test_start_is_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert model_server.start() == 0
    assert capsys.readouterr().out == "Model server is not currently running.\n"


@pytest.mark.usefixtures("without_arguments")
def test_old_start_is_the_command_under_its_former_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert model_server.old_start() == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (
        first == "Warning: Calling MMS with mxnet-model-server. Please move to multi-model-server."
    )
    assert second == "Model server is not currently running."


def test_load_properties_reads_lines_with_an_equals_sign(folder: Path) -> None:
    path = folder / "some.properties"
    path.write_text("# c=1\n  a = b  \nnone\nx=y=z\nk:v\n\nempty=\nlast=1\\\n2\n")
    assert model_server.load_properties(str(path)) == {
        "a": "b",
        "x": "y=z",
        "empty": "",
        "last": "1\\",
    }


def test_load_properties_of_no_file_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        model_server.load_properties(str(folder / "absent"))


def test_the_export_command_says_in_yellow_what_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert not export_model.main()
    printed = capsys.readouterr().out
    assert printed.startswith("\033[93m")
    assert printed.endswith("\033[0m\n")
    assert printed.count("\n") == 3
    assert "model-archiver" in printed


def test_the_parser_is_made_by_mms_s_name() -> None:
    given = ArgParser.mms_parser().parse_args(["--models", "a", "b=c", "--foreground"])
    assert (given.models, given.foreground, given.stop) == (["a", "b=c"], True, False)
    assert (given.mms_config, given.model_store, given.log_config) == (None, None, None)
