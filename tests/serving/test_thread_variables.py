"""How many threads numeric libraries are told to have in a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.settings import settings_of

from mms.serving.options import RegisterOptions
from mms.serving.registration import model_factory
from mms.serving.registration.model_factory import WorkerSpecs


def _variables(
    workers: int,
    environ: dict[str, str] | None = None,
    own: int | None = None,
    resources: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, str]:
    asked = RegisterOptions(threads_per_worker=own, ray_resources=resources)
    found = settings_of(**settings)
    served: Any = SimpleNamespace(
        pool=SimpleNamespace(min_workers=workers),
        interface="mms",
        runs_on_nodes=settings.get("launcher") == "ray",
        options=SimpleNamespace(asked=asked),
        effective=asked.with_defaults(found),
    )
    return WorkerSpecs(found, environ or {})._thread_variables(served)


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_factory, "available_cpus", lambda: 8)


@pytest.mark.parametrize(
    ("workers", "threads"), [(0, "8"), (1, "8"), (3, "2"), (8, "1"), (20, "1")]
)
def test_auto_shares_the_cpus_among_the_model_s_workers(workers: int, threads: str) -> None:
    assert set(_variables(workers, threads_per_worker=0).values()) == {threads}


@pytest.mark.parametrize(("asked", "threads"), [(None, "1"), (4, "4"), (0.5, "1")])
def test_auto_is_the_cpus_that_ray_keeps_for_a_worker(asked: float | None, threads: str) -> None:
    resources = None if asked is None else {"num_cpus": asked}
    variables = _variables(2, resources=resources, threads_per_worker=0, launcher="ray")
    assert set(variables.values()) == {threads}


def test_a_number_is_obeyed_and_without_one_nothing_is_set() -> None:
    assert _variables(4, threads_per_worker=3)["OMP_NUM_THREADS"] == "3"
    assert _variables(4) == {}


def test_what_the_operator_sets_or_hides_stays_so() -> None:
    given = {"MKL_NUM_THREADS": "7"}
    variables = _variables(1, given, threads_per_worker=3, blacklist_env_vars="OMP_.*")
    assert "MKL_NUM_THREADS" not in variables
    assert "OMP_NUM_THREADS" not in variables
    assert variables["OPENBLAS_NUM_THREADS"] == "3"


def test_what_a_registration_says_goes_before_the_server_and_its_variables() -> None:
    variables = _variables(4, {"OMP_NUM_THREADS": "7"}, own=3, threads_per_worker=2)
    assert set(variables.values()) == {"3"}
    assert "OMP_NUM_THREADS" in variables
