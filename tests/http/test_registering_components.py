"""The parameters of POST /models that are for components, as a query and as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from mms.errors import BadRequest
from mms.http.apis.registration_parameters import registration_of
from mms.http.parameters import Parameters
from mms.serving import RegisterOptions


def registered(parameters: dict[str, Any], *, is_json: bool) -> RegisterOptions:
    return registration_of(Parameters(parameters), is_json=is_json)


PARAMETER = {"name": "n", "value": "5", "type": "INT"}


def test_a_query_gives_parameters_as_json_text() -> None:
    options = registered(
        {
            "url": "m.mar",
            "interface": "seldon",
            "service_type": "ROUTER",
            "parameters": '[{"name": "n", "value": "5", "type": "INT"}]',
            "model_uri": "s3://b/k",
            "row_batching": "true",
            "validate_inputs": "true",
        },
        is_json=False,
    )
    assert options.interface == "seldon"
    assert options.seldon.service_type == "ROUTER"
    assert options.parameters == [PARAMETER]
    assert options.model_uri == "s3://b/k"
    assert options.value_of("row_batching") is True
    assert options.value_of("validate_inputs") is True


def test_a_json_body_may_give_parameters_as_a_list() -> None:
    assert registered({"url": "m", "parameters": [PARAMETER]}, is_json=True).parameters == [
        PARAMETER
    ]


def test_a_prepackaged_server_with_a_model_uri_needs_no_url() -> None:
    options = registered({"prepackaged": "sklearn", "model_uri": "/m"}, is_json=False)
    assert options.url == ""


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"prepackaged": "sklearn"}, "Parameter model_uri is required"),
        ({"model_uri": "/m"}, "Parameter url is required"),
        (
            {"url": "m", "interface": "rest"},
            "Parameter interface must be auto or mlrun or oip or seldon",
        ),
        ({"url": "m", "parameters": "["}, "Parameter parameters is not valid JSON"),
        ({"url": "m", "row_batching": "maybe"}, "Parameter row_batching must be true or false"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        registered(parameters, is_json=False)
