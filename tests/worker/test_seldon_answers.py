"""Answers of Seldon components: results, tags, metrics, errors, and what a request says besides its message."""

from __future__ import annotations

import json
from typing import Any

import flask
import pytest

from mms.interfaces.seldon.codec.messages import SeldonMessage
from mms.interfaces.seldon.components.user_model import SeldonResponse
from mms.interfaces.seldon.errors import SeldonMicroserviceException
from mms.interfaces.seldon.load import ComponentLoad
from mms.interfaces.seldon.worker.interface import open_component
from mms.interfaces.seldon.worker.items import SeldonItems
from mms.wire import GraphNode
from mms.wire.operation import NO_NODE

from .seldon_served import MESSAGE, PROTO, Served, item

COUNTER = {"type": "COUNTER", "key": "mycounter", "value": 1}
TENSOR = {"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}}


class Identity:
    def predict(self, X: Any, features_names: Any) -> Any:
        return X

    transform_input = predict
    transform_output = predict

    def tags(self) -> Any:
        return {"mytag": 1}

    def metrics(self) -> Any:
        return [dict(COUNTER)]


def answering(value: Any, hook: str = "predict") -> Any:
    return type("Component", (), {hook: lambda self, X, names: value})()


# Requests


def test_an_answer_in_bytes_is_that_of_seldons_wrapper() -> None:
    served = Served(answering([[1.0, 2.5]]))
    reply = served.predict(MESSAGE)
    expected = b'{"data":{"names":["t:0","t:1"],"ndarray":[[1.0,2.5]]},"meta":{}}\n'
    assert reply.body == expected
    assert Served(type("Echo", (), {"predict": Identity.predict})()).predict(TENSOR).body == (
        b'{"data":{"names":["t:0","t:1"],"tensor":{"shape":[1,2],"values":[1,2]}},"meta":{}}\n'
    )


def test_a_request_without_an_operation_predicts() -> None:
    (reply,) = Served(Identity()).send(item(None, MESSAGE))
    assert reply.json()["data"]["ndarray"] == [[1, 2]]


def test_an_unknown_operation_is_404_with_those_that_there_are() -> None:
    reply = Served(Identity()).ask("explain", MESSAGE)
    assert reply.status == 404
    assert "Unknown operation explain; known are predict, " in reply.error["info"]


def test_the_message_may_come_in_the_query_or_a_form() -> None:
    served = Served(Identity())
    reply = served.predict(None, content_type=b"", query=b"json=%7B%22strData%22%3A%22q%22%7D")
    assert reply.json()["strData"] == "q"
    form = b"json=%7B%22strData%22%3A%22f%22%7D"
    reply = served.predict(form, content_type=b"application/x-www-form-urlencoded")
    assert reply.json()["strData"] == "f"


def test_a_multipart_form_brings_bytes_and_meta_to_a_raw_hook() -> None:
    class Raw:
        def predict_raw(self, message: Any) -> Any:
            from mms.interfaces.seldon.components.feedback import message_of_json

            found = message_of_json(message)
            return {"strData": found.binData.hex(), "meta": {"puid": found.meta.puid}}

    body = (
        b'--B\r\nContent-Disposition: form-data; name="meta"\r\n\r\n{"puid":"1234"}\r\n'
        b'--B\r\nContent-Disposition: form-data; name="binData"; filename="a.png"\r\n\r\n\x89\x00\xff\r\n'
        b"--B--\r\n"
    )
    reply = Served(Raw()).predict(body, content_type=b"multipart/form-data; boundary=B")
    assert reply.json() == {"strData": "8900ff", "meta": {"puid": "1234"}}


@pytest.mark.parametrize("content", [None, b"", b"null", b"{", b"\xff"])
def test_a_body_without_json_is_400(content: Any) -> None:
    for operation in ("predict", "transform-input", "route", "aggregate", "send-feedback"):
        reply = Served(Identity()).ask(operation, content)
        assert (reply.status, reply.error["info"]) == (400, "Can't find JSON in data")


def test_a_body_that_is_no_protobuf_is_400() -> None:
    for operation in ("predict", "send-feedback", "aggregate"):
        (reply,) = Served(Identity()).send(item(operation, b"\xff\xff\xff", content_type=PROTO))
        assert reply.status == 400
        assert reply.error["info"].startswith("The body is not ")


def test_with_payload_passthrough_bodies_and_results_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Echo:
        def predict_raw(self, body: Any) -> Any:
            return body if isinstance(body, str) else body + b"!"

        def transform_input(self, X: Any, names: Any) -> Any:
            return X

    monkeypatch.setenv("PAYLOAD_PASSTHROUGH", "1")
    served = Served(Echo())
    assert served.predict(b"any \xff bytes", content_type=b"text/plain").body == b"any \xff bytes!"
    assert served.predict(None, query=b"json=%5Bx").body == b"[x"
    assert served.result(MESSAGE, "transform-input")["data"]["ndarray"] == [[1, 2]]
    reply = Served(Identity()).predict(b"bytes")
    assert (reply.status, reply.error["reason"]) == (400, "MICROSERVICE_BAD_DATA")


# Units


def test_the_unit_is_in_the_request_path_beside_those_before_it() -> None:
    options = {"unit_id": "mine", "unit_image": "image:1"}
    served = Served(answering("x"), **options)
    assert served.result()["meta"] == {"requestPath": {"mine": "image:1"}}
    message = MESSAGE | {"meta": {"requestPath": {"earlier": "image:0", "mine": "theirs"}}}
    expected = {"earlier": "image:0", "mine": "theirs"}
    assert served.result(message)["meta"]["requestPath"] == expected
    proto = SeldonMessage(strData="a")
    proto.meta.requestPath["earlier"] = "image:0"
    answer = served.proto("predict", proto)
    assert dict(answer.meta.requestPath) == {"earlier": "image:0", "mine": "image:1"}


def test_series_name_the_model_and_its_version_where_no_deployment_names_the_component(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREDICTIVE_UNIT_ID", "of-a-worker")
    component = open_component(Identity(), ComponentLoad(), "fraud", "1.2")
    items = SeldonItems(component, "fraud")
    (_, _, status, _, _, body), *_ = items.serve_items([item("predict", MESSAGE)])
    assert status == 200
    # The name is no deployment's, so the answer has no request path.
    assert "requestPath" not in json.loads(body)["meta"]
    (series,) = items.take_series()
    labels = series["labels"]
    assert (labels["model_name"], labels["model_version"]) == ("fraud", "1.2")


def test_series_of_a_graphs_call_name_its_deployment() -> None:
    served = Served(Identity())
    served.predict(MESSAGE, node=GraphNode("node", "", "dep", "main", "v2"))
    (series,) = served.series()
    labels = series["labels"]
    assert (labels["model_name"], labels["deployment_name"]) == ("node", "dep")
    assert (labels["predictor_name"], labels["predictor_version"]) == ("main", "v2")


def test_a_graphs_node_names_the_unit_for_its_call_alone() -> None:
    served = Served(Identity(), unit_id="own", unit_image="image:1")
    other = GraphNode("node", "other:2")
    for node, path in ((other, {"node": "other:2"}), (NO_NODE, {"own": "image:1"})):
        reply = served.predict(MESSAGE, node=node)
        assert reply.json()["meta"]["requestPath"] == path
        (series,) = served.series()
        assert series["labels"]["model_name"] == next(iter(path))
    assert served.ask("metadata", node=other).json()["versions"] == ["2"]
    assert served.ask("metadata").json()["versions"] == ["1"]


def test_what_a_node_does_not_name_is_the_components_own() -> None:
    served = Served(answering("x"), unit_id="own", unit_image="image:1")
    for node, path in (
        (GraphNode("node"), {"node": "image:1"}),
        (GraphNode(image="other:2"), {"own": "other:2"}),
    ):
        assert served.predict(MESSAGE, node=node).json()["meta"]["requestPath"] == path


# Tags and metrics


def test_tags_and_metrics_follow_those_of_the_request() -> None:
    theirs = {"key": "g", "type": "GAUGE", "value": 100}
    message = MESSAGE | {"meta": {"puid": "1", "tags": {"foo": "bar"}, "metrics": [theirs]}}
    for operation in ("predict", "transform-input", "transform-output"):
        assert Served(Identity()).result(message, operation)["meta"] == {
            "puid": "1",
            "tags": {"foo": "bar", "mytag": 1},
            "metrics": [theirs, COUNTER],
        }


def test_a_response_adds_to_tags_and_metrics_of_the_component() -> None:
    class Runtime:
        def tags(self) -> Any:
            return {"static": "tag", "shared": "not right"}

        def metrics(self) -> Any:
            return [{"type": "GAUGE", "key": "static", "value": 100}]

        def predict(self, X: Any, names: Any) -> Any:
            return SeldonResponse(
                X,
                tags={"runtime": "tag", "shared": "right one"},
                metrics=[
                    {"type": "GAUGE", "key": "runtime", "value": 42},
                    {"type": "TIMER", "key": "timer", "value": 20.2, "tags": {"own": "label"}},
                ],
            )

    served = Served(Runtime())
    meta = served.result()["meta"]
    assert meta["tags"] == {"static": "tag", "runtime": "tag", "shared": "right one"}
    assert [metric["key"] for metric in meta["metrics"]] == ["static", "runtime", "timer"]
    series = {one["name"]: one for one in served.series()}
    assert {name: one["value"] for name, one in series.items()} == {
        "static": 100.0,
        "runtime": 42.0,
        "timer": 0.0202,
    }
    assert series["timer"]["labels"]["own"] == "label"
    assert served.series() == []


def test_metrics_are_counted_but_not_answered_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INCLUDE_METRICS_IN_CLIENT_RESPONSE", "false")

    class Both(Identity):
        def transform_input_raw(self, message: Any) -> Any:
            return {"meta": {"metrics": [dict(COUNTER)]}, "strData": "x"}

    served = Served(Both())
    assert served.result()["meta"] == {"tags": {"mytag": 1}}
    assert served.result(MESSAGE, "transform-input")["meta"] == {}
    methods = [one["labels"]["method"] for one in served.series()]
    assert methods == ["predict", "inputtransform"]


@pytest.mark.parametrize(
    "metrics",
    [
        None,
        {},
        ({"type": "COUNTER", "key": "k", "value": 1},),
        [{"type": "BAD", "key": "k", "value": 1}],
        [{"type": "COUNTER", "value": 1}],
        [{"type": "COUNTER", "key": "k", "value": "1"}],
    ],
)
def test_metrics_that_are_none_are_an_error_with_their_json(metrics: Any) -> None:
    served = Served(type("Bad", (Identity,), {"metrics": lambda self: metrics})())
    reply = served.predict(MESSAGE)
    assert reply.status == 500
    assert reply.error["reason"] == "MICROSERVICE_BAD_METRIC"
    words = f"Bad metric created during request: {json.dumps(metrics)}"
    assert reply.error["info"].startswith(words)
    assert served.series() == []


def test_a_reward_is_counted_and_added_up() -> None:
    served = Served(answering("x"))
    served.result({"reward": 42}, "send-feedback")
    series = [(one["name"], one["value"], one["labels"]["method"]) for one in served.series()]
    assert series == [
        ("seldon_api_model_feedback", 1.0, "feedback"),
        ("seldon_api_model_feedback_reward", 42.0, "feedback"),
    ]


@pytest.mark.parametrize("is_strict", [False, True])
def test_series_are_told_apart_by_process_in_strict_mode_alone(is_strict: bool) -> None:
    served = Served(Identity(), is_strict=is_strict)
    served.result()
    assert ("worker_id" in served.series()[0]["labels"]) == is_strict


# Results and errors


@pytest.mark.parametrize("hook", ["predict", "transform_input", "aggregate", "health_status"])
def test_no_result_is_the_hooks_fault_and_the_clients_in_strict_mode(hook: str) -> None:
    instance = type("Component", (), {hook: lambda self, *arguments: None})()
    content = [MESSAGE] if hook == "aggregate" else MESSAGE
    reply = Served(instance).ask(hook.replace("_", "-"), content)
    assert reply.status == 500
    assert reply.error["info"] == (
        f"{hook} returned None; a result is an array, list, dict, str or bytes"
    )
    strict = Served(instance, is_strict=True).ask(hook.replace("_", "-"), content)
    assert strict.status == 400
    assert strict.error["info"].startswith("Unknown data type returned as payload")


@pytest.mark.parametrize("value", [5, 2.5, True, (1, 2), {1}])
def test_other_results_are_no_payload(value: Any) -> None:
    reply = Served(answering(value)).predict(MESSAGE)
    assert (reply.status, reply.error["reason"]) == (400, "MICROSERVICE_BAD_DATA")


def test_not_finite_numbers_are_null_and_seldons_tokens_in_strict_mode() -> None:
    import numpy as np

    instance = answering(np.array([[np.nan, np.inf]]))
    assert b"[[null,null]]" in Served(instance).predict(MESSAGE).body
    assert b"[[NaN,Infinity]]" in Served(instance, is_strict=True).predict(MESSAGE).body


def raising(error: Exception, **members: Any) -> Any:
    def predict(self: Any, X: Any, names: Any) -> Any:
        raise error

    return type("Raising", (), {"predict": predict, **members})()


def test_an_exception_of_seldons_has_its_status_message_and_reason() -> None:
    reply = Served(raising(SeldonMicroserviceException("foo", 403, reason="MINE"))).predict(MESSAGE)
    assert (reply.status, reply.error["info"], reply.error["reason"]) == (403, "foo", "MINE")
    assert reply.headers == {"Content-Type": "application/json"}


def test_an_exception_of_the_same_shape_is_taken_for_one_of_seldons() -> None:
    class Own(Exception):
        status_code = 422
        message = "too wide"

        def to_dict(self) -> Any:
            return {}

    reply = Served(raising(Own())).predict(MESSAGE)
    assert (reply.status, reply.error["info"]) == (422, "too wide")


def test_any_other_exception_is_500_with_its_text_and_a_traceback_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reply = Served(raising(ValueError("of mine"))).predict(MESSAGE)
    assert (reply.status, reply.error["info"]) == (500, "of mine")
    assert reply.error["reason"] == "MICROSERVICE_INTERNAL_ERROR"
    log = capsys.readouterr().err
    assert "0123456789abcdef0123456789abcdef0123 failed:" in log
    assert "ValueError: of mine" in log
    # From where the component's code begins.
    assert "mms/seldon" not in log


def test_errors_of_protobuf_calls_are_json_too() -> None:
    served = Served(raising(SeldonMicroserviceException("foo", 403)))
    body = SeldonMessage(strData="a").SerializeToString()
    (reply,) = served.send(item("predict", body, content_type=PROTO))
    assert (reply.status, reply.headers["Content-Type"]) == (403, "application/json")
    assert reply.error["info"] == "foo"


def blueprint() -> flask.Blueprint:
    handlers = flask.Blueprint("handlers", __name__)

    @handlers.app_errorhandler(LookupError)
    def handle(error: LookupError) -> Any:
        told = {"path": flask.request.path, "json": flask.request.json, "error": str(error)}
        return flask.jsonify(told), 409, {"X-Mine": "1"}

    @handlers.app_errorhandler(ZeroDivisionError)
    def fail(error: ZeroDivisionError) -> Any:
        raise ValueError("in the handler")

    return handlers


def test_a_blueprint_answers_its_exceptions_in_the_context_of_the_request() -> None:
    served = Served(raising(IndexError("i"), model_error_handler=blueprint()))
    reply = served.predict(MESSAGE)
    assert reply.status == 409
    assert reply.json() == {"path": "/predict", "json": MESSAGE, "error": "i"}
    assert reply.headers["X-Mine"] == "1"


def test_what_a_blueprint_does_not_handle_is_answered_as_without_it() -> None:
    reply = Served(raising(OSError("o"), model_error_handler=blueprint())).predict(MESSAGE)
    assert (reply.status, reply.error["info"]) == (500, "o")
    error = SeldonMicroserviceException("s", 418)
    reply = Served(raising(error, model_error_handler=blueprint())).predict(MESSAGE)
    assert (reply.status, reply.error["info"]) == (418, "s")


def test_an_error_in_a_blueprint_s_handler_is_the_answer() -> None:
    reply = Served(raising(ZeroDivisionError(), model_error_handler=blueprint())).predict(MESSAGE)
    assert (reply.status, reply.error["info"]) == (500, "in the handler")


def test_memory_that_ran_out_is_left_to_the_server() -> None:
    with pytest.raises(MemoryError):
        Served(raising(MemoryError())).predict(MESSAGE)
