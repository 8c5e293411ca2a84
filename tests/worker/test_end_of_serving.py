"""How a worker ends that the front has told to drain."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from mms.context import Context
from mms.wire import BYE, DRAIN, Load, encode_frame
from mms.worker.connection import read_frames
from mms.worker.loading.model import Model
from mms.worker.serving import serve


class _Items:
    """A model that raises at its end."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def start(self, tell: Any) -> None:
        return

    def take_series(self) -> list[dict[str, Any]]:
        return []

    def close(self) -> None:
        raise self._error


@pytest.mark.parametrize("error", [RuntimeError("no unload today"), SystemExit(3)])
def test_a_model_that_fails_at_its_end_is_logged_and_the_worker_says_goodbye(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    front, work = socket.socketpair()
    with front, work:
        front.sendall(encode_frame(DRAIN, 0))
        context = Context("scorer", "/model", None, 1, None, "1")
        items: Any = _Items(error)
        model = Model("oip", lambda data, context: data, context, items=items)
        control: Any = SimpleNamespace(send=None, cancelled_ids={}, on_heartbeat=None)
        load = Load("scorer", None, "/model", "service")
        assert serve(work, control, model, load) == 0
        work.close()
        assert [frame[0] for frames in read_frames(front) for frame in frames] == [BYE]
    logged = "".join(capsys.readouterr())
    assert "Model scorer failed at its end" in logged
    assert "in close" in logged
