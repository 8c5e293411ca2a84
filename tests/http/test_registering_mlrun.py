"""What a registration says of a model server of MLRun."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mms.errors import BadRequest
from mms.http.apis.registration_parameters import registration_of
from mms.http.parameters import Parameters
from mms.interfaces.mlrun.registration import ServerParameters


def registered(parameters: dict[str, Any], *, is_json: bool) -> ServerParameters:
    return registration_of(Parameters(parameters), is_json=is_json).mlrun


def test_a_query_and_a_json_body_say_the_same() -> None:
    members = {"class_args": {"a": 1}, "function_parameters": {"b": [2]}}
    query: dict[str, Any] = {name: json.dumps(value) for name, value in members.items()}
    query |= {"model_path": "s3://b/m", "input_path": "a.b", "result_path": "c"}
    query |= {"load_mode": "async", "row_wise": "true", "nan_policy": "keep"}
    query["strict_status"] = "false"
    body: dict[str, Any] = {**query, **members, "row_wise": True, "strict_status": False}
    found = registered({"url": "m.mar", **query}, is_json=False)
    assert found == registered({"url": "m.mar", **body}, is_json=True)
    assert found.given() == {**query, **members, "row_wise": True, "strict_status": False}


def test_without_these_parameters_nothing_is_said() -> None:
    assert registered({"url": "m.mar", "row_wise": ""}, is_json=False).given() == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("load_mode", "lazy", "Parameter load_mode must be sync or async, not 'lazy'"),
        ("nan_policy", "drop", "Parameter nan_policy must be null or keep or error"),
        ("class_args", "[1]", "Parameter class_args must be a JSON object"),
        ("class_args", "{", "Parameter class_args is not valid JSON"),
        ("row_wise", "maybe", "Parameter row_wise must be true or false"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(name: str, value: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        registered({"url": "m.mar", name: value}, is_json=False)
