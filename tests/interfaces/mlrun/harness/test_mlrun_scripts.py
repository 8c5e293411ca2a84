"""Scripts that import mlrun, unmodified, in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
EXAMPLE = ROOT / "examples/mlrun_iris"

#: The example of MLRun's documentation, with two paths and a line at the end that tells the result.
DOCUMENTED = '''
from cloudpickle import load
import numpy as np
import mlrun

class ClassifierModel(mlrun.serving.V2ModelServer):
    def load(self):
        """load and initialize the model and/or other elements"""
        model_file, extra_data = self.get_model('.pkl')
        self.model = load(open(model_file, 'rb'))

    def predict(self, body: dict) -> list:
        """Generate model predictions from sample"""
        feats = np.asarray(body['inputs'])
        result: np.ndarray = self.model.predict(feats)
        return result.tolist()

import mlrun
from sklearn.datasets import load_iris

fn = mlrun.new_function('my_server', kind='serving')
# set the topology/router and add models
graph = fn.set_topology("router")
fn.add_model("model1", class_name="ClassifierModel", model_path="<path1>")
fn.add_model("model2", class_name="ClassifierModel", model_path="<path2>")

# create and use the graph simulator
server = fn.to_mock_server()
x = load_iris()['data'].tolist()
result = server.test("/v2/models/model1/infer", {"inputs": x})
'''
#: One process does all that needs scikit-learn, whose import takes seconds.
FITTED = """
import runpy, sys
sys.argv = ["train.py", "--model-dir", "<models>"]
runpy.run_path("<example>/train.py", run_name="__main__")
"""
TOLD = """
import json
other = server.test("/v2/models/model2/infer", {"inputs": x[::50]})
third = server.test("/v2/models/model3/infer", {"inputs": x[::50]})
print(json.dumps([mlrun.__file__, result, other["outputs"], third["outputs"]]))

import os
os.chdir("<example>")
sys.argv = ["try_locally.py", "--model-dir", "<models>"]
runpy.run_path("try_locally.py", run_name="__main__")
"""


def run(
    *arguments: str, folder: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mms.cli.mms", "mlrun", *arguments]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})}
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the documented example and then the example of the folder print."""
    found = importlib.util.find_spec("mlrun")
    # A folder of that name, such as the one of these tests, is none.
    assert found is None or found.origin is None, "this test needs a Python without mlrun"
    folder = tmp_path_factory.mktemp("irises")
    own = "mlrun.frameworks.sklearn.SKLearnModelServer"
    third = f'fn.add_model("model3", class_name="{own}", model_path="<path1>")\n'
    text = FITTED + DOCUMENTED.replace("\n# create and use", f"{third}\n# create and use") + TOLD
    for name, value in {
        "path1": folder / "logistic",
        "path2": folder / "tree/model.pkl",
        "models": folder,
        "example": EXAMPLE,
    }.items():
        text = text.replace(f"<{name}>", str(value))
    (folder / "script.py").write_text(text)
    ran = run("run", "script.py", folder=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_the_documented_example_runs_as_it_is_printed(lines: list[str]) -> None:
    file, answer, *others = json.loads(next(line for line in lines if line.startswith("[")))
    assert Path(file).is_relative_to(ROOT / "mms/interfaces/mlrun/packages")
    assert answer["model_name"] == "model1"
    # In the order of the flowers: fifty of each kind, and nearly all of them are told apart.
    expected = [0] * 50 + [1] * 50 + [2] * 50
    right = sum(a == b for a, b in zip(answer["outputs"], expected, strict=True))
    assert right >= 140
    # Of a file, and of MLRun's own class for scikit-learn.
    assert others == [[0, 1, 2], [0, 1, 2]]


def test_the_example_of_the_folder_answers_for_both_models(lines: list[str]) -> None:
    assert lines[-2:] == ["model1 [0, 1, 2]", "model2 [0, 1, 2]"]


def test_a_script_gets_its_arguments_its_folder_and_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("x = 3\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, beside, mlrun\nprint(sys.argv[1:], __name__)\nsys.exit(beside.x)\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ran = run("run", "../script.py", "--help", "a", folder=elsewhere)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (3, "['--help', 'a'] __main__")


def test_a_notebook_runs_as_a_script(tmp_path: Path) -> None:
    cells = ["import mlrun\n", "%matplotlib inline\nfn = mlrun.new_function('x', kind='serving')"]
    document = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    document["cells"].append({"cell_type": "code", "source": "print(fn.uri)"})
    (tmp_path / "notes.ipynb").write_text(json.dumps(document))
    ran = run("run", "notes.ipynb", folder=tmp_path)
    assert ran.stdout.splitlines()[-1:] == ["default/x"], ran.stderr


NOTEBOOK = """
# nuclio: ignore
import nuclio
# Next
%nuclio config kind = "serving"
# mlrun: start-code
import mlrun
# Next
class Twice(mlrun.serving.V2ModelServer):
    def load(self):
        pass

    def predict(self, body):
        display(body)
        return [2 * x for x in body["inputs"]]
# Next
# mlrun: end-code
# Next
display(get_ipython(), "shown", raw=True)
fn = mlrun.code_to_function("twice", kind="serving")
fn.apply(mlrun.auto_mount()).apply(mlrun.mounts.mount_pvc("a", "b", "/c"))
fn.apply(mlrun.platforms.set_env_variables({"A": "x"}))
fn.add_model("m", class_name="Twice", model_path=".")
server = fn.to_mock_server(namespace={"nothing": 1})
print(server.test("/v2/models/m/infer", {"inputs": [4]})["outputs"], fn.get_env("A"))
print(sorted(fn.to_serving_spec()["code"].splitlines())[-1])
"""


def test_a_notebook_runs_to_its_end_and_its_function_has_the_cells_that_are_marked(
    tmp_path: Path,
) -> None:
    cells = NOTEBOOK.split("# Next\n")
    document = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    (tmp_path / "notes.ipynb").write_text(json.dumps(document))
    ran = run("run", "notes.ipynb", folder=tmp_path)
    told = ["[8] x", "import mlrun"]
    assert ran.stdout.splitlines()[-2:] == told, ran.stderr
    assert ran.stdout.splitlines()[:2] == ["None", "'shown'"]
    assert "{'inputs': [4]" in ran.stdout


def test_an_installed_mlrun_stays_the_one_that_is_imported(tmp_path: Path) -> None:
    package = tmp_path / "installed/mlrun"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("is_installed = True\n")
    (tmp_path / "script.py").write_text("import mlrun\nprint(mlrun.is_installed)\n")
    environ = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(package.parent)])}
    ran = run("run", "script.py", folder=tmp_path, environ=environ)
    assert ran.stdout.splitlines()[-1:] == ["True"], ran.stderr


def test_a_script_or_notebook_can_ask_for_the_shim_itself(tmp_path: Path) -> None:
    program = (
        "from mms.interfaces.mlrun import use_mlrun_shim, new_function\n"
        "print(use_mlrun_shim(), use_mlrun_shim())\n"
        "import mlrun\n"
        "print(mlrun.new_function is new_function, use_mlrun_shim())\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == ["True True", "True True"]


def test_a_folder_of_that_name_is_not_taken_for_mlrun_even_once_imported(tmp_path: Path) -> None:
    (tmp_path / "mlrun").mkdir()
    (tmp_path / "script.py").write_text(
        "import mlrun\n"
        "assert mlrun.__file__ is None\n"
        "from mms.interfaces.mlrun import use_mlrun_shim\n"
        "assert use_mlrun_shim()\n"
        "import mlrun\n"
        "print(mlrun.is_stand_in)\n"
    )
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "True"), ran.stderr
