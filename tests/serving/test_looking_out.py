"""How long the loop is kept awake for a lone request, and for the next one of the same client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from mms.core import ModelVersion, Request, Worker, WorkerState
from mms.core.config import ModelConfig
from mms.serving import dispatcher as module
from mms.serving.dispatcher import Dispatcher

_SOON_S = 0.00005
_HANDLER_S = 0.000002


class Played:
    """A dispatcher with one worker, whose loop and clock are the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.monkeypatch = monkeypatch
        self._due: deque[Callable[[], None]] = deque()
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(module, "_HAS_PROCESSORS", True)
        self.dispatcher = Dispatcher()
        self.dispatcher._loop = SimpleNamespace(  # type: ignore[assignment]
            call_soon=lambda call, *_: self._due.append(call), call_later=lambda *_: None
        )
        self.model = ModelVersion("m", None, ModelConfig())
        self.worker = Worker(0, "W-m-0")
        self.worker.state = WorkerState.READY
        self.worker.link = SimpleNamespace(send=lambda batches, now: None)
        self.model.workers.append(self.worker)

    def turn(self) -> None:
        """A turn of the loop, which takes ten microseconds."""
        self.now += 0.00001
        for _ in range(len(self._due)):
            self._due.popleft()()

    @property
    def is_awake(self) -> bool:
        return bool(self._due)

    def submit(self) -> Request:
        reply: Any = SimpleNamespace(answer=lambda *_: None, fail=lambda *_: None)
        request = Request(b"1" * 36, "m", None, False, b"", b"", b"", b"", reply, self.now)
        self.dispatcher.submit(self.model, request)
        return request

    def ask(self) -> None:
        """A request comes and is answered a turn later."""
        request = self.submit()
        self.turn()
        request.is_done = True
        self.model.finish_head(self.worker, _HANDLER_S, True, self.now)
        self.turn()

    def awake_s(self) -> float:
        """Return how long the loop stays awake from now on where nothing comes."""
        since = self.now
        while self.is_awake:
            self.turn()
            assert self.now - since < 1
        return self.now - since

    def ask_soon(self, times: int) -> None:
        for _ in range(times):
            self.ask()
            self.now += _SOON_S


@pytest.fixture
async def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(monkeypatch)


async def test_after_a_first_request_the_loop_sleeps(played: Played) -> None:
    played.ask()
    assert played.awake_s() == 0


async def test_the_loop_stays_awake_for_a_moment_for_a_client_that_keeps_asking_at_once(
    played: Played,
) -> None:
    played.ask_soon(20)
    played.ask()
    assert 0 < played.awake_s() <= 0.0003


async def test_a_client_that_takes_its_time_once_is_not_looked_out_for(played: Played) -> None:
    played.ask_soon(20)
    played.ask()
    assert played.awake_s()
    played.now += 0.005
    played.ask()
    assert played.awake_s() == 0


async def test_the_answer_of_a_quick_handler_is_looked_out_for_as_long_as_its_tensors_take_besides(
    played: Played,
) -> None:
    played.submit()
    without = played.awake_s()
    played = Played(played.monkeypatch)
    played.worker.coding_s = 0.0001
    played.submit()
    assert played.awake_s() == pytest.approx(without + 0.0001, abs=0.00001)


async def test_no_answer_is_looked_out_for_whose_tensors_take_long(played: Played) -> None:
    played.worker.coding_s = 0.01
    played.submit()
    assert played.awake_s() == 0


async def test_what_can_be_done_meanwhile_is_done_once_for_each_request_when_its_worker_has_it(
    played: Played,
) -> None:
    done_at: list[float] = []
    sent_at: list[float] = []
    played.dispatcher.meanwhile = done_at.append
    played.worker.link = SimpleNamespace(send=lambda batches, now: sent_at.append(played.now))
    for _ in range(3):
        played.ask()
    assert len(done_at) == len(sent_at) == 3
    assert all(done > sent for done, sent in zip(done_at, sent_at, strict=True))
