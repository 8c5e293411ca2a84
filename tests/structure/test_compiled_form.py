"""The compiled form: the hot path's modules as machine code, from the same source."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.sources import nodes

from mms import version
from mms.cli.mms import main

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture(scope="module")
def compiled(monkeypatch_module: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The modules that are compiled, as setup.py lists them."""
    monkeypatch_module.setattr("setuptools.setup", lambda **options: None)
    found: tuple[str, ...] = runpy.run_path(str(ROOT / "setup.py"))["MODULES"]
    return found


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in nodes(path) if isinstance(node, ast.ClassDef)]


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def test_a_class_of_a_compiled_module_has_subclasses_in_compiled_modules_alone(
    compiled: tuple[str, ...],
) -> None:
    """Others cannot be made. A base is told by where its name is imported from."""
    missing = [path for path in compiled if not (ROOT / path).is_file()]
    assert missing == []
    own = {(_module(path), node.name) for path in compiled for node in _classes(ROOT / path)}
    names = {name for _, name in own}
    wrong = []
    for path in sorted((ROOT / "mms").rglob("*.py")):
        relative = str(path.relative_to(ROOT))
        if relative in compiled:
            continue
        imported = {
            alias.asname or alias.name
            for node in nodes(path)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mms.")
            for alias in node.names
            if alias.name in names and _is_of(node.module or "", alias.name, own)
        }
        wrong += [
            f"{relative}: {node.name}"
            for node in _classes(path)
            if imported & {ast.unparse(base) for base in node.bases}
        ]
    assert wrong == []


def _is_of(module: str, name: str, own: set[tuple[str, str]]) -> bool:
    """Whether a name that is imported from a module, or from the package of that module, is a compiled class."""
    return any(
        name == known and (its == module or its.startswith(module + ".")) for its, known in own
    )


def test_both_commands_say_the_version_and_the_form() -> None:
    said = f"{version.__version__} ({version.form()})\n"
    assert CliRunner().invoke(main, ["--version"]).output == said
    command = Path(sys.executable).with_name("multi-model-server")
    assert subprocess.run([command, "--version"], capture_output=True, text=True).stdout == said


@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("frames.py", "pure Python"),
        ("frames.cpython-311.c", "pure Python"),
        ("frames.abi3.so", "compiled"),
    ],
)
def test_the_form_is_told_by_the_modules_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, form: str
) -> None:
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire" / file).touch()
    monkeypatch.setattr(version, "__file__", str(tmp_path / "version.py"))
    assert version.form() == form


@pytest.mark.parametrize("value", ["true", "2", " 1"])
def test_another_value_than_0_and_1_of_the_builds_variable_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("setuptools.setup", lambda **options: None)
    monkeypatch.setenv("MMS_COMPILE", value)
    with pytest.raises(SystemExit, match=f"^MMS_COMPILE is {value!r}; 1 compiles"):
        runpy.run_path(str(ROOT / "setup.py"))


@pytest.mark.parametrize("value", [None, "", "0"])
def test_without_a_wish_nothing_is_compiled(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, object]] = []
    monkeypatch.setattr("setuptools.setup", lambda **options: told.append(options))
    monkeypatch.delenv("MMS_COMPILE", raising=False)
    if value is not None:
        monkeypatch.setenv("MMS_COMPILE", value)
    runpy.run_path(str(ROOT / "setup.py"))
    assert told == [{}]


@pytest.mark.timeout(3600)
def test_clients_and_fuzzers_cannot_tell_the_compiled_form(
    is_full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling takes a minute, and the tests some more."""
    if not is_full:
        pytest.skip(
            "--full alone compiles, which takes a minute, and runs the tests of conformance on it"
        )
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from make_wheels import COMPILED, build

    wheel = build(sys.executable, COMPILED, tmp_path, is_isolated=False)
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin" / "python"
    install = [
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    subprocess.run([sys.executable, *install], check=True)
    # All but the project, which that environment has itself: files of paths there are not followed.
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    own = next(path for path in sys.path if path.endswith("site-packages"))
    Path(packages, "others.pth").write_text(f"{own}\n")
    said = subprocess.run(
        [place / "bin" / "multi-model-server", "--version"], capture_output=True, text=True
    )
    assert said.stdout == f"{version.__version__} (compiled)\n"
    tests = [
        "tests/conformance",
        "tests/fuzz",
        "--lane",
        "on",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "3",
    ]
    run = subprocess.run(
        [python, "-m", "pytest", *tests, "--dist", "loadfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
