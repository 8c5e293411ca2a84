"""The code of files and notebooks."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import pytest

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError
from mms.interfaces.mlrun.spec.code_file import NOTEBOOK_NAMES, code_of, code_to_run, load_module


def notebook(folder: Path, *cells: str, kind: str = "code") -> str:
    path = folder / "model.ipynb"
    document = {
        "cells": [
            {"cell_type": kind, "source": cell.splitlines(keepends=True), "metadata": {}}
            for cell in cells
        ],
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
    }
    path.write_text(json.dumps(document))
    return str(path)


def test_a_python_file_is_its_code(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("# mlrun: ignore\nx = 1\n")
    assert code_of(str(file)) == "# mlrun: ignore\nx = 1\n"


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "model.txt"
    file.write_text("x = 1")
    with pytest.raises(MLRunInvalidArgumentError, match=r"model\.txt is neither"):
        code_of(str(file))


def test_a_broken_notebook_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "model.ipynb"
    file.write_text("{}")
    with pytest.raises(MLRunInvalidArgumentError, match=r"model\.ipynb is not a notebook"):
        code_of(str(file))


def test_text_cells_are_left_out(tmp_path: Path) -> None:
    assert code_of(notebook(tmp_path, "# A title", kind="markdown")) == ""


@pytest.mark.parametrize("owner", ["mlrun", "nuclio"])
def test_cells_to_ignore_are_left_out(tmp_path: Path, owner: str) -> None:
    code = code_of(notebook(tmp_path, f"# {owner}: ignore\nimport tests", "x = 1"))
    assert code == "x = 1\n"


DEPLOYS = (
    "import mms.interfaces.mlrun as mlrun\nfactor = 2\nproject = mlrun.get_or_create_project('p', './')",
    "class Model:\n    factor = factor",
    "fn = mlrun.code_to_function('f', kind='serving'); graph = fn.set_topology('router')\nfn.add_model('m')",
    "# Tests it\nserver = fn.to_mock_server()\nanswer = server.test('/', {})\nprint(answer)",
    "def check():\n    return fn.invoke('/')\n\nif factor:\n    project.deploy_function(fn)",
    "answer = factor\nseen = answer",
)


def test_what_deploys_and_tests_is_left_out_of_a_notebook_without_marks(tmp_path: Path) -> None:
    module = load_module(notebook(tmp_path, *DEPLOYS))
    names = {name for name in vars(module) if not name.startswith("__")}
    assert names - set(NOTEBOOK_NAMES) == {"mlrun", "factor", "Model", "check", "answer", "seen"}
    assert (module.Model.factor, module.seen) == (2, 2)


SELF_DEPLOYING = """from mms.interfaces.mlrun.authoring.functions import code_to_function

FACTOR = 3


def twice(body):
    return body * 2


fn = code_to_function("f", filename=__file__, kind="serving")
fn.set_topology("flow").to(name="twice", handler="twice").respond()
if FACTOR:
    fn.deploy()
LAST = FACTOR
"""


def test_a_file_that_deploys_itself_does_not_where_it_is_served(tmp_path: Path) -> None:
    file = tmp_path / "deploys_itself.py"
    file.write_text(SELF_DEPLOYING)
    for module in (load_module(str(file)), load_module(None, SELF_DEPLOYING, "code_alone")):
        assert module.twice(2) == 4
        assert module.LAST == 3
        assert not hasattr(module, "fn")
    code = code_of(str(file))
    assert code.splitlines().index("LAST = FACTOR") == SELF_DEPLOYING.splitlines().index(
        "LAST = FACTOR"
    )


@pytest.mark.parametrize(
    "code",
    [
        "import mlrun\nproject = mlrun.get_or_create_project('p')\n",
        "def new_function():\n    return 1\n\n\nx = new_function()\n",
        "import mlrun\n\n\ndef deploy():\n    mlrun.new_function('f').deploy()\n",
        "import mlrun\nthis is no Python",
    ],
)
def test_a_file_that_does_not_deploy_itself_stays_as_it_is(tmp_path: Path, code: str) -> None:
    file = tmp_path / "model.py"
    file.write_text(code)
    assert code_of(str(file)) == code


def test_marks_decide_alone_where_there_are_some(tmp_path: Path) -> None:
    cells = ("# mlrun: start-code", "fn = new_function('f')", "# mlrun: end-code", "x = 1")
    assert code_of(notebook(tmp_path, *cells)) == "fn = new_function('f')\n"


def test_a_notebook_that_is_run_has_all_its_cells_but_its_commands(tmp_path: Path) -> None:
    cells = (
        "# mlrun: start-code\nx = 1",
        "# mlrun: end-code",
        "!pip install y",
        "# mlrun: ignore\nz = x",
    )
    code = code_to_run(notebook(tmp_path, *cells))
    assert [line for line in code.splitlines() if line and line[0] != "#"] == ["x = 1", "z = x"]


@pytest.mark.parametrize("owner", ["mlrun", "nuclio"])
def test_only_what_is_between_the_marks_is_kept(tmp_path: Path, owner: str) -> None:
    code = code_of(
        notebook(
            tmp_path,
            "before = 1",
            f"# {owner}: start-code",
            "x = 1",
            f"y = 2\n# {owner}: end-code\nnot_this = 1",
            "after = 1",
        )
    )
    assert code == "x = 1\n\n\ny = 2\n"


def test_commands_to_the_notebook_are_left_out(tmp_path: Path) -> None:
    code = code_of(
        notebook(
            tmp_path,
            "%nuclio env A=1\n!pip install x\nx = 1",
            "%%nuclio cmd\npip install y",
            "%%time\ny = 2",
            "%matplotlib inline",
        )
    )
    assert code == "x = 1\n\n\ny = 2\n"


@pytest.mark.parametrize(
    "cell",
    [
        "files = !ls\nx = 1",
        "x = 1\nx?",
        "x = 1\nif x:\n    !ls",
        "here = %pwd\nx = 1",
        "?int\nx = 1",
    ],
)
def test_commands_within_code_do_nothing(tmp_path: Path, cell: str) -> None:
    assert load_module(notebook(tmp_path, cell)).x == 1


def test_a_remainder_is_no_command(tmp_path: Path) -> None:
    assert code_of(notebook(tmp_path, "x = (7\n% 4)")) == "x = (7\n% 4)\n"


def test_a_module_is_run_anew_and_found_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "fresh_module.py"
    file.write_text("class A: pass\n")
    first, second = load_module(str(file)), load_module(str(file))
    assert first is not second
    assert second.A.__module__ == "fresh_module"
    assert sys.modules["fresh_module"] is second
    del sys.modules["fresh_module"]


def test_a_file_does_not_take_the_place_of_a_module_of_its_name(tmp_path: Path) -> None:
    file = tmp_path / "json.py"
    file.write_text("x = 1\n")
    module = load_module(str(file))
    assert sys.modules["json"] is json
    assert module.__name__ == "json_2"
    del sys.modules["json_2"]


def test_a_module_that_fails_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "broken_module.py"
    file.write_text("raise KeyError('x')\n")
    with pytest.raises(KeyError):
        load_module(str(file))
    assert "broken_module" not in sys.modules


def test_a_traceback_shows_a_notebooks_lines(tmp_path: Path) -> None:
    module = load_module(notebook(tmp_path, "def fail():\n    raise ValueError('no')"))
    with pytest.raises(ValueError, match="no") as raised:
        module.fail()
    assert "raise ValueError('no')" in "".join(traceback.format_tb(raised.tb))
    del sys.modules["model"]
