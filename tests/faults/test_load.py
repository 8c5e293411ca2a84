"""The load itself: what it counts as right, wrong and lost."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from .load import Count, Load, Target

_Answer = Callable[[str], bytes]
#: Ends an answer after which the connection ends.
_END = b"\0"


def _response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.fixture
def count_against() -> Iterator[Callable[[_Answer], Count]]:
    """Run a load against a server that answers by `answer(token)`."""
    servers: list[socketserver.ThreadingTCPServer] = []

    def run(answer: _Answer) -> Count:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self.rfile.readline():
                    length = 0
                    while (line := self.rfile.readline().strip()) != b"":
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    response = answer(self.rfile.read(length).decode())
                    has_come.set()
                    self.wfile.write(response.removesuffix(_END))
                    if response.endswith(_END):
                        return

        has_come = threading.Event()
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with Load(server.server_address[1], [Target("/x")], connections=2) as load:
            assert has_come.wait(10)
        return load.count

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_answer_with_its_own_token_is_right(count_against: Callable[[_Answer], Count]) -> None:
    count = count_against(lambda token: _response(200, token.encode()))
    assert count.sent == count.answered == count.right > 0
    count.check(failures=0)


def test_an_answer_with_the_token_of_another_is_wrong(
    count_against: Callable[[_Answer], Count],
) -> None:
    count = count_against(lambda token: _response(200, b"token-00000000-"))
    assert count.wrong == count.sent > 0
    with pytest.raises(AssertionError, match="wrong answer to token"):
        count.check()


def test_an_error_with_the_token_of_another_is_wrong(
    count_against: Callable[[_Answer], Count],
) -> None:
    count = count_against(lambda token: _response(503, b"token-00000000-"))
    assert count.wrong == count.sent > 0


def test_an_error_is_counted_by_its_status(count_against: Callable[[_Answer], Count]) -> None:
    count = count_against(lambda token: _response(503, b"no"))
    assert count.failures[503] == count.sent > 0
    count.check()
    with pytest.raises(AssertionError, match="failed"):
        count.check(failures=0)


def test_a_connection_that_ends_without_an_answer_is_a_loss(
    count_against: Callable[[_Answer], Count],
) -> None:
    count = count_against(lambda token: _END)
    assert count.lost == count.sent > 0
    with pytest.raises(AssertionError, match="lost token"):
        count.check()


def test_half_an_answer_is_a_loss(count_against: Callable[[_Answer], Count]) -> None:
    count = count_against(lambda token: _response(200, token.encode())[:-3] + _END)
    assert count.lost == count.sent > 0
