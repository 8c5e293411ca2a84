"""Headers that a handler sets for a request of tensors."""

from __future__ import annotations

import json
from typing import Any

from mms.wire import ModelOperation
from mms.wire.answer_head import MAX_HEADERS_BYTES

from .front import Answer, Request
from .test_batch_runner import Bench

_INPUT = {"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}


def answer_with(headers: dict[str, Any], **parameters: Any) -> Answer:
    def handle(data: Any, context: Any) -> Any:
        for name, value in headers.items():
            context.set_response_header(0, name, value)
        return [item["inputs"]["x"] for item in data]

    body = json.dumps({"inputs": [_INPUT], "parameters": parameters}).encode()
    asked = Request(body, operation=ModelOperation("infer", protocol="oip-json"))
    return Bench(handle).run(asked).answers[0]


def test_headers_of_a_handler_go_out_behind_those_of_the_tensors() -> None:
    answer = answer_with({"X-Model": "a", "Vary": "x-tenant"})
    assert (answer.status, json.loads(answer.body)["outputs"][0]["data"]) == (200, [1])
    assert answer.headers == ("content-type: application/json\r\nX-Model: a\r\nVary: x-tenant\r\n")


def test_headers_that_say_how_a_body_is_written_are_left_to_the_tensors() -> None:
    answer = answer_with(
        {
            "Content-Type": "text/plain",
            "Content-Length": "3",
            "Content-Encoding": "br",
            "Inference-Header-Content-Length": "7",
        }
    )
    assert (answer.status, answer.headers) == (200, "content-type: application/json\r\n")


def test_headers_that_cannot_be_sent_fail_the_request_and_say_why() -> None:
    answer = answer_with({"X-Model": 5})
    assert answer.status == 500
    assert b"value of response header X-Model is not text, but int" in answer.body


def test_headers_that_are_too_large_with_those_of_the_tensors_fail_the_request() -> None:
    own = len(answer_with({}, binary_data_output=True).headers)
    fitting = MAX_HEADERS_BYTES - own - len("x: \r\n")
    assert answer_with({"x": "a" * fitting}, binary_data_output=True).status == 200
    refused = answer_with({"x": "a" * (fitting + 1)}, binary_data_output=True)
    assert refused.status == 500
    assert b"the response headers have 65537 bytes" in refused.body
