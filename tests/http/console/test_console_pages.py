"""Which pages may use the console, and what of a model's answer reaches a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mms.core import Request
from mms.errors import ServiceUnavailable

OWN = "Host: 127.0.0.1"
PREDICT = "/console/api/predictions/m"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", PREDICT), ("DELETE", "/console/api/models/m"), ("POST", "/console/login")),
        *(("POST", "/console/logout"), ("PUT", "/console/api/models/m")),
    ],
)
async def test_a_page_of_another_site_changes_and_tries_nothing(
    make_bench: Any, method: str, path: str
) -> None:
    bench = await make_bench()
    for origin in ("https://evil.example", "null", "http://localhost:3000"):
        status, _, _ = await bench.call(method, path, b"x", OWN, f"Origin: {origin}")
        assert status == 403, origin
    assert bench.host.requests == []


@pytest.mark.parametrize(
    "path", ["/console", "/console/snapshot", "/console/session", "/console/events"]
)
async def test_a_name_that_leads_here_is_shown_nothing_of_the_console(
    make_bench: Any, path: str
) -> None:
    bench = await make_bench()
    status, _, body = await bench.call("GET", path, b"", "Host: evil.example:8081")
    assert status == 403 and b"management_hosts" in body


async def test_of_a_model_s_answer_a_browser_gets_data_and_its_type_alone(make_bench: Any) -> None:
    bench = await make_bench()

    def answer(request: Request) -> None:
        lines = (
            b"content-type: text/html\r\nset-cookie: a=b; Path=/\r\nlocation: /console\r\n"
            b"content-security-policy: default-src *\r\nrefresh: 0;url=/\r\nx-own: 1\r\n"
        )
        request.answer(200, b"", lines, b"<script>alert(1)</script>")

    bench.host.on_submit = answer
    status, head, body = await bench.call("POST", PREDICT, b"x", OWN)
    assert status == 200 and body == b"<script>alert(1)</script>"
    lines = head.lower()
    assert b"content-type: text/html" in lines
    assert b"content-security-policy: default-src 'none'; sandbox" in lines
    assert b"x-content-type-options: nosniff" in lines
    for name in (b"set-cookie", b"location", b"refresh", b"x-own", b"default-src *"):
        assert name not in lines


async def test_a_model_is_tried_by_post_alone(make_bench: Any) -> None:
    bench = await make_bench()
    for method in ("GET", "PUT"):
        assert (await bench.call(method, PREDICT, b"", OWN))[0] == 405


async def test_without_keys_everybody_who_manages_has_the_console(make_bench: Any) -> None:
    bench = await make_bench()
    _, _, body = await bench.call("GET", "/console/session", b"", OWN)
    assert json.loads(body) == {"hasKeys": False, "roles": ["inference", "management", "metrics"]}
    status, _, body = await bench.call("GET", "/console/snapshot", b"", OWN)
    found = json.loads(body)
    assert status == 200 and found["models"] == [] and found["server"]["health"] == "Healthy"


async def test_what_the_console_itself_is_refused_is_not_among_the_errors(
    make_bench: Any,
) -> None:
    bench = await make_bench()
    assert (await bench.call("GET", "/console/none.js", b"", OWN))[0] == 404
    bench.host.on_submit = lambda request: request.fail(ServiceUnavailable("No worker."))
    assert (await bench.call("POST", PREDICT, b"x", OWN))[0] == 503
    _, _, body = await bench.call("GET", "/console/snapshot", b"", OWN)
    assert [error["message"] for error in json.loads(body)["errors"]] == ["No worker."]


async def test_an_error_that_a_client_got_is_shown_with_the_id_of_its_request(
    make_bench: Any,
) -> None:
    bench = await make_bench()
    _, head, _ = await bench.call("POST", "/predictions/unknown", b"x")
    _, _, body = await bench.call("GET", "/console/snapshot", b"", OWN)
    (error,) = json.loads(body)["errors"]
    # A name that a client makes up is no model.
    assert error["status"] == 404 and error["model"] == ""
    assert error["message"] == "Model not found: unknown"
    assert f"x-request-id: {error['requestId']}".encode() in head
