"""What a registration may say of the nodes of its workers."""

from __future__ import annotations

from typing import Any

import pytest

from mms.errors import BadRequest
from mms.registration import InvalidValue
from mms.registration.nodes import resources_of, runtime_env_of
from mms.serving import RegisterOptions
from mms.serving.registration.launcher_rule import check_launcher
from mms.settings import Settings


def test_resources_are_read_from_a_call_s_text_and_from_a_file() -> None:
    text = '{"num_cpus": 0.5, "num_gpus": 1, "memory": 1000, "resources": {"fast_disk": 2}}'
    found = {"num_cpus": 0.5, "num_gpus": 1.0, "memory": 1000, "resources": {"fast_disk": 2.0}}
    assert resources_of(text) == found
    assert resources_of(found) == found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[1]", "must be a JSON object"),
        ("{", "is not valid JSON"),
        ("[" * 60_000, "is not valid JSON"),
        ("x" * 70_000, "has 70000 characters"),
        ({"gpus": 1}, "has 'gpus'; it may have num_cpus"),
        ({"num_gpus": -1}, "num_gpus must be a number from 0 on"),
        ({"num_gpus": 1.5}, "a whole number or a part of one"),
        ({"num_cpus": float("nan")}, "num_cpus must be a number"),
        ({"num_cpus": True}, "num_cpus must be a number"),
        ({"memory": "1G"}, "memory must be a whole number of bytes"),
        ({"resources": {"GPU": 1}}, "GPUs num_gpus"),
        ({"resources": {"a\nb": 1}}, "names no resource"),
        ({"resources": {str(n): 1 for n in range(99)}}, "resources must be"),
    ],
)
def test_what_no_node_can_have_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        resources_of(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"py_executable": "sh"}, "it may have pip, uv, conda, env_vars"),
        ({"working_dir": "/"}, "it may have"),
        ({"pip": "numpy"}, "pip must be a list"),
        ({"env_vars": {"A=B": "1"}}, "env_vars must be"),
        ({"env_vars": {"A": 1}}, "env_vars must be"),
        ({"conda": 1}, "conda must be"),
    ],
)
def test_what_would_run_other_programs_on_nodes_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        runtime_env_of(value)
    assert runtime_env_of({"pip": ["a"], "env_vars": {"A": "1"}, "conda": "base"})


@pytest.mark.parametrize(
    ("options", "settings", "said"),
    [
        ({"gpu_ids": (0,)}, {}, "gpu_ids names GPUs of this machine"),
        ({"install_requirements": "venv"}, {}, "install_requirements=venv"),
        ({"ray_runtime_env": {"pip": ["a"]}}, {"allowed_requirements": False}, "allowed_requirem"),
        ({}, {"worker_user": object()}, "worker_user is set"),
    ],
)
def test_what_only_this_machine_has_is_refused_with_ray(
    options: dict[str, Any],
    settings: dict[str, Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    given = Settings()
    for name, value in settings.items():
        setattr(given, name, value)
    check_launcher(given, RegisterOptions(**options))
    with pytest.raises(BadRequest, match=said):
        check_launcher(given, RegisterOptions(launcher="ray", **options))


def test_ray_that_is_not_installed_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadRequest, match=r'pip install "marserve\[ray\]"'):
        check_launcher(Settings(), RegisterOptions(launcher="ray"))
