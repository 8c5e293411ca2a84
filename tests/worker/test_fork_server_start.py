"""What a fork server does before its first fork, and what it leaves where there will be none."""

from __future__ import annotations

import socket
from copy import deepcopy
from typing import Any

import pytest

from mms.processes.messages import encode_message, receive_message
from mms.worker.forking import fork_server

_FIRST = {
    "environment": {},
    "user": None,
    "packages": None,
    "modules": [],
    "learned": [],
    "most_bytes": 0,
}


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        ({"unsafe": "grpc", "reason": "it has threads"}, []),
        ({"ready": {}}, ["recall", "fill_gaps", "_import_own"]),
    ],
)
def test_only_a_fork_server_that_can_fork_prepares_for_it(
    answer: dict[str, Any], done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for name in ("recall", "fill_gaps", "_import_own"):
        monkeypatch.setattr(fork_server, name, lambda name=name: called.append(name))
    monkeypatch.setattr(fork_server, "_import", lambda message, tell: deepcopy(answer))
    # Those of all modules of the tests are more than a socket takes while nobody reads it.
    monkeypatch.setattr(fork_server, "stamps", lambda modules, path: {})
    front, channel = socket.socketpair()
    with front, channel:
        front.sendall(encode_message(_FIRST))
        assert fork_server._prepare(channel) is ("ready" in answer)
        channel.close()
        told = []
        while (message := receive_message(front)[0]) is not None:
            told.append(message)
    assert called == done
    assert list(told[-1]) == list(answer)
    assert told[:-1] == [{"importing": ""}][: len(done)]
