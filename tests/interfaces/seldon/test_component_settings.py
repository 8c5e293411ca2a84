"""Parameters, metadata, metrics and meta of components."""

from __future__ import annotations

from typing import Any

import pytest

from mms.interfaces.seldon.components.parameters import parse_parameters, parse_parameters_json
from mms.interfaces.seldon.errors import SeldonMicroserviceException, error_answer, error_body
from mms.interfaces.seldon.meta import own_request_path, response_meta
from mms.interfaces.seldon.metadata import (
    SeldonInvalidMetadataError,
    metadata_message,
    model_metadata,
    validate_model_metadata,
)
from mms.interfaces.seldon.series import (
    default_labels,
    reward_series,
    series_of,
    split_image,
    validate,
)


def parsed(value: Any, kind: str) -> Any:
    return parse_parameters([{"name": "p", "value": value, "type": kind}])["p"]


def test_parameters_have_the_types_they_name() -> None:
    assert parsed("3", "INT") == 3
    assert parsed("3.5", "FLOAT") == parsed(3.5, "DOUBLE") == 3.5
    assert parsed(3, "STRING") == "3"
    for text in ("y", "Yes", "t", "TRUE", "on", "1"):
        assert parsed(text, "BOOL") is True
    for text in ("n", "NO", "f", "false", "off", "0"):
        assert parsed(text, "BOOL") is False


def test_a_bad_parameter_is_named_with_its_value() -> None:
    for value, kind, text in (
        ("abc", "FLOAT", "Bad model parameter: p with value abc can't be parsed as a FLOAT"),
        ([1], "INT", "Bad model parameter: p with value [1] can't be parsed as a INT"),
        ("1", "FOO", "Bad model parameter type: FOO valid are INT, FLOAT, DOUBLE, STRING, BOOL"),
    ):
        with pytest.raises(SeldonMicroserviceException) as raised:
            parsed(value, kind)
        assert (raised.value.message, raised.value.reason) == (text, "MICROSERVICE_BAD_PARAMETER")
    with pytest.raises(ValueError, match="invalid truth value 'maybe' of the parameter p"):
        parsed("maybe", "BOOL")


def test_the_variable_with_parameters_must_be_a_list_of_objects() -> None:
    assert parse_parameters_json('[{"name":"a","value":"1","type":"INT"}]') == {"a": 1}
    for text in ("{", "{}", "[1]"):
        with pytest.raises(ValueError, match="PREDICTIVE_UNIT_PARAMETERS"):
            parse_parameters_json(text)


VALID: list[dict[str, Any]] = [
    {},
    {"name": "n", "versions": ["v"], "platform": "p", "custom": {"a": "b"}},
    {"inputs": [{"messagetype": "tensor", "schema": {"names": ["a"], "shape": [2, 2.0]}}]},
    {"inputs": [{"messagetype": "jsonData", "schema": {"type": "object"}}]},
    {"outputs": [{"messagetype": "strData"}, {"messagetype": "binData"}]},
    {"outputs": [{"messagetype": "mine", "schema": {"any": 1}}]},
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}, {}]},
]
INVALID: list[tuple[dict[str, Any], str]] = [
    ({"other": 1}, "other is not a member of metadata"),
    ({"name": 1}, "name must be text"),
    ({"versions": "v"}, "versions must be a list of texts"),
    ({"versions": [1]}, r"versions\[0\] must be text"),
    ({"custom": {"a": 1}}, r"custom\.a must be text"),
    ({"inputs": {}}, "inputs must be a list"),
    ({"inputs": [1]}, r"inputs\[0\] must be an object"),
    ({"inputs": [{"messagetype": "strData", "schema": {}}]}, "has 'schema'"),
    ({"inputs": [{"messagetype": "tensor", "schema": {"type": 1}}]}, "has 'type'"),
    ({"inputs": [{"messagetype": "tensor", "schema": {"shape": [1.5]}}]}, "must be a whole number"),
    ({"inputs": [{"messagetype": 5}]}, "messagetype must be text"),
    ({"inputs": [{"datatype": "FLOAT"}]}, "datatype must be one of"),
]


@pytest.mark.parametrize("metadata", VALID)
def test_metadata_within_the_schema_is_accepted(metadata: dict[str, Any]) -> None:
    found = validate_model_metadata(metadata, "host:32000/x:0.1")
    assert found == {
        "name": "host:32000/x",
        "versions": ["0.1"],
        "platform": "",
        "inputs": [],
        "outputs": [],
        "custom": {},
        **metadata,
    }


@pytest.mark.parametrize(("metadata", "message"), INVALID)
def test_metadata_outside_of_the_schema_is_refused(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(SeldonInvalidMetadataError, match=message):
        validate_model_metadata(metadata)
    assert model_metadata(metadata) is None


def test_metadata_of_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_METADATA", "name: outer\nplatform: p\n")
    found = model_metadata({"name": "inner", "custom": {"a": "b"}})
    assert found is not None
    assert (found["name"], found["platform"], found["custom"]) == ("outer", "p", {"a": "b"})
    monkeypatch.setenv("MODEL_METADATA", "[")
    assert model_metadata({"name": "inner"})["name"] == "inner"  # type: ignore[index]
    monkeypatch.delenv("MODEL_METADATA")
    assert model_metadata("no dict")["versions"] == [""]  # type: ignore[index]


def test_metadata_becomes_a_message_which_is_empty_for_invalid_metadata() -> None:
    metadata = {"inputs": [{"messagetype": "tensor", "schema": {"shape": [1]}}], "name": "n"}
    message = metadata_message(model_metadata(metadata))
    assert (message.name, message.inputs[0].messagetype) == ("n", "tensor")
    assert metadata_message(None).ByteSize() == 0


GOOD_METRIC: dict[str, Any] = {"type": "COUNTER", "key": "k", "value": 1}


@pytest.mark.parametrize(
    "metrics",
    [
        (),
        {},
        None,
        [{"type": "COUNTER", "key": "k"}],
        [{**GOOD_METRIC, "type": "OTHER"}],
        [{**GOOD_METRIC, "value": "1"}],
    ],
)
def test_bad_metrics_are_an_error_of_the_server(metrics: Any) -> None:
    with pytest.raises(SeldonMicroserviceException) as raised:
        validate(metrics)
    answer = error_answer(raised.value)
    assert (answer.status, answer.reason) == (500, "MICROSERVICE_BAD_METRIC")
    assert answer.message.startswith("Bad metric created during request: ")


def test_series_have_the_metrics_tags_the_method_and_the_labels() -> None:
    tagged = {"type": "GAUGE", "key": "g", "value": 2, "tags": {"a": "b", "label": "tag"}}
    metrics = [GOOD_METRIC, tagged, {"type": "TIMER", "key": "t", "value": 20.2}]
    validate(metrics)
    counter, gauge, timer = series_of(metrics, "predict", {"label": "x"})
    labels = {"method": "predict", "label": "x"}
    assert counter == {"type": "counter", "name": "k", "labels": labels, "value": 1.0}
    assert gauge["labels"] == {"a": "b", **labels}
    assert (timer["type"], timer["value"]) == ("histogram", pytest.approx(0.0202))
    assert tagged["tags"]["method"] == "predict"  # type: ignore[index]
    assert "tags" not in GOOD_METRIC
    with pytest.raises(TypeError, match="tag a of the metric g must be text, not 1"):
        series_of([{**tagged, "tags": {"a": 1}}], "predict", {})


def test_rewards_are_counted_unless_the_executor_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(series["name"], series["value"]) for series in reward_series(2.5, {})]
    assert found == [
        ("seldon_api_model_feedback", 1.0),
        ("seldon_api_model_feedback_reward", 2.5),
    ]
    assert reward_series(0, {}) == []
    monkeypatch.setenv("SELDON_EXECUTOR_ENABLED", "false")
    assert reward_series(2.5, {}) == []


def test_labels_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTIVE_UNIT_ID", "unit")
    monkeypatch.setenv("PREDICTIVE_UNIT_IMAGE", "host:1/image:2")
    monkeypatch.setenv("PREDICTOR_LABELS", '{"version": "v1"}')
    labels = default_labels(worker_id="7")
    assert labels["model_name"] == "unit"
    assert (labels["model_image"], labels["image_version"]) == ("host:1/image", "2")
    assert (labels["predictor_version"], labels["worker_id"]) == ("v1", "7")
    assert labels["deployment_name"] == labels["seldon_deployment_name"] == "NOT_IMPLEMENTED"
    assert default_labels(unit_id="other")["model_name"] == "other"
    monkeypatch.setenv("PREDICTOR_LABELS", "[")
    with pytest.raises(ValueError, match="PREDICTOR_LABELS must be a JSON object"):
        default_labels()


def test_an_image_is_split_at_its_last_colon() -> None:
    assert split_image("a/b:1") == ("a/b", "1")
    assert split_image("plain") == ("", "plain")


def test_meta_is_put_together_without_changing_the_requests() -> None:
    request = {"tags": {"a": 1, "b": 1}, "metrics": [1], "requestPath": {"m": "theirs"}}
    found = response_meta(
        request,
        tags={"b": 2, "c": 2},
        runtime_tags={"c": 3},
        metrics=[GOOD_METRIC],
        request_path={**own_request_path("m", "own"), **own_request_path("n", None)},
        puid="p",
    )
    assert found == {
        "tags": {"a": 1, "b": 2, "c": 3},
        "metrics": [1, GOOD_METRIC],
        "requestPath": {"m": "theirs", "n": "NOT_IMPLEMENTED:NOT_IMPLEMENTED"},
        "puid": "p",
    }
    assert request["tags"] == {"a": 1, "b": 1}
    assert response_meta(None) == own_request_path(None, "image") == {}


def test_an_error_is_one_line_of_sorted_ascii() -> None:
    body = error_body("é", "MICROSERVICE_BAD_DATA")
    expected = (
        '{"status":{"code":-1,"info":"\\u00e9","reason":"MICROSERVICE_BAD_DATA","status":1}}\n'
    )
    assert body.decode() == expected


def test_errors_of_seldons_package_are_known_by_their_members() -> None:
    class Foreign(Exception):
        status_code = 403
        message = "foo"
        reason = "BAR"

        def to_dict(self) -> None:
            pass

    assert error_answer(Foreign()) == (403, "foo", "BAR")
    assert error_answer(KeyError("k")) == (500, "'k'", "MICROSERVICE_INTERNAL_ERROR")
