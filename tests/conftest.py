"""`--full`, `--import-only`, and how hypothesis judges tests of properties: by what they find, not by their time.

Each has 25 examples, and 100 with `--full`. They are other ones in each run.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from support.scheduling import LongestFirst, put_long_first

# An example has 200 ms by default, and making examples a second or so: a loaded machine breaks either.
for profile, examples in {"short": 25, "full": 100}.items():
    settings.register_profile(
        profile,
        deadline=None,
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow],
    )

# No test asks a server that authorities vouch for, and reading all of those takes each process a quarter of a second.
os.environ.setdefault("SSL_CERT_FILE", os.devnull)

# Collecting 10,000 tests makes millions of objects that stay until the end. None is searched for garbage, neither while
# they are made nor by each collection of a test.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    is_full = bool(config.getoption("--full"))
    settings.load_profile("full" if is_full else "short")
    found = getattr(providers, "_local_constants", None)
    if not is_full and found is not None:
        # One value in twenty is a constant of the project's own sources. Each process would parse all of them.
        providers._get_local_constants = lambda: found


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="what a release should have: every fault in many rounds, every way of serving with every client",
    )
    parser.addoption(
        "--import-only",
        action="store_true",
        help="import the files, which writes their bytecode, and find no tests in them",
    )


class _Imported(pytest.Module):
    """A file whose tests nobody wants to know: finding them takes longer than the import."""

    def collect(self) -> list[pytest.Item]:
        assert self.obj  # the import
        return []


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    if not parent.config.getoption("--import-only"):
        return None
    return _Imported.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        put_long_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    return LongestFirst(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture
def is_full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--full"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much of the documentation was not tried, where it was tried at all."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    if any(getattr(report, "nodeid", "").startswith("tests/pages/") for report in reports):
        from pages.page import summary

        terminalreporter.write_line(summary())
