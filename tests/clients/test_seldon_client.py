"""SeldonClient, the real one and ours, gets from this server what Seldon's own would give it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from .drivers import Driver, array, some_bytes
from .serving import Place

ROWS = array([1.0, 2.5], [3.0, -4.0])
DOUBLED = [2.0, 5.0, 6.0, -8.0]
BYTES = b"\x89PNG\x00\xff" + bytes(range(256))
COLUMNS = {"columns": ["a", "b"]}

Client = dict[str, Any]


@pytest.fixture
def gateway(request: pytest.FixtureRequest, place: Place, transport: str) -> Client:
    """What a SeldonClient is made with to call through that gateway."""
    return {
        "gateway": request.param,
        "transport": transport,
        "gateway_endpoint": place.endpoint(transport),
        "deployment_name": place.name,
        "namespace": "default",
    }


@pytest.fixture
def component(place: Place, transport: str) -> Client:
    """What a SeldonClient is made with to call the component itself."""
    return {"microservice_endpoint": place.endpoint(transport), "transport": transport}


def result(outcome: dict[str, Any]) -> dict[str, Any]:
    assert (outcome.get("success"), outcome["msg"]) == (True, ""), outcome
    response = outcome["response"]
    assert isinstance(response, dict), outcome
    return response


def numbers(data: dict[str, Any]) -> tuple[list[int], list[float]]:
    """(shape, values) of a tensor or of rows."""
    if "tensor" in data:
        return [int(n) for n in data["tensor"]["shape"]], data["tensor"]["values"]
    rows = data["ndarray"]
    return [len(rows), len(rows[0])], [value for row in rows for value in row]


# Through a gateway


@pytest.mark.parametrize("return_type", ["dict", "proto"])
@pytest.mark.parametrize("form", ["tensor", "ndarray"])
def test_numbers_come_back_in_the_form_in_which_they_went(
    driver: Driver, gateway: Client, form: str, return_type: str
) -> None:
    made_with = gateway | {"client_return_type": return_type, "payload_type": form}
    outcome = driver.ask("predict", made_with, data=ROWS, names=["a", "b"])
    response = result(outcome)
    assert outcome["response_type"] == ("dict" if return_type == "dict" else "SeldonMessage")
    assert set(response["data"]) == {"names", form}
    assert response["data"]["names"] == ["t:0", "t:1"]
    assert numbers(response["data"]) == ([2, 2], DOUBLED)
    assert response["meta"]["tags"] == COLUMNS


@pytest.mark.parametrize("return_type", ["dict", "proto"])
@pytest.mark.parametrize(
    ("name", "content", "field", "expected"),
    [
        ("str_data", "é \u2028", "strData", "é \u2028"),
        ("bin_data", some_bytes(BYTES), "binData", base64.b64encode(BYTES).decode()),
        ("json_data", {"a": [1.5, None, {"b": "c"}]}, "jsonData", {"a": [1.5, None, {"b": "c"}]}),
    ],
)
def test_text_bytes_and_json_come_back_as_they_went(
    driver: Driver,
    gateway: Client,
    name: str,
    content: Any,
    field: str,
    expected: Any,
    return_type: str,
) -> None:
    made_with = gateway | {"client_return_type": return_type}
    response = result(driver.ask("predict", made_with, **{name: content}))
    assert response == {field: expected, "meta": {"tags": {"columns": []}}}


def test_random_data_of_the_shape_is_answered(driver: Driver, gateway: Client) -> None:
    assert numbers(result(driver.ask("predict", gateway, shape=[3, 4]))["data"])[0] == [3, 4]


@pytest.mark.parametrize("form", ["ambassador", "seldon"])
def test_tags_of_the_argument_meta_come_back(driver: Driver, place: Place, form: str) -> None:
    made_with = {
        "gateway": form,
        "gateway_endpoint": place.endpoint("rest"),
        "deployment_name": place.name,
    }
    tags = {"batch": "b", "n": 1.0}
    response = result(driver.ask("predict", made_with, data=ROWS, names=["a", "b"], meta=tags))
    assert response["meta"]["tags"] == tags | COLUMNS


def test_a_raw_message_is_sent_as_it_is(driver: Driver, gateway: Client) -> None:
    raw = {"data": {"names": ["a", "b"], "ndarray": [["1", "x"]]}, "meta": {"puid": "p"}}
    response = result(driver.ask("predict", gateway, raw_data=raw))
    assert response["data"] == {"names": ["t:0", "t:1"], "ndarray": [["1", "x"]]}
    assert response["meta"] == {"puid": "p", "tags": COLUMNS}


def test_a_gateway_without_a_namespace_finds_the_model(driver: Driver, gateway: Client) -> None:
    made_with = gateway | {"namespace": None}
    assert numbers(result(driver.ask("predict", made_with, data=ROWS))["data"])[1] == DOUBLED


def test_a_prefix_or_a_path_of_one_s_own_and_headers_are_taken(
    driver: Driver, place: Place
) -> None:
    made_with = {
        "gateway_endpoint": place.endpoint("rest"),
        "deployment_name": place.name,
        "namespace": "space",
    }
    for arguments in (
        {"gateway_prefix": f"/seldon/other/{place.name}"},
        {"http_path": "/api/v0.1/predictions"},
        {"headers": {"seldon-puid": "mine", "X-Other": "1"}},
    ):
        response = result(driver.ask("predict", made_with, data=ROWS, **arguments))
        assert numbers(response["data"])[1] == DOUBLED


def test_a_token_is_no_hindrance(driver: Driver, gateway: Client, transport: str) -> None:
    made_with = gateway | {"call_credentials": {"token": "secret"}}
    # A token alone makes it https.
    secured = {"ssl": False} if transport == "rest" else {}
    response = result(driver.ask("predict", made_with, data=ROWS, **secured))
    assert numbers(response["data"])[1] == DOUBLED


@pytest.mark.parametrize("return_type", ["dict", "proto"])
def test_a_component_s_error_reaches_the_caller(
    driver: Driver, gateway: Client, transport: str, return_type: str
) -> None:
    made_with = gateway | {"client_return_type": return_type}
    outcome = driver.ask("predict", made_with, str_data="refuse")
    assert outcome["success"] is False
    if transport == "grpc":
        assert outcome["response"] is None
        assert "refused" in outcome["msg"]
        return
    assert outcome["msg"] == "403:Forbidden"
    assert (outcome["response"]["status"]["info"], outcome["response"]["status"]["reason"]) == (
        "refused",
        "REFUSED",
    )


def test_a_model_that_is_not_there_is_no_success(
    driver: Driver, place: Place, transport: str
) -> None:
    made_with = {
        "gateway_endpoint": place.endpoint(transport),
        "transport": transport,
        "deployment_name": "absent",
    }
    outcome = driver.ask("predict", made_with, data=ROWS)
    assert outcome["success"] is False
    assert ("404:Not Found" if transport == "rest" else "absent") in outcome["msg"]


@pytest.mark.parametrize("return_type", ["dict", "proto"])
@pytest.mark.parametrize("form", ["tensor", "ndarray"])
def test_feedback_takes_request_reply_truth_and_reward(
    driver: Driver, gateway: Client, form: str, return_type: str
) -> None:
    made_with = gateway | {"client_return_type": return_type, "payload_type": form}
    # Seldon's own client cannot put a reply that is a dict into feedback.
    predicted = driver.ask("predict", gateway | {"client_return_type": "proto"}, data=array([1.0]))
    number = predicted["number"]
    outcome = driver.ask(
        "feedback",
        made_with,
        prediction_request={"earlier": [number, "request"]},
        prediction_response={"earlier": [number, "response"]},
        prediction_truth={"message": {"data": {"ndarray": [7.0]}}},
        reward=0.5,
    )
    assert [round(value, 6) for value in values_of(result(outcome))] == [0.5, 1.0, 7.0]


def test_raw_feedback_is_sent_as_it_is(driver: Driver, gateway: Client, transport: str) -> None:
    raw = {"request": {"data": {"ndarray": [[4.0]]}}, "reward": 2.0}
    outcome = driver.ask("feedback", gateway, raw_request=raw)
    assert values_of(result(outcome)) == [2.0, 4.0]


def values_of(response: dict[str, Any]) -> list[float]:
    return numbers(response["data"])[1]


# The component itself


@pytest.mark.parametrize("form", ["tensor", "ndarray"])
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("predict", DOUBLED),
        ("transform-input", [2.0, 3.5, 4.0, -3.0]),
        ("transform-output", [0.0, 1.5, 2.0, -5.0]),
    ],
)
def test_each_method_of_a_component_is_called(
    driver: Driver, component: Client, method: str, form: str, expected: list[float]
) -> None:
    made_with = component | {"payload_type": form}
    outcome = driver.ask("microservice", made_with, method=method, data=ROWS, names=["a", "b"])
    assert outcome["response_type"] == "SeldonMessage"
    assert numbers(result(outcome)["data"]) == ([2, 2], expected)


@pytest.mark.parametrize("form", ["tensor", "ndarray"])
def test_a_router_s_choice_has_one_row_and_one_column(
    driver: Driver, component: Client, form: str
) -> None:
    made_with = component | {"payload_type": form}
    outcome = driver.ask("microservice", made_with, method="route", data=ROWS)
    assert numbers(result(outcome)["data"]) == ([1, 1], [1.0])


@pytest.mark.parametrize("form", ["tensor", "ndarray"])
def test_messages_are_combined(driver: Driver, component: Client, form: str) -> None:
    made_with = component | {"payload_type": form}
    datas = [array([1.0, 2.0]), array([10.0, 20.0]), array([100.0, 200.0])]
    outcome = driver.ask("microservice", made_with, method="aggregate", datas=datas)
    assert numbers(result(outcome)["data"]) == ([1, 2], [111.0, 222.0])
    outcome = driver.ask("microservice", made_with, method="aggregate", ndatas=2)
    assert numbers(result(outcome)["data"])[0] == [1, 1]


def test_texts_and_bytes_are_combined(driver: Driver, component: Client) -> None:
    outcome = driver.ask("microservice", component, method="aggregate", datas=["a", "b"])
    assert result(outcome)["strData"] == "b"
    blobs = [some_bytes(b"a"), some_bytes(BYTES)]
    outcome = driver.ask("microservice", component, method="aggregate", datas=blobs)
    assert base64.b64decode(result(outcome)["binData"]) == BYTES


@pytest.mark.parametrize(
    ("name", "content", "field", "expected"),
    [
        ("str_data", "é", "strData", "é"),
        ("bin_data", some_bytes(BYTES), "binData", base64.b64encode(BYTES).decode()),
        ("json_data", {"a": [1.0, "b"]}, "jsonData", {"a": [1.0, "b"]}),
    ],
)
def test_a_component_gets_text_bytes_and_json(
    driver: Driver, component: Client, name: str, content: Any, field: str, expected: Any
) -> None:
    response = result(driver.ask("microservice", component, method="predict", **{name: content}))
    assert response[field] == expected


def test_custom_data_comes_back_over_grpc(driver: Driver, place: Place) -> None:
    made_with = {"transport": "grpc", "microservice_endpoint": place.endpoint("grpc")}
    response = result(
        driver.ask("microservice", made_with, method="predict", custom_data={"any": "é"})
    )
    assert response["customData"]["value"] == "é"


def test_a_component_s_feedback_gets_request_and_reward(driver: Driver, component: Client) -> None:
    for form in ("tensor", "ndarray"):
        made_with = component | {"payload_type": form}
        predicted = driver.ask("microservice", made_with, method="predict", data=array([1.0, 2.0]))
        number = predicted["number"]
        outcome = driver.ask(
            "microservice_feedback",
            made_with,
            prediction_request={"earlier": [number, "request"]},
            prediction_response={"earlier": [number, "response"]},
            reward=1.0,
        )
        assert values_of(result(outcome)) == [1.0, 1.0, 2.0]


def test_a_component_s_error_is_told_to_who_called_it_directly(
    driver: Driver, component: Client, transport: str
) -> None:
    outcome = driver.ask("microservice", component, method="predict", str_data="refuse")
    assert outcome["success"] is False
    if transport == "rest":
        assert outcome["msg"].upper() == "FORBIDDEN"
        assert outcome["response"]["status"]["info"] == "refused"
    else:
        assert "refused" in outcome["msg"]


def test_a_megabyte_of_numbers_goes_through(driver: Driver, component: Client) -> None:
    rows = [[float(column) for column in range(50)] for _ in range(1000)]
    outcome = driver.ask("microservice", component, method="predict", data={"array": rows})
    shape, values = numbers(result(outcome)["data"])
    assert (shape, values[:3], sum(values)) == ([1000, 50], [0.0, 2.0, 4.0], 2_450_000.0)
