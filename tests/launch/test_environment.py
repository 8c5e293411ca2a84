"""What a worker's process is started with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mms.launch import LaunchFailed, server_home, worker_environment
from mms.launch.environment import MODEL_PATH_VARIABLE, SECRET_VARIABLE, interpreter, worker_command


def environment(environ=None, handler="service:handle", hidden=None, decode=True):
    return worker_environment(
        {"HOME": "/h"} if environ is None else environ,
        handler=handler,
        model_dir="/models/m",
        decode_input_request=decode,
        hidden=re.compile(hidden) if hidden else None,
    )


@pytest.mark.parametrize(
    ("handler", "folders"),
    [
        ("service:handle", []),
        ("sub/service.py:handle", ["/models/m/sub"]),
        ("package.service", []),
    ],
)
def test_the_models_python_path_has_the_handlers_folder_first_and_the_models_own_after_what_was_given(
    handler, folders
):
    variables = environment({"PYTHONPATH": "/old"}, handler)
    path = variables[MODEL_PATH_VARIABLE].split(":")
    assert path == [*folders, "/old", "/models/m", str(server_home())]


def test_the_interpreter_starts_without_anything_of_the_model_on_its_path():
    assert environment({"PYTHONPATH": "/old:relative"}, "sub/service.py:handle")["PYTHONPATH"] == (
        f"/old:{os.path.abspath('relative')}"
    )
    assert "PYTHONPATH" not in environment()


def test_a_home_among_installed_packages_is_left_out(monkeypatch):
    monkeypatch.setattr(
        "mms.launch.environment.server_home", lambda: Path("/lib/python3/site-packages")
    )
    assert environment()[MODEL_PATH_VARIABLE].split(":") == ["/models/m"]


@pytest.mark.parametrize(("decode", "text"), [(True, "true"), (False, "false")])
def test_the_worker_is_told_whether_to_decode(decode, text):
    assert environment(decode=decode)["MMS_DECODE_INPUT_REQUEST"] == text


def test_variables_whose_whole_name_matches_are_hidden():
    environ = {"MY_PASSWORD": "x", "PASSWORD": "y", "HOME": "/h"}
    assert "MY_PASSWORD" not in environment(environ, hidden=".*PASSWORD.*")
    shown = environment(environ, hidden="PASSWORD")
    assert shown["MY_PASSWORD"] == "x"
    assert "PASSWORD" not in shown


def test_even_the_python_path_can_be_hidden():
    variables = environment({"PYTHONPATH": "/old"}, hidden="PYTHON.*")
    assert not {"PYTHONPATH", MODEL_PATH_VARIABLE} & set(variables)


def test_the_secret_of_another_worker_is_not_handed_on():
    assert SECRET_VARIABLE not in environment({SECRET_VARIABLE: "s"})


def test_python_is_the_servers_own_interpreter():
    assert interpreter("python") == sys.executable


def test_a_path_is_an_interpreter():
    assert interpreter(sys.executable) == sys.executable


def test_an_interpreter_that_is_not_there_is_named():
    with pytest.raises(LaunchFailed, match="runtime /no/python: no such interpreter"):
        interpreter("/no/python")


def test_python3_falls_back_to_the_servers_own(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert interpreter("python3") == sys.executable


def test_a_worker_does_not_carry_the_servers_word():
    command = worker_command("python", "unix:/x", "W-m-0", is_parent=True)
    assert "mms.worker" in command
    assert "com.amazonaws.ml.mms.ModelServer" not in command
    assert command[-1] == "--parent"


def test_no_file_of_the_folder_that_a_worker_starts_in_takes_the_place_of_a_module_of_pythons(
    tmp_path,
):
    for name in ("types", "typing", "copy", "dataclasses", "json", "socket", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__file__} was imported')\n")
    command = worker_command("python", "unix:/x", "W-m-0", is_parent=False)
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment({}), capture_output=True, text=True, check=False
    )
    assert "holds the front's secret" in ended.stderr, ended
