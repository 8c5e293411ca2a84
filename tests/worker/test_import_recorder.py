"""What a load reports of its imports."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mms.worker.loading.import_recorder import ImportRecorder

_SLOW = "import time\ntime.sleep(0.01)\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def recorded(packages: Path, names: list[str], **files: str) -> dict[str, float]:
    for name, source in files.items():
        (packages / f"{name}.py").write_text(source)
    model = packages / "model"
    model.mkdir()
    (model / "own_helper.py").write_text("import recorded_outer\n")
    sys.path.insert(0, str(model))
    importlib.invalidate_caches()
    recorder = ImportRecorder([str(model)])
    recorder.start()
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        found = recorder.stop()
        sys.path.remove(str(model))
    assert recorder not in sys.meta_path
    return found


def test_a_module_counts_with_all_that_it_imports(packages: Path) -> None:
    found = recorded(
        packages,
        ["recorded_outer"],
        recorded_outer="import recorded_inner, recorded_end\n",
        recorded_inner=_SLOW,
        recorded_end="",
    )
    assert list(found) == ["recorded_outer"]
    assert 0.01 <= found["recorded_outer"] < 5.0


def test_modules_of_the_model_are_not_reported_but_what_they_import_is(packages: Path) -> None:
    found = recorded(
        packages,
        ["own_helper"],
        recorded_outer="import recorded_inner, recorded_end\n",
        recorded_inner=_SLOW,
        recorded_end="",
    )
    assert list(found) == ["recorded_outer"]


def test_what_is_only_looked_for_or_quick_is_not_reported(packages: Path) -> None:
    (packages / "recorded_quick.py").write_text("")
    recorder = ImportRecorder([])
    recorder.start()
    assert importlib.util.find_spec("recorded_absent") is None
    importlib.import_module("recorded_quick")
    assert recorder.stop() == {}
