"""Hooks of Seldon components: how each is called, and in what order they are asked."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np
import pytest

from mms.interfaces.seldon.codec.messages import Feedback, SeldonMessage, SeldonMessageList
from mms.interfaces.seldon.components.user_model import SeldonComponent, SeldonResponse

from .seldon_served import MESSAGE, PROTO, Served, item

META = {"puid": "p", "tags": {"a": 1}}
WITH_META = MESSAGE | {"meta": META}
_GAUGE = {"type": "GAUGE", "key": "a", "value": 1}
FEEDBACK = {
    "request": {"data": {"ndarray": [[1, 2]]}},
    "response": {"meta": {"routing": {"0": 3}}},
    "truth": {"data": {"ndarray": [5]}},
    "reward": 0.5,
}


def component(**hooks: Any) -> Any:
    return type("Component", (), hooks)()


def told(*arguments: Any, **keywords: Any) -> dict[str, Any]:
    """What a hook was given, as a result of its own."""
    values = [a.tolist() if isinstance(a, np.ndarray) else a for a in arguments]
    return {"arguments": values, "keywords": keywords}


SIGNATURES = {
    "names": lambda self, X, names: told(X, names),
    "other names": lambda self, features, feature_names=None: told(features, feature_names),
    "meta": lambda self, X, names, meta: told(X, names, meta=meta),
    "optional meta": lambda self, X, names=None, meta=None: told(X, names, meta=meta),
    "keywords": lambda self, X, names, **kwargs: told(X, names, **kwargs),
    "anything": lambda self, *args, **kwargs: told(*args, **kwargs),
    "meta as names": lambda self, X, meta: told(X, meta),
    "another third": lambda self, X, names, m: told(X, names, m),
    "one": lambda self, X: told(X),
}
NAMES = ["a", "b"]
GIVEN = {
    "names": ([NAMES], {}),
    "other names": ([NAMES], {}),
    "meta": ([NAMES], {"meta": META}),
    "optional meta": ([NAMES], {"meta": META}),
    "keywords": ([NAMES], {"meta": META}),
    "anything": ([NAMES], {"meta": META}),
    "meta as names": ([NAMES], {}),
    "another third": ([NAMES, META], {}),
    "one": ([], {}),
}


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("hook", ["predict", "transform_input", "transform_output"])
def test_a_hook_gets_what_its_signature_takes(hook: str, signature: str) -> None:
    served = Served(component(**{hook: SIGNATURES[signature]}))
    answer = served.result(WITH_META, hook.replace("_", "-"))["jsonData"]
    further, keywords = GIVEN[signature]
    assert answer == {"arguments": [[[1, 2]], *further], "keywords": keywords}


def test_a_hook_with_arguments_that_nobody_gives_says_which_it_should_take() -> None:
    def predict(self: Any, X: Any, names: Any, one: Any, two: Any) -> Any:
        raise AssertionError("never called")

    served = Served(component(predict=predict, transform_input=lambda self, X, names: "well"))
    error = served.predict(MESSAGE).error
    assert error["reason"] == "MICROSERVICE_INTERNAL_ERROR"
    assert "predict takes (X: 'Any', names: 'Any', one: 'Any', two: 'Any')" in error["info"]
    assert "should take (X, names, meta=None)" in error["info"]
    assert served.result(MESSAGE, "transform-input")["strData"] == "well"


def test_a_type_error_in_a_hook_runs_it_once_and_is_told() -> None:
    calls = []

    def predict(self: Any, X: Any, names: Any, meta: Any = None) -> Any:
        calls.append(meta)
        raise TypeError("of the hook's own")

    reply = Served(component(predict=predict)).predict(MESSAGE)
    assert (reply.status, reply.error["info"]) == (500, "of the hook's own")
    assert calls == [None]


def test_a_decorator_that_hands_on_everything_is_seen_through() -> None:
    def decorated(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    hooks = component(predict=decorated(lambda self, X, names: told(names)))
    assert Served(hooks).result()["jsonData"]["arguments"] == [NAMES]


def test_a_decorator_that_adds_an_argument_is_taken_at_its_word() -> None:
    def with_log(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(self: Any, X: Any, names: Any) -> Any:
            return function(self, X, names, "log")

        return wrapper

    hooks = component(predict=with_log(lambda self, X, names, log: told(log)))
    assert Served(hooks).result()["jsonData"]["arguments"] == ["log"]


FEEDBACK_HOOKS = {
    "seldon's": lambda self, features, names, reward, truth, routing: told(reward, truth, routing),
    "optional routing": lambda self, f, n, reward, truth, routing=None: told(
        reward, truth, routing
    ),
    "other words": lambda self, f, n, r, t, routing=None: told(r, t, routing),
    "no routing": lambda self, features, names, reward, truth: told(reward, truth, 3),
    "old order": lambda self, f, n, routing, reward, truth: told(reward, truth, routing),
    "by keyword": lambda self, f, n, *, routing, truth, reward: told(reward, truth, routing),
}


@pytest.mark.parametrize("signature", FEEDBACK_HOOKS)
def test_feedback_is_given_as_its_hook_takes_it(signature: str) -> None:
    served = Served(component(send_feedback=FEEDBACK_HOOKS[signature]))
    answer = served.result(FEEDBACK, "send-feedback")["jsonData"]
    assert answer["arguments"] == [0.5, [5.0], 3.0]


@pytest.mark.parametrize("signature", ["no routing", "old order"])
def test_in_strict_mode_feedback_needs_the_keyword_routing(signature: str) -> None:
    served = Served(component(send_feedback=FEEDBACK_HOOKS[signature]), is_strict=True)
    reply = served.ask("send-feedback", FEEDBACK)
    assert reply.status == 500
    assert "routing" in reply.error["info"]


def test_the_reward_is_a_float32_and_routing_is_that_of_the_components_id() -> None:
    hook = component(send_feedback=FEEDBACK_HOOKS["seldon's"])
    feedback = {"reward": 0.7, "response": {"meta": {"routing": {"0": 1, "mine": 2}}}}
    answer = Served(hook, unit_id="mine").result(feedback, "send-feedback")
    assert answer["jsonData"]["arguments"] == [0.699999988079071, [], 2.0]


AGGREGATES = {
    "two": lambda self, features_list, feature_names_list: told(len(features_list)),
    "one": lambda self, features_list: told(len(features_list)),
    "meta": lambda self, Xs, names, metas: told(len(Xs)) if metas == [None] * 2 else None,
}


@pytest.mark.parametrize("signature", AGGREGATES)
def test_an_aggregate_gets_what_its_signature_takes(signature: str) -> None:
    served = Served(component(aggregate=AGGREGATES[signature]))
    assert served.result([MESSAGE, MESSAGE], "aggregate")["jsonData"]["arguments"] == [2]


# Order and absence


def refuse(*arguments: Any, **keywords: Any) -> Any:
    from mms.interfaces.seldon.errors import SeldonNotImplementedError

    raise SeldonNotImplementedError("not here")


def test_legacy_hooks_come_first_raw_ones_next_and_typed_ones_last() -> None:
    typed = {"predict": lambda self, X, names: "typed"}
    raw = {"predict_raw": lambda self, message: {"strData": "raw"}}
    legacy = {"predict_rest": lambda self, message: {"strData": "legacy"}}
    for hooks, word in (
        ({**typed, **raw, **legacy}, "legacy"),
        ({**typed, **raw}, "raw"),
        (typed, "typed"),
        ({**typed, "predict_raw": refuse}, "typed"),
    ):
        assert Served(component(**hooks)).result()["strData"] == word


def test_the_base_class_s_hooks_count_as_absent() -> None:
    served = Served(SeldonComponent())
    assert served.result() == {"data": {"ndarray": [], "names": []}, "meta": {}}
    answer = served.result(MESSAGE, "transform-input")
    assert answer["data"] == {"names": ["t:0", "t:1"], "ndarray": [[1, 2]]}
    assert served.result(None, "health-status")["strData"] == "not implemented - assuming healthy"
    assert served.ask("route", MESSAGE).error["info"] == "route is not implemented"
    assert served.ask("aggregate", [MESSAGE]).error["info"] == "aggregate is not implemented"
    assert served.result({}, "send-feedback") == {"data": {"tensor": {"shape": [0]}}, "meta": {}}


def test_route_and_aggregate_have_to_be_there() -> None:
    served = Served(component())
    for operation, content, info in (
        ("route", MESSAGE, "Route not defined"),
        ("aggregate", [MESSAGE], "Aggregate not defined"),
    ):
        reply = served.ask(operation, content)
        assert (reply.status, reply.error["info"]) == (400, info)
        assert reply.error["reason"] == "MICROSERVICE_BAD_DATA"
    assert served.result(None, "health-status") == {"meta": {}, "strData": "healthy"}


def test_a_deprecated_hook_is_told_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    hooks = {"transform_input_rest": lambda self, message: message}
    Served(component(**hooks)).result(MESSAGE, "transform-input")
    (record,) = caplog.records
    assert "transform_input_rest is deprecated; use transform_input_raw" in record.getMessage()


def test_without_protobuf_feedback_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(component(predict=lambda self, X, names: X))
    for name in [
        name for name in sys.modules if name.startswith("mms.interfaces.seldon.components.feedback")
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == "google"]:
        monkeypatch.delitem(sys.modules, name)
    missing = ModuleNotFoundError("No module named 'google'", name="google")

    class NoGoogle:
        def find_spec(self, name: str, *arguments: Any) -> None:
            if name.split(".")[0] == "google":
                raise missing

    monkeypatch.setattr(sys, "meta_path", [NoGoogle(), *sys.meta_path])
    reply = served.ask("send-feedback", {"reward": 1})
    assert reply.status == 500
    assert "pip install 'marserve[seldon]'" in reply.error["info"]
    assert served.result()["data"]["ndarray"] == [[1, 2]]


def test_an_attribute_that_is_no_method_fails_only_where_it_is_asked() -> None:
    served = Served(component(route="A1", predict=lambda self, X, names: X, load="never"))
    assert served.result()["data"]["ndarray"] == [[1, 2]]
    assert "Component.route is not a method, but 'A1'" in served.ask("route", MESSAGE).error["info"]


def test_raw_hooks_may_answer_either_kind_with_the_other_unless_strict() -> None:
    def predict_raw(self: Any, message: Any) -> Any:
        return SeldonMessage(strData="x") if isinstance(message, dict) else {"strData": "y"}

    served = Served(component(predict_raw=predict_raw))
    assert served.result() == {"strData": "x"}
    assert served.proto("predict", SeldonMessage(strData="a")).strData == "y"
    strict = Served(component(predict_raw=predict_raw), is_strict=True)
    assert strict.predict(MESSAGE).status == 500
    body = SeldonMessage(strData="a").SerializeToString()
    reply = strict.send(item("predict", body, content_type=PROTO))[0]
    assert (reply.status, reply.headers["Content-Type"]) == (500, "application/json")
    assert reply.error["info"] == "predict_raw returned dict instead of a SeldonMessage"


@pytest.mark.parametrize(
    ("code", "status"), [(400, 400), (200, 200), (0, 200), (-1, 500), (1000, 500), ("x", 500)]
)
def test_the_code_of_a_raw_prediction_is_the_http_status(code: Any, status: int) -> None:
    hooks = component(predict_raw=lambda self, message: {"status": {"code": code}})
    reply = Served(hooks).predict(MESSAGE)
    assert reply.status == status
    assert reply.json() == {"status": {"code": code}}


def test_protobuf_reaches_every_hook() -> None:
    served = Served(
        component(
            predict=lambda self, X, names, meta=None: X * 2,
            route=lambda self, X, names: 22,
            aggregate=lambda self, Xs, names: sum(Xs) * 2,
            send_feedback=lambda self, f, n, reward, truth, routing=None: [reward],
        )
    )
    message = SeldonMessage()
    message.data.tensor.shape.extend([2, 1])
    message.data.tensor.values.extend([1, 2])
    answer = served.proto("predict", message)
    assert list(answer.data.tensor.shape) == [2, 1]
    assert list(answer.data.tensor.values) == [2, 4]
    assert list(answer.data.names) == ["t:0"]
    assert list(served.proto("route", message).data.tensor.values) == [22]
    both = SeldonMessageList(seldonMessages=[message, message])
    assert list(served.proto("aggregate", both).data.tensor.values) == [4, 8]
    feedback = Feedback(request=message, reward=0.5)
    assert list(served.proto("send-feedback", feedback).data.tensor.values) == [0.5]


def test_metadata_in_protobuf_is_a_message_of_its_own() -> None:
    from mms.interfaces.seldon.codec.messages import SeldonModelMetadata

    served = Served(component(init_metadata=lambda self: {"name": "n", "versions": ["1"]}))
    reply = served.send(item("metadata", b"", content_type=PROTO))[0]
    found = SeldonModelMetadata.FromString(reply.body)
    assert (found.name, list(found.versions)) == ("n", ["1"])
    assert served.result(None, "metadata")["versions"] == ["1"]


def test_class_names_are_looked_up_with_each_answer() -> None:
    class Lazy:
        def predict(self, X: Any, names: Any) -> Any:
            self.class_names = np.array(["x", "y"])
            return SeldonResponse(X)

    assert Served(Lazy()).result()["data"]["names"] == ["x", "y"]


@pytest.mark.parametrize(
    "branch", [np.int64(1), np.int32(1), np.uint8(1), np.array(1), np.bool_(True)]
)
def test_a_route_may_be_an_integer_of_numpy(branch: Any) -> None:
    router = type("Router", (), {"route": lambda self, X, names: branch})
    assert Served(router()).result(MESSAGE, "route")["data"]["ndarray"] == [[1]]
    assert Served(router(), is_strict=True).ask("route", MESSAGE).status == 400


@pytest.mark.parametrize("branch", [np.float64(1), np.array([1, 2]), "1", None])
def test_a_route_that_is_no_whole_number_is_named(branch: Any) -> None:
    router = type("Router", (), {"route": lambda self, X, names: branch})
    reply = Served(router()).ask("route", MESSAGE)
    assert reply.status == 400
    assert reply.error["info"] == f"Routing response must be int but got {branch}"


@pytest.mark.parametrize(
    ("metrics", "why"),
    [
        ({"key": "a"}, "metrics are a list, not a dict"),
        (None, "metrics are a list, not None"),
        (({"type": "GAUGE", "key": "a", "value": 1},), "metrics are a list, not a tuple"),
        (["a"], "metric 0 is a str, not a dict with type, key and value"),
        ([{"type": "GAUGE", "key": "a"}], "metric 0 has no value"),
        (
            [{"type": "BAD", "key": "a", "value": 1}],
            "metric 0 has the type 'BAD', which is not one of",
        ),
        ([{"type": [], "key": "a", "value": 1}], "metric 0 has the type [], which is not one of"),
        ([{"type": "GAUGE", "key": "a", "value": "1"}], "metric 0 has the value '1', which is no"),
        ([{"type": "GAUGE", "key": "a", "value": {1}}], "metric 0 has the value {1}, which is no"),
        ([{**_GAUGE, "tags": [1]}], "the tags of metric 0 are a list, not a dict of texts"),
        ([_GAUGE, {**_GAUGE, "tags": None}], "the tags of metric 1 are None, not a dict of texts"),
        ([{**_GAUGE, "tags": {"a": 1}}], "metric 0 has the tag 'a' with the value 1; both must be"),
        ([{**_GAUGE, "tags": {1: "a"}}], "metric 0 has the tag 1 with the value 'a'; both must be"),
    ],
)
def test_a_bad_metric_says_why(metrics: Any, why: str) -> None:
    component = type(
        "Bad", (), {"predict": lambda self, X, names: X, "metrics": lambda self: metrics}
    )
    reply = Served(component()).ask("predict", MESSAGE)
    assert (reply.status, reply.error["reason"]) == (500, "MICROSERVICE_BAD_METRIC")
    assert reply.error["info"].startswith("Bad metric created during request: ")
    assert f" ({why}" in reply.error["info"]
    strict = Served(component(), is_strict=True).ask("predict", MESSAGE)
    assert why not in strict.error["info"]


def test_a_combiner_that_takes_meta_is_given_that_of_each_message() -> None:
    class Combiner:
        def aggregate(self, Xs: Any, names: Any, meta: Any = None) -> Any:
            return {"meta": meta}

    messages = [MESSAGE | {"meta": {"tags": {"a": 1}}}, MESSAGE]
    assert Served(Combiner()).result(messages, "aggregate")["jsonData"] == {
        "meta": [{"tags": {"a": 1}}, None]
    }


class Tables:
    """What a component returns with pandas."""

    def __init__(self, pandas: Any) -> None:
        self.pandas = pandas

    def predict(self, X: Any, names: Any) -> Any:
        return self.pandas.DataFrame(X, columns=["low", "high"])

    def transform_input(self, X: Any, names: Any) -> Any:
        return self.pandas.DataFrame({"text": ["a", None], "n": [1, 2]})

    def transform_output(self, X: Any, names: Any) -> Any:
        return self.pandas.Series([1.5, 2.5], name="p")

    def aggregate(self, Xs: Any, names: Any) -> Any:
        missing = self.pandas.array([1, None], dtype="Int64")
        return {"table": self.pandas.DataFrame({"a": missing}), "row": self.pandas.Series([1, 2])}

    def send_feedback(self, X: Any, names: Any, reward: Any, truth: Any, routing: Any) -> Any:
        return self.pandas.DataFrame([[1, 2]])


def test_tables_and_series_of_pandas_are_results() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is what makes tables")
    served = Served(Tables(pandas))
    tensor = {"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}}
    assert served.result(tensor)["data"] == {"names": ["low", "high"], **tensor["data"]}
    data = served.result(MESSAGE, "transform-input")["data"]
    assert data == {"names": ["text", "n"], "ndarray": [["a", 1], [None, 2]]}
    assert served.result(MESSAGE, "transform-output")["data"]["ndarray"] == [1.5, 2.5]
    found = served.result([MESSAGE], "aggregate")["jsonData"]
    assert found == {"table": [{"a": 1}, {"a": None}], "row": [1, 2]}
    # Columns that pandas has numbered have no names of their own.
    assert served.result({}, "send-feedback")["data"]["names"] == ["t:0", "t:1"]
    named = type("Named", (Tables,), {"class_names": ["own", "names"]})
    assert Served(named(pandas)).result(MESSAGE)["data"]["names"] == ["own", "names"]


def test_a_table_of_joined_rows_is_shared_out_with_its_names() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is what makes tables")
    served = Served(Tables(pandas), row_batching=True)
    for reply in served.send(item("predict", MESSAGE), item("predict", MESSAGE)):
        assert reply.json()["data"] == {"names": ["low", "high"], "ndarray": [[1, 2]]}


# Raw hooks by their annotations


def annotated(annotation: Any) -> Any:
    """A component whose raw hooks tell of what type their argument is."""

    def raw(self: Any, msg: Any) -> Any:
        return SeldonMessage(strData=type(msg).__name__)

    raw.__annotations__["msg"] = annotation
    names = ("predict", "transform_input", "transform_output", "route", "aggregate")
    return type("Annotated", (), {f"{name}_raw": raw for name in names})()


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (SeldonMessage, "SeldonMessage"),
        ("prediction_pb2.SeldonMessage", "SeldonMessage"),
        ("'SeldonMessage'", "SeldonMessage"),
        (Any, "dict"),
        (SeldonMessage | dict, "dict"),
        ("Union[prediction_pb2.SeldonMessage, Dict]", "dict"),
        ("prediction_pb2.SeldonMessage | None", "dict"),
        (dict, "dict"),
    ],
)
def test_a_raw_hook_gets_over_rest_the_message_that_it_is_annotated_with_alone(
    annotation: Any, told: str
) -> None:
    served = Served(annotated(annotation))
    for operation in ("predict", "transform-input", "transform-output", "route"):
        assert served.result(MESSAGE, operation)["strData"] == told
    strict = Served(type("Echo", (), {"predict_raw": predict_raw_of(annotation)})(), is_strict=True)
    assert strict.result(MESSAGE)["strData"] == "dict"


def predict_raw_of(annotation: Any) -> Any:
    def predict_raw(self: Any, msg: Any) -> Any:
        return {"strData": type(msg).__name__}

    predict_raw.__annotations__["msg"] = annotation
    return predict_raw


@pytest.mark.parametrize("messages", [[MESSAGE, MESSAGE], {"seldonMessages": [MESSAGE]}])
def test_an_annotated_aggregate_gets_the_list_of_messages(messages: Any) -> None:
    told = Served(annotated("prediction_pb2.SeldonMessageList")).result(messages, "aggregate")
    assert told["strData"] == "SeldonMessageList"


def test_json_that_is_no_such_message_is_the_clients_mistake() -> None:
    reply = Served(annotated(SeldonMessage)).predict({"unknown": 1})
    assert (reply.status, reply.error["reason"]) == (400, "MICROSERVICE_BAD_DATA")
    assert reply.error["info"].startswith("Invalid JSON: ")


@pytest.mark.parametrize(
    ("annotation", "operation", "message", "place"),
    [
        ("prediction_pb2.SeldonMessage", "predict", {"binData": "!!"}, "binData"),
        (
            "prediction_pb2.SeldonMessageList",
            "aggregate",
            {"seldonMessages": [{"strData": "a"}, {"binData": "YQ==!"}]},
            "seldonMessages[1].binData",
        ),
    ],
)
def test_base64_that_is_none_is_refused_before_a_raw_hook_gets_less_of_it(
    annotation: str, operation: str, message: dict[str, Any], place: str
) -> None:
    reply = Served(annotated(annotation)).ask(operation, message)
    assert (reply.status, reply.error["reason"]) == (400, "MICROSERVICE_BAD_DATA")
    assert reply.error["info"].startswith(f"{place} is not base64: ")
