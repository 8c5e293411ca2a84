"""Requests and answers of any interface as records tell them."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from mms.wire import GraphNode, Item, ModelOperation
from mms.worker.records.record_values import error_of, operation_of, request_of, response_of

ID = "0" * 36


def item(
    body: bytes = b"",
    content_type: bytes = b"",
    operation: ModelOperation | None = None,
    query: bytes = b"",
) -> Item:
    return ID.encode(), 0, content_type, query, b"", 0, body, operation


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([1, 2], {"inputs": [1, 2]}),
        (5, {"inputs": [5]}),
        ({"a": 1}, {"inputs": [{"a": 1}]}),
        ({"inputs": [[1]], "parameters": {}}, {"inputs": [[1]], "parameters": {}}),
        ({"id": "own", "inputs": [1]}, {"id": "own", "inputs": [1]}),
        (
            {"data": {"names": ["a", "b"], "ndarray": [[1, 2]]}},
            {"inputs": [[1, 2]], "names": ["a", "b"]},
        ),
        (
            {"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}},
            {"inputs": [[1, 2], [3, 4]]},
        ),
        ({"data": {"tensor": {"shape": [3, 2], "values": [1, 2]}}}, {"inputs": [1, 2]}),
        ({"strData": "text"}, {"inputs": ["text"]}),
        ({"jsonData": {"a": 1}}, {"inputs": [{"a": 1}]}),
    ],
)
def test_json_is_told_as_a_list_of_inputs(document: Any, told: dict[str, Any]) -> None:
    found = request_of(item(json.dumps(document).encode(), b"application/json"))
    assert found == {"id": ID, **told}


def test_text_is_one_input_and_bytes_are_their_size() -> None:
    assert request_of(item(b"some text", b"text/plain"))["inputs"] == ["some text"]
    assert request_of(item(b"\xff\xd8\0", b"image/jpeg")) == {
        "id": ID,
        "inputs": [],
        "content_type": "image/jpeg",
        "size_bytes": 3,
    }


def test_a_query_without_a_body_is_the_input() -> None:
    assert request_of(item(query=b"a=1&b=x%20y"))["inputs"] == [{"a": "1", "b": "x y"}]


def test_text_that_only_begins_like_json_is_text() -> None:
    assert request_of(item(b"[not json", b""))["inputs"] == ["[not json"]


def test_an_answer_has_the_requests_id_and_its_outputs() -> None:
    headers = b"x-other: 1\r\ncontent-type: application/json\r\n"
    assert response_of("r1", headers, b"[0.5]") == {"id": "r1", "outputs": [0.5]}
    assert response_of("r1", headers, b'{"outputs": {"a": 1}}') == {
        "outputs": {"a": 1},
        "id": "r1",
    }
    assert response_of("r1", b"", b"") == {"id": "r1", "outputs": []}


@pytest.mark.parametrize(
    ("coding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
)
def test_an_answer_that_is_compressed_is_told_as_without_its_coding(
    coding: bytes, compress: Any
) -> None:
    headers = b"content-type: application/json\r\nContent-Encoding: %b\r\n" % coding
    assert response_of("r1", headers, compress(b"[0.5]")) == {"id": "r1", "outputs": [0.5]}
    assert error_of(b"Bad", headers, compress(b"no such column")) == "no such column"


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"br", b"[0.5]"),
        (b"gzip", gzip.compress(b"[0.5]", mtime=0)[:-1]),
        (b"gzip", gzip.compress(b"[%b0]" % (b"0," * (1 << 20)), mtime=0)),
    ],
)
def test_an_answer_that_cannot_be_inflated_or_only_to_too_much_is_its_size_and_coding(
    coding: bytes, body: bytes
) -> None:
    headers = b"content-type: text/csv\r\ncontent-encoding: %b\r\n" % coding
    assert response_of("r1", headers, body) == {
        "id": "r1",
        "outputs": [],
        "content_type": "text/csv",
        "content_encoding": coding.decode(),
        "size_bytes": len(body),
    }
    assert error_of(b"Bad", headers, body) == "Bad"


@pytest.mark.parametrize(
    ("asked", "operation"),
    [
        (None, "predict"),
        (ModelOperation("transform-input", node=GraphNode("x")), "transform-input"),
        (ModelOperation(), "predict"),
        (ModelOperation(method="GET"), None),
        (ModelOperation("ready", "GET"), None),
        (ModelOperation("metadata"), None),
    ],
)
def test_questions_about_the_model_are_no_business_of_records(
    asked: ModelOperation | None, operation: str | None
) -> None:
    assert operation_of(item(operation=asked)) == operation
