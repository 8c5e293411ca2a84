"""A fork server that cannot fork costs no model its worker."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from mms.launch import ProcessLauncher
from mms.launch.forks import Forks

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"


@pytest.mark.parametrize("failures", [1, 10])
async def test_a_worker_that_could_not_be_forked_is_started_all_the_same(
    bench_class: Any, tmp_path: Path, monkeypatch: Any, caplog: Any, failures: int
) -> None:
    left = [failures]
    fork = Forks.fork

    async def fail(self: Forks, *arguments: Any, **more: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError("cannot be forked: Resource temporarily unavailable")
        return await fork(self, *arguments, **more)

    monkeypatch.setattr(Forks, "fork", fail)
    monkeypatch.setattr(
        bench_class,
        "make_launcher",
        lambda self: ProcessLauncher(self.folder, has_fork_servers=True),
    )
    bench = bench_class(tmp_path)
    await bench.start()
    try:
        with caplog.at_level(logging.WARNING, "mms.launch"):
            await bench.register("m", OK)
        assert await bench.predict("m") == (200, b"OK")
    finally:
        await bench.stop()
    again = [line for line in caplog.messages if "is started again" in line]
    # The first try of the fork server, and its second one; then the worker starts by itself.
    assert len(again) == min(failures, 2)
    assert "Resource temporarily unavailable" in again[0]
