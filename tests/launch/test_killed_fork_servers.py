"""Which module is blamed when fork servers are killed, and when none is started for a while."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from mms.launch.fork_server import ImportKilled
from mms.launch.fork_servers import ForkServers
from mms.processes.messages import encode_message, receive_message
from mms.worker.forking import fork_server

_SPEC: Any = SimpleNamespace(
    runtime="python",
    environment={},
    own_variables=(),
    has_own_packages=False,
    load=SimpleNamespace(confinement={}, packages=None),
)
_UP: Any = SimpleNamespace(has_ended=False, close=lambda: None)


class Played:
    """Fork servers of which each is killed at the next of some imports, and those after them come up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *killed_at: str) -> None:
        self.left = list(killed_at)
        self.preloaded: list[str] = []
        self.servers = ForkServers(None, ("first", "second"), (), is_on=True, timeout_s=1)  # type: ignore[arg-type]
        monkeypatch.setattr("mms.launch.fork_servers.start_fork_server", self._start)

    async def _start(self, supervisor: Any, spec: Any, preloading: Any, *more: Any) -> Any:
        if self.left:
            raise ImportKilled(self.left.pop(0))
        self.preloaded = list(preloading.modules)
        return _UP


async def test_a_fork_server_that_was_killed_once_is_started_again_with_all_modules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = Played(monkeypatch, "first")
    assert await played.servers.find(_SPEC) is _UP
    assert played.preloaded == ["first", "second"]


async def test_a_module_at_whose_import_fork_servers_are_killed_twice_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = Played(monkeypatch, "first", "first")
    assert await played.servers.find(_SPEC) is _UP
    assert played.preloaded == ["second"]


async def test_fork_servers_that_are_killed_at_one_import_after_the_other_are_started_no_more_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    played = Played(monkeypatch, *["first", "second"] * 3)
    for _ in range(2):
        assert await played.servers.find(_SPEC) is None
    assert len(played.left) == 4
    assert "it was killed at the import of first, then of second" in caplog.text


async def test_a_kill_before_a_fork_server_came_up_is_not_held_against_a_module_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = Played(monkeypatch, "first")
    monkeypatch.setattr(_UP, "has_ended", True)
    await played.servers.find(_SPEC)
    played.left = ["first"]
    await played.servers.find(_SPEC)
    assert played.preloaded == ["first", "second"]


def test_a_fork_server_tells_when_it_imports_nothing_for_models_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def import_played(message: Any, tell: Any) -> dict[str, Any]:
        tell("first")
        return {"ready": {}}

    monkeypatch.setattr(fork_server, "_import", import_played)
    monkeypatch.setattr(fork_server, "stamps", lambda modules, path: {})
    for name in ("recall", "fill_gaps", "_import_own"):
        monkeypatch.setattr(fork_server, name, lambda: None)
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with ours, theirs:
        ours.sendall(encode_message({"environment": {}, "user": None, "packages": None}))
        assert fork_server._prepare(theirs)
        told = [receive_message(ours)[0] for _ in range(3)]
    assert told == [{"importing": "first"}, {"importing": ""}, {"ready": {"stamps": {}}}]
