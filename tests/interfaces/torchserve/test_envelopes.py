"""Envelopes unwrap requests and wrap answers as TorchServe's do, and keep the requests of a batch apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from handler_cases import CASES, JSON, Call
from torchserve_answers import RECORDED

from mms.interfaces.torchserve.context import Context
from mms.interfaces.torchserve.worker.handler import wrap_envelope
from mms.worker.requests.indented_json import indented

pytestmark = pytest.mark.usefixtures("ts_package")

ANSWERS = json.loads(RECORDED.read_text(encoding="utf-8"))
NAMES = [name for name in CASES if CASES[name].envelope]


def wrapped(name: str) -> Any:
    scope: dict[str, Any] = {}
    exec(CASES[name].source, scope)
    return wrap_envelope(CASES[name].envelope, scope["handle"])


def context_of(name: str, size: int = 1) -> Context:
    manifest = {"model": {"modelName": name, "modelVersion": "1.0"}}
    context = Context(name, "", manifest, size, None, "")
    ids = [f"id-{place}".encode() for place in range(size)]
    context._begin(ids, [""] * size, [b""] * size)
    return context


def row_of(call: Call) -> dict[str, Any]:
    is_json = call.content_type == JSON
    return {"body": json.loads(call.body) if is_json else bytearray(call.body)}


@pytest.mark.parametrize("name", NAMES)
def test_an_envelope_answers_as_torchserves(name: str) -> None:
    handle = wrapped(name)
    for call, recorded in zip(CASES[name].calls, ANSWERS[name], strict=True):
        if recorded["status"] != 200:
            with pytest.raises(KeyError):
                handle([row_of(call)], context_of(name))
            continue
        (value,) = handle([row_of(call)], context_of(name))
        assert (value if isinstance(value, str) else indented(value)) == recorded["body"]


@pytest.mark.parametrize(
    ("name", "rows", "answers"),
    [
        (
            "envelope_kserve",
            [{"instances": [1, 2]}, {"instances": [3]}],
            [{"predictions": [1, 2]}, {"predictions": [3]}],
        ),
        (
            "envelope_json",
            [{"instances": [1, 2]}, {"instances": [3]}],
            ['{"predictions": [1, 2]}', '{"predictions": [3]}'],
        ),
    ],
)
def test_each_request_of_a_batch_gets_its_own_results(
    name: str, rows: list[Any], answers: list[Any]
) -> None:
    data = [{"body": row} for row in rows]
    assert wrapped(name)(data, context_of(name, len(rows))) == answers


def test_each_request_of_a_batch_gets_its_own_outputs() -> None:
    name = "envelope_kservev2"
    tensor = {"name": "x", "shape": [1], "datatype": "INT64"}
    rows = [{"inputs": [{**tensor, "data": [value]}]} for value in (1, 2)]
    answers = wrapped(name)([{"body": row} for row in rows], context_of(name, 2))
    assert [(answer["id"], answer["outputs"][0]["data"]) for answer in answers] == [
        ("id-0", [1]),
        ("id-1", [2]),
    ]


def test_an_unknown_envelope_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="service_envelope is other"):
        wrap_envelope("other", print)
