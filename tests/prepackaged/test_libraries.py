from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mms.prepackaged import PREPACKAGED
from mms.prepackaged.errors import ModelNotLoaded
from mms.prepackaged.library import MissingLibrary, import_library, reading

LIBRARY_OF = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "onnx": "onnxruntime",
    "pytorch": "torch",
    "tensorflow": "tensorflow",
    "mlflow": "mlflow",
}


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has none of them."""

    class Absent:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] in LIBRARY_OF.values():
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [*sys.modules]:
        if name.partition(".")[0] in LIBRARY_OF.values():
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])


@pytest.mark.parametrize("server", LIBRARY_OF)
@pytest.mark.usefixtures("without_libraries")
def test_a_missing_library_is_a_load_error_with_the_command_that_installs_it(
    server: str, tmp_path: Path
) -> None:
    import mms.prepackaged

    component = getattr(mms.prepackaged, server)(model_uri=str(tmp_path))
    with pytest.raises(MissingLibrary) as raised:
        component.load()
    assert raised.value.name is not None
    assert raised.value.name.partition(".")[0] == LIBRARY_OF[server]
    assert f'pip install "marserve[{server}]"' in str(raised.value)
    assert sys.executable in str(raised.value)


def test_every_server_is_in_the_test_of_missing_libraries() -> None:
    assert {name for name in PREPACKAGED if name.islower()} == set(LIBRARY_OF)


def test_a_dependency_that_an_installed_library_lacks_is_named_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text("import never_installed\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="never_installed"):
        import_library("half_there", "sklearn")


def test_an_error_of_a_library_names_the_file_and_what_was_expected() -> None:
    with (
        pytest.raises(
            ModelNotLoaded, match=r"m\.bst could not be loaded as a booster: OSError: bad"
        ),
        reading(Path("m.bst"), "a booster"),
    ):
        raise OSError("bad magic\nand a stack")


def test_a_module_that_a_saved_model_needs_is_named() -> None:
    with (
        pytest.raises(ModelNotLoaded, match=r"m\.pkl needs the module lightgbm"),
        reading(Path("m.pkl"), "an estimator"),
    ):
        raise ModuleNotFoundError("No module named 'lightgbm'", name="lightgbm")
