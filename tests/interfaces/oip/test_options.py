"""What the parameters of a body say of deadline and priority."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from mms.core.priority_queue import HIGH, LOW, NORMAL
from mms.core.request_options import DEFAULT_OPTIONS, RequestOptions
from mms.errors import BadRequest
from mms.interfaces.oip.front.requests.options import options_of_body
from mms.text.durations import LONGEST_S


def body_of(parameters: Any, count: int = 2) -> bytes:
    return json.dumps({"inputs": [{"data": [1] * count}], "parameters": parameters}).encode()


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({}, DEFAULT_OPTIONS),
        ({"timeout": 0, "priority": 0}, DEFAULT_OPTIONS),
        ({"timeout": 1_500_000}, RequestOptions(1.5, NORMAL)),
        ({"timeout": 2**64 - 1}, RequestOptions(LONGEST_S, NORMAL)),
        ({"priority": 1}, RequestOptions(0.0, HIGH)),
        ({"priority": 2}, RequestOptions(0.0, NORMAL)),
        ({"priority": 3}, RequestOptions(0.0, LOW)),
        ({"priority": 2**64 - 1}, RequestOptions(0.0, LOW)),
    ],
)
async def test_options_are_read_from_bodies_of_any_size(
    parameters: Any, options: RequestOptions
) -> None:
    assert options_of_body(b"", body_of(parameters)) == options
    assert options_of_body(b"", memoryview(body_of(parameters))) == options
    found = options_of_body(b"", body_of(parameters, 40_000))
    assert (await found if inspect.isawaitable(found) else found) == options
    text = body_of(parameters)
    headers = b"Inference-Header-Content-Length\n%d" % len(text)
    assert options_of_body(headers, text + b'"timeout"' * 1000) == options


@pytest.mark.parametrize(
    "parameters",
    [{"timeout": -1}, {"timeout": 1.5}, {"timeout": "1"}, {"timeout": True}, {"priority": None}],
)
async def test_an_option_that_is_no_whole_number_is_refused(parameters: Any) -> None:
    with pytest.raises(BadRequest, match="Parameter (timeout|priority) is .*; a whole number"):
        options_of_body(b"", body_of(parameters))
    with pytest.raises(BadRequest, match="Parameter (timeout|priority) is"):
        found = options_of_body(b"", body_of(parameters, 40_000))
        assert inspect.isawaitable(found)
        await found


@pytest.mark.parametrize(
    "body", [b'{"timeout"', b'["timeout"]', b'{"parameters": "timeout"}', b'"timeout"', b"\xff"]
)
def test_a_body_that_cannot_be_read_names_none(body: bytes) -> None:
    assert options_of_body(b"", body) == DEFAULT_OPTIONS


def test_only_the_json_of_a_body_is_looked_at() -> None:
    text = body_of({})
    headers = b"Host\nx\ninference-header-content-length\n%d" % len(text)
    behind = b'"timeout"' + bytes(5000)
    assert options_of_body(headers, text + behind) is DEFAULT_OPTIONS
