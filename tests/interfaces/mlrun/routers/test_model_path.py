"""Which model and operation a path means."""

from __future__ import annotations

from typing import Any

import pytest

from mms.interfaces.mlrun.errors import status_of
from mms.interfaces.mlrun.routers.model_path import (
    BY_BODY,
    ModelPath,
    parse_model_path,
    resolve_named_route,
    resolve_route,
)

KEYS = ("m1", "m2", "m3:v1", "m3:v2")


@pytest.mark.parametrize(
    ("path", "model", "operation"),
    [
        ("/v2/models/m1/infer", "m1", "infer"),
        ("/v2/models/m1", "m1", ""),
        ("/v2/models/m1/", "m1", ""),
        ("/v2/models/m3/versions/v1/infer", "m3:v1", "infer"),
        ("/v2/models/m3/versions/v1", "m3:v1", ""),
        ("/v2/models/m3:v1/explain", "m3:v1", "explain"),
        ("/v2/models/m1/versions", "m1", "versions"),
        ("/v2/models/m1/a/b/c", "m1", "a/b/c"),
        ("/v2/models/m3/versions/v1/a/b", "m3:v1", "a/b"),
    ],
)
def test_a_path_names_a_model_its_version_and_an_operation(
    path: str, model: str, operation: str
) -> None:
    assert parse_model_path(path) == ModelPath(model, operation)


@pytest.mark.parametrize("path", ["/v2/models", "/v2/models/"])
def test_the_prefix_alone_is_the_list(path: str) -> None:
    assert parse_model_path(path).is_list
    assert resolve_route(path, {"model": "m1"}, KEYS).is_list


@pytest.mark.parametrize("path", ["", "/", None])
def test_no_path_leaves_all_to_the_body(path: str | None) -> None:
    assert parse_model_path(path) == BY_BODY
    assert not BY_BODY.is_list


@pytest.mark.parametrize("path", ["/foo", "/v2/modelsm1/infer", "/v1/models/m1", "v2/models/m1"])
def test_a_path_beside_the_prefix_is_refused(path: str) -> None:
    text = f"^illegal path prefix {path}, must start with /v2/models$"
    with pytest.raises(ValueError, match=text) as caught:
        parse_model_path(path)
    assert status_of(caught.value, True) == 404


@pytest.mark.parametrize(
    ("path", "body", "model", "operation"),
    [
        ("/", {"model": "m2"}, "m2", "infer"),
        ("", {"model": "m3:v2", "operation": "explain"}, "m3:v2", "explain"),
        ("/", {}, "m1", "infer"),
        ("/", [1], "m1", "infer"),
        ("/", None, "m1", "infer"),
        ("/v2/models/m1/infer", {"model": "m2"}, "m1", "infer"),
        ("/v2/models/m1", {"operation": "explain"}, "m1", "explain"),
        ("/v2/models/m1", {"operation": None}, "m1", ""),
        ("/v2/models/m1/infer", {"operation": "explain"}, "m1", "infer"),
    ],
)
def test_a_body_says_what_the_path_does_not(
    path: str, body: Any, model: str, operation: str
) -> None:
    assert resolve_route(path, body, KEYS) == ModelPath(model, operation)


def test_a_bodys_operation_goes_first_where_that_is_allowed() -> None:
    body = {"operation": "explain"}
    found = resolve_route("/v2/models/m1/infer", body, KEYS, has_body_operation=True)
    assert found == ModelPath("m1", "explain")


@pytest.mark.parametrize("path", ["/v2/models/m5/xx", "/v2/models/m3/infer"])
def test_an_unknown_model_is_refused_with_those_that_are_known(path: str) -> None:
    text = r"doesnt exist, available models: m1 \| m2 \| m3:v1 \| m3:v2$"
    with pytest.raises(ValueError, match=text) as caught:
        resolve_route(path, {}, KEYS)
    assert (status_of(caught.value), status_of(caught.value, True)) == (400, 404)


@pytest.mark.parametrize(
    ("path", "method", "model", "operation"),
    [
        ("/v2/models/infer", "POST", "E", "infer"),
        ("/v2/models/explain", "POST", "E", "explain"),
        ("/v2/models/E/predict", "POST", "E", "predict"),
        ("/v2/models/E", "GET", "E", ""),
        ("/v2/models/E", "POST", "E", "infer"),
        ("/v2/models/E/reward", "POST", "E", "reward"),
        ("/", "POST", "E", "infer"),
        ("/v2/models/m1/infer", "POST", "m1", "infer"),
        ("/v2/models/m3/versions/v2", "GET", "m3:v2", ""),
        ("/v2/models", "GET", "", ""),
    ],
)
def test_a_router_with_a_name_is_asked_by_it_or_by_an_operation_alone(
    path: str, method: str, model: str, operation: str
) -> None:
    assert resolve_named_route(path, method, KEYS, "E") == ModelPath(model, operation)


@pytest.mark.parametrize(
    ("path", "is_allowed", "operation"),
    [
        ("/", False, "explain"),
        ("/v2/models/E", False, "explain"),
        ("/v2/models/m1", False, "explain"),
        ("/v2/models/infer", False, "infer"),
        ("/v2/models/infer", True, "explain"),
        ("/v2/models/m1/infer", False, "infer"),
        ("/v2/models/m1/infer", True, "explain"),
    ],
)
def test_a_body_gives_a_named_router_the_operation_that_the_path_does_not(
    path: str, is_allowed: bool, operation: str
) -> None:
    body = {"operation": "explain", "model": "m2"}
    found = resolve_named_route(path, "POST", KEYS, "E", body=body, has_body_operation=is_allowed)
    assert found.operation == operation
    assert found.model == ("m1" if "m1" in path else "E")


def test_a_model_that_is_called_like_an_operation_can_be_asked() -> None:
    keys = ("infer", "m1")
    assert resolve_named_route("/v2/models/infer/infer", "POST", keys, "E").model == "infer"
    assert resolve_named_route("/v2/models/infer", "GET", keys, "E").model == "infer"
    assert resolve_named_route("/v2/models/infer", "POST", keys, "E").model == "E"


def test_a_router_with_a_name_tells_what_may_be_asked() -> None:
    text = (
        "available models: m1 | m2 | m3:v1 | m3:v2 | E or an operation alone for ensemble operation"
    )
    with pytest.raises(ValueError, match="doesnt exist") as caught:
        resolve_named_route("/v2/models/m5/infer", "POST", KEYS, "E")
    assert str(caught.value).endswith(text)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"model": "m3", "version": "v2"}, "m3:v2"),
        ({"model": "m3:v2"}, "m3:v2"),
        ({"model": "m3:v1", "version": "v9"}, "m3:v1"),
        ({"model": "m1", "version": ""}, "m1"),
        ({"model": "m1", "version": None}, "m1"),
        ({"version": "v2"}, "m1"),
    ],
)
def test_a_bodys_version_is_that_of_the_model_that_it_names(body: Any, key: str) -> None:
    assert resolve_route("/", body, KEYS).model == key


def test_a_bodys_version_may_be_a_number() -> None:
    assert resolve_route("", {"model": "m", "version": 2}, ("m:1", "m:2")).model == "m:2"


@pytest.mark.parametrize("model", ["m3", "m1"])
def test_a_version_that_is_not_there_is_an_unknown_model(model: str) -> None:
    with pytest.raises(ValueError, match=f"model {model}:v9 doesnt exist, available models: m1"):
        resolve_route("/", {"model": model, "version": "v9"}, KEYS)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"model": 5}, "the body's model must be a text, not int"),
        ({"model": "m1", "version": ["v1"]}, "the body's version must be a text, not list"),
        ({"model": "m1", "version": True}, "the body's version must be a text, not bool"),
    ],
)
def test_a_model_or_version_that_is_no_text_is_refused(body: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        resolve_route("/", body, KEYS)
    assert status_of(caught.value, True) == 422


def test_a_path_that_names_a_model_decides_its_version() -> None:
    body = {"model": "m3", "version": "v2"}
    assert resolve_route("/v2/models/m1/infer", body, KEYS).model == "m1"
    assert resolve_route("/v2/models/m3/versions/v1/infer", body, KEYS).model == "m3:v1"
