"""How a worker dials in."""

from __future__ import annotations

import socket

import pytest

from mms.wire import HELLO, ROLE_WORK, Hello
from mms.worker.connection import connect
from mms.worker.process import setup

from .front import Connection


def test_a_front_on_another_machine_is_dialled_by_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with connect(f"tcp:127.0.0.1:{port}", "secret", ROLE_WORK) as ours:
            accepted, _ = server.accept()
            with accepted:
                hello = Hello.from_payload(Connection(accepted).expect(HELLO)[2])
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            setup._connections.discard(ours)
    assert (hello.secret, hello.role) == ("secret", ROLE_WORK)


@pytest.mark.parametrize("address", ["", "path/alone", "http://127.0.0.1:80"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="neither unix:<path> nor tcp:<host>:<port>"):
        connect(address, "secret", ROLE_WORK)
