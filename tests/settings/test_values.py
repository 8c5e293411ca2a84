"""What follows from settings: listeners, models at start, workers, timeouts, GPUs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mms.machine.gpus import gpu_count
from mms.settings import Settings, all_options

Load = Callable[..., Settings]


@pytest.mark.parametrize(
    ("inference", "management", "is_single"),
    [
        ("http://h:80", "http://h:80", True),
        ("https://h:80", "http://h:80", True),
        ("http://h", "http://h:80", True),
        ("http://h:80", "http://h:81", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
    ],
)
def test_equal_endpoints_are_one_listener_whatever_the_scheme(
    load: Load, inference: str, management: str, is_single: bool
) -> None:
    settings = load(f"inference_address={inference}\nmanagement_address={management}")
    assert settings.is_single_listener is is_single


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("", []),
        ("a.mar", [(None, "a.mar")]),
        ("n=a.mar", [("n", "a.mar")]),
        ("n=a.mar,b , c=d", [("n", "a.mar"), (None, "b"), ("c", "d")]),
        ("ALL", [(None, "ALL")]),
        ("n=", []),
        ("=a.mar", [(None, "a.mar")]),
        (",,", []),
        ("n=https://h/a?x=1", [("n", "https://h/a?x=1")]),
        ("https://h/a?x=1", [(None, "https://h/a?x=1")]),
    ],
)
def test_models_at_start_are_names_and_locations(
    load: Load, text: str, models: list[tuple[str | None, str]]
) -> None:
    assert load(f"load_models={text}").startup_models == models


@pytest.mark.parametrize(
    ("text", "gpus", "count"),
    [
        ("", 0, 4),
        ("", 2, 2),
        ("default_workers_per_model=3", 2, 3),
        ("debug=true\ndefault_workers_per_model=3", 2, 1),
    ],
)
def test_models_at_start_have_workers_by_setting_then_gpus_then_cpus(
    load: Load, text: str, gpus: int, count: int
) -> None:
    assert load(text).worker_count_at_startup(gpus, 4) == count


@pytest.mark.parametrize(
    ("text", "timeout_s"),
    [
        ("", 7200),
        ("default_response_timeout=130", 7800),
        ("default_response_timeout=130\ndefault_response_timeout_seconds=130", 130),
        ("default_response_timeout=1\ndefault_response_timeout_seconds=-1", 60),
        ("debug=true", float("inf")),
    ],
)
def test_the_response_timeout_is_in_minutes_unless_given_in_seconds(
    load: Load, text: str, timeout_s: float
) -> None:
    assert load(text).response_timeout_s == timeout_s


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvidia-smi that lists two."""
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\nprintf 'index\\n0\\n1\\n'\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("limit", "count"), [(None, 2), (1, 1), (0, 0), (5, 2)])
def test_the_number_of_gpus_is_limited_to_those_that_are_there(
    limit: int | None, count: int
) -> None:
    assert gpu_count(limit) == count


@pytest.mark.usefixtures("two_gpus")
def test_the_variable_for_gpus_counts_whatever_is_there(load: Load) -> None:
    environ = {"MMS_NUMBER_OF_GPU": "5"}
    settings = load("enable_envvars_config=true\nnumber_of_gpu=1", environ)
    assert settings.is_gpu_number_override
    assert gpu_count(settings.number_of_gpu, is_override=True) == 5


def test_a_driver_that_fails_means_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\nexit 9\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert gpu_count(None) == 0


def test_the_configuration_dump_has_mms_s_labels(load: Load) -> None:
    lines = load("model_store=/m").describe(gpu_count=0, cpu_count=3, home="/h").splitlines()
    shown = dict(line.split(": ", 1) for line in lines)
    assert shown["MMS Home"] == "/h"
    assert shown["Current directory"] == os.getcwd()
    assert shown["Model Store"] == "/m"
    assert shown["Initial Models"] == "N/A"
    assert shown["Default workers per model"] == "3"
    assert shown["Preload model"] == "false"


@pytest.mark.parametrize("name", all_options())
def test_each_option_has_a_help_and_a_default_that_converts(name: str) -> None:
    option = all_options()[name]
    assert option.help.endswith((".", "`"))
    if option.default:
        option.kind.convert(option.default)
