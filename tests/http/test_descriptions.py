"""What describes the routes is rendered from their table, and true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from mms.cli.pages import routes as routes_document
from mms.http.apis.descriptions import describe_routes
from mms.http.apis.management_operations import REGISTER, SCALE
from mms.http.apis.registration_parameters import registration_of, scaling_of
from mms.http.listener_apis import Apis
from mms.http.parameters import Parameters
from mms.http.routing import RouteTable
from mms.interfaces.mlrun.front.v2.operations import document as document_of_v2
from mms.interfaces.seldon.document import document as document_of_seldon

PAGE = Path(__file__).resolve().parents[2] / "docs" / "routes.md"
LISTENERS = {
    "inference": Apis.INFERENCE,
    "management": Apis.MANAGEMENT,
    "both": Apis.INFERENCE | Apis.MANAGEMENT,
}


@pytest.fixture(scope="module")
def tables() -> dict[str, RouteTable]:
    apis = routes_document.apis_without_models()
    return {name: RouteTable(apis.routes(kind)) for name, kind in LISTENERS.items()}


@pytest.mark.parametrize("listener", LISTENERS)
def test_the_description_of_a_listener_is_valid_openapi(tables, listener) -> None:
    validate(describe_routes(tables[listener].routes))


@pytest.mark.parametrize(
    "text",
    [document_of_v2(""), document_of_v2("m:v1"), document_of_seldon("/seldon/m")],
    ids=["v2", "v2 of a model", "seldon"],
)
def test_the_description_of_a_protocol_is_valid_openapi(text: bytes) -> None:
    validate(json.loads(text))


@pytest.mark.parametrize("listener", LISTENERS)
def test_what_is_described_leads_to_the_row_that_describes_it(tables, listener) -> None:
    table = tables[listener]
    for path, operations in describe_routes(table.routes)["paths"].items():
        for method, operation in operations.items():
            route, match = table.match(path.encode(), method.upper())
            ids = [own.id for own in route.operations]
            assert match.is_served, (method, path)
            assert operation["operationId"] in ids, (method, path)


async def test_openapi_is_served_and_mms_has_its_own_form_of_it(make_bench) -> None:
    bench = await make_bench()
    status, head, body = await bench.call("GET", "/openapi.json")
    assert (status, b"content-type: application/json" in head) == (200, True)
    document = json.loads(body)
    validate(document)
    in_mms_form = json.loads((await bench.call("OPTIONS", "/"))[2])
    own = {path for path, operations in document["paths"].items() if not _is_tagged(operations)}
    assert set(in_mms_form["paths"]) == own
    for operations in in_mms_form["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                assert isinstance(parameter["schema"].get("default", ""), str)


def _is_tagged(operations: dict[str, Any]) -> bool:
    return all("tags" in operation for operation in operations.values())


def test_a_registration_s_parameters_are_described_in_the_query_and_in_the_body() -> None:
    read = Parameters({"url": "a", "response_timeout": "1", "gpu_ids": ""})
    registration_of(read, is_json=False)
    in_query = {parameter.name for parameter in REGISTER.parameters}
    assert in_query == read._known
    assert REGISTER.body is not None
    members = REGISTER.body["content"]["application/json"]["schema"]["properties"]
    assert set(members) == {*in_query, "serving_spec"}


def test_what_a_call_may_change_is_described() -> None:
    read = Parameters({})
    scaling_of(read)
    assert {parameter.name for parameter in SCALE.parameters} == read._known


def test_the_page_of_routes_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == routes_document.document(), (
        "run: python -m mms.cli.pages.routes > docs/routes.md"
    )
