"""Whose id a request has: the server's own, or with `trust_request_id` the client's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.server import Server, ServerPool, by_lane

pytestmark = [pytest.mark.edge, pytest.mark.better_than_mms]

GetServer = Callable[[str], Server]


@pytest.fixture(scope="module")
def trusting(servers: ServerPool) -> Iterator[GetServer]:
    def make(directory: Path, lane: str) -> Server:
        settings = {
            "lane": lane,
            "trust_request_id": "true",
            "default_workers_per_model": "1",
            "cors_allowed_origin": "https://example.org",
            "cors_allowed_methods": "GET, POST, PUT, DELETE",
        }
        return Server(directory, settings)

    yield from by_lane(servers, make)


@pytest.mark.parametrize(
    "given", ["a", "7" * 32, "0c55a4b2-9d3e-4f0a-8f7e-0a1b2c3d4e5f", "Root=1-5759e988@x/y+z~_."]
)
def test_a_sane_id_of_a_client_is_the_requests(trusting: GetServer, lane: str, given: str) -> None:
    server = trusting(lane)
    for path in (f"/predictions/{server.shared('inspect')}", "/ping", "/predictions/absent"):
        reply = server.inference.post(path, b"x", headers={"X-Request-Id": given})
        assert reply.header("x-request-id") == given
        if "inspect" in path:
            assert reply.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", " ", "a" * 37, "a b", "ü", "a,b", "<x>", 'a"b'])
def test_another_one_is_passed_over(trusting: GetServer, lane: str, given: str) -> None:
    server = trusting(lane)
    for path in ("/ping", f"/predictions/{server.shared('echo')}"):
        reply = server.inference.post(path, b"x", headers={"x-request-id": given})
        assert len(reply.header("x-request-id") or "") == 36
        assert reply.header("x-request-id") != given


def test_without_the_setting_the_server_makes_its_own(server: Server) -> None:
    for path in ("/ping", "/predictions/noop"):
        reply = server.inference.post(path, b"x", headers={"x-request-id": "mine"})
        assert reply.header("x-request-id") != "mine"


@pytest.mark.parametrize("path", ["/models", "/models/absent", "/models/absent/1.0", "/metrics"])
def test_a_browsers_question_before_it_manages_models_is_answered(
    trusting: GetServer, lane: str, path: str
) -> None:
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "DELETE"}
    reply = trusting(lane).management.options(path, headers=headers)
    assert reply.status == 200
    assert reply.header("access-control-allow-origin") == "https://example.org"
    assert "DELETE" in (reply.header("access-control-allow-methods") or "")


def test_without_the_cors_settings_it_is_refused(main_server: Server) -> None:
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "DELETE"}
    reply = main_server.management.options("/models/noop", headers=headers)
    assert reply.status == 405
    assert reply.header("access-control-allow-origin") is None
