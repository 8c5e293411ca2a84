"""Records posted to an endpoint."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mms.tracking import Undelivered
from mms.tracking.http_sink import HttpSink


class Endpoint(ThreadingHTTPServer):
    """Notes what is posted. `statuses` are its next answers, 200 when there are none."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: list[tuple[str, str, bytes]] = []
        self.connections: set[tuple[str, int]] = set()
        self.statuses: list[int] = []
        self.hangs_up = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, self.headers["Content-Type"], body))
        self.server.connections.add(self.client_address)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        text = b"told"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        # As a server does that closes idle connections, without a word.
        self.close_connection = self.server.hangs_up

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_each_record_is_a_post_of_json_over_one_connection(endpoint: Endpoint) -> None:
    sink = HttpSink(f"{endpoint.url}/in?key=1", headers={"X-Key": "k"})
    sink.write([b'{"n":1}', b'{"n":2}'])
    sink.close()
    assert endpoint.posts == [
        ("/in?key=1", "application/json", b'{"n":1}'),
        ("/in?key=1", "application/json", b'{"n":2}'),
    ]
    assert len(endpoint.connections) == 1


def test_several_records_can_go_in_one_post(endpoint: Endpoint) -> None:
    sink = HttpSink(endpoint.url, records_per_post=2)
    sink.write([b"1", b"2", b"3"])
    sink.close()
    assert [body for _, _, body in endpoint.posts] == [b"1\n2", b"3"]
    assert {media_type for _, media_type, _ in endpoint.posts} == {"application/x-ndjson"}


@pytest.mark.parametrize(("status", "can_retry"), [(400, False), (404, False), (503, True)])
def test_what_the_endpoint_refuses_says_whether_to_try_again(
    endpoint: Endpoint, status: int, can_retry: bool
) -> None:
    endpoint.statuses = [200, status]
    sink = HttpSink(endpoint.url)
    with pytest.raises(Undelivered, match=f"answered {status}: told") as raised:
        sink.write([b"1", b"2", b"3"])
    assert (raised.value.delivered, raised.value.can_retry) == (1, can_retry)
    sink.close()


def test_a_connection_that_the_endpoint_closed_while_idle_is_made_anew(endpoint: Endpoint) -> None:
    sink = HttpSink(endpoint.url)
    endpoint.hangs_up = True
    for number in range(3):
        sink.write([json.dumps(number).encode()])
    sink.close()
    assert [body for _, _, body in endpoint.posts] == [b"0", b"1", b"2"]


def test_an_endpoint_that_is_away_may_come_back(endpoint: Endpoint) -> None:
    sink = HttpSink("http://127.0.0.1:1/")
    with pytest.raises(Undelivered) as raised:
        sink.write([b"1"])
    assert raised.value.can_retry
    assert raised.value.delivered == 0
