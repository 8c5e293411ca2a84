"""What a model's class costs before it does anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
#: Each takes a millisecond or more of every worker's start.
EXPENSIVE = {
    *("asyncio", "dataclasses", "datetime", "enum", "inspect", "json", "logging", "numpy"),
    *("orjson", "pathlib", "random", "re", "socket", "threading", "typing", "urllib", "uuid"),
    *("yaml", "concurrent", "hashlib", "collections.abc", "traceback", "functools"),
}


def imported_by(module: str) -> set[str]:
    code = (
        "import sys; before = set(sys.modules)\n"
        f"import {module}\n"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    # -S: what the site module and editable installations import is not ours.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_the_base_class_of_models_imports_next_to_nothing() -> None:
    assert imported_by("mms.interfaces.mlrun.model.model_server") & EXPENSIVE == set()


@pytest.mark.parametrize(
    "module", ["mms.interfaces.mlrun.model.context", "mms.interfaces.mlrun.model.running"]
)
def test_what_runs_models_imports_no_library_before_it_is_needed(module: str) -> None:
    found = imported_by(module)
    assert found & (EXPENSIVE - {"typing", "collections.abc", "functools", "re", "enum"}) == set()
