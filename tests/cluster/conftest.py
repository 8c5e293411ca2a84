"""The clusters of the tests here."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from played_cluster import TestCluster
from played_ray import installed


@pytest.fixture(scope="module")
def played_ray() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture(scope="module")
def played(played_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCluster]:
    """Two fronts that all tests of a file use; what a test registers has a name of its own."""
    folder = tmp_path_factory.mktemp("cluster")
    with _private_temp(folder):
        cluster = TestCluster(folder)
        try:
            cluster.configure(2)
            cluster.fronts(2)
            yield cluster
        finally:
            cluster.close()


@pytest.fixture
def own_cluster(played_ray: None, tmp_path: Path) -> Iterator[Callable[..., TestCluster]]:
    """Makes clusters of a test's own, whose actors it may kill."""
    made: list[TestCluster] = []

    def make(**more: Any) -> TestCluster:
        cluster = TestCluster(tmp_path / f"cluster-{len(made)}", **more)
        made.append(cluster)
        return cluster

    with _private_temp(tmp_path):
        try:
            yield make
        finally:
            for cluster in made:
                cluster.close()


@contextlib.contextmanager
def _private_temp(folder: Path) -> Iterator[None]:
    """Have the fronts' folders be where nobody else's are."""
    with pytest.MonkeyPatch.context() as patch:
        temporary = folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        yield
