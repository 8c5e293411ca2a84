"""The CORS properties."""

from __future__ import annotations

import pytest
from support.client import Reply
from support.server import Server

pytestmark = pytest.mark.edge


def _assert_cors(reply: Reply) -> None:
    assert reply.header("access-control-allow-origin") == "https://example.org"
    assert reply.header("access-control-allow-methods") == "GET, POST, PUT, OPTIONS"
    assert reply.header("access-control-allow-headers") == "X-Custom-Header"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ping", 200),
        ("POST", "/predictions/noop", 200),
        ("GET", "/predictions/absent", 404),
        ("GET", "/", 405),
        ("OPTIONS", "/", 200),
        ("OPTIONS", "/predictions/noop", 200),
        ("GET", "/models", 200),
        ("GET", "/models/absent", 404),
        ("POST", "/models", 400),
    ],
)
def test_every_answer_has_the_configured_headers(
    combined: Server, method: str, path: str, status: int
) -> None:
    reply = combined.inference.request(method, path)
    assert reply.status == status
    _assert_cors(reply)


def test_a_failed_prediction_has_them_too(combined: Server) -> None:
    reply = combined.inference.post(f"/predictions/{combined.shared('invalid')}", b"x")
    assert reply.status == 503
    _assert_cors(reply)


def test_a_handlers_own_value_wins(combined: Server) -> None:
    path = f"/predictions/{combined.shared('obey')}"
    order = {"headers": [["Access-Control-Allow-Origin", "https://other.example"]]}
    reply = combined.inference.post_json(path, order)
    assert reply.status == 200
    assert reply.header("access-control-allow-origin") == "https://other.example"
    assert reply.header("access-control-allow-methods") == "GET, POST, PUT, OPTIONS"


def test_the_origin_of_the_request_does_not_matter(combined: Server) -> None:
    _assert_cors(combined.inference.get("/ping", headers={"Origin": "https://evil.example"}))


def test_without_the_properties_there_are_no_such_headers(server: Server) -> None:
    for path in ("/ping", "/predictions/noop", "/absent"):
        names = [name.lower() for name, _ in server.inference.get(path).headers]
        assert not [name for name in names if name.startswith("access-control")]


@pytest.mark.better_than_mms
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/models?url=noop"), ("PUT", "/models/noop"), ("DELETE", "/models/noop")],
)
def test_a_page_of_another_site_may_not_change_models(
    server: Server, method: str, path: str
) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    reply = server.management.request(method, path, b"", headers)
    assert reply.status == 403
    assert "Pages of https://evil.example may not manage models" in reply.json()["message"]
    assert server.management.get("/models/noop").status == 200


@pytest.mark.better_than_mms
def test_a_page_may_ask_for_a_prediction_also_where_one_port_has_both(combined: Server) -> None:
    headers = {"Origin": "https://evil.example"}
    assert combined.inference.post("/predictions/noop", b"x", headers=headers).status == 200
    assert combined.inference.post("/models/noop/invoke", b"x", headers=headers).status == 200
    assert combined.management.post("/models?url=noop", b"", headers=headers).status == 403
    headers = {"Origin": "https://example.org"}
    assert combined.management.post("/models?url=absent", b"", headers=headers).status == 404
