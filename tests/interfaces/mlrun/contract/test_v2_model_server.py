"""A model of MLRun's contract: loading, operations, hooks, answers."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mms.interfaces.mlrun.errors import MLRunInvalidArgumentError, error_text, status_of
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger
from mms.interfaces.mlrun.model.model_server import V2ModelServer
from mms.interfaces.mlrun.model.options import ServingOptions

DEADLINE_S = 30.0


class Doubling(V2ModelServer):
    def load(self) -> None:
        self.model = 2

    def predict(self, request: dict[str, Any]) -> Any:
        return [value * self.model for value in request["inputs"]]

    def explain(self, request: dict[str, Any]) -> Any:
        return {"explained": request["inputs"][0]}

    def op_myop(self, event: Any) -> Any:
        return event.body

    def op_custom(self, event: Any) -> Any:
        return self.context.Response(
            body="made", status_code=201, content_type="text/x", headers={"a": "b"}
        )


def loaded(cls: type[V2ModelServer] = Doubling, name: str = "m1", **arguments: Any) -> Any:
    context = arguments.pop("context", None) or GraphContext(level="error")
    model = cls(context=context, name=name, **arguments)
    model.post_init()
    return model


def ask(
    model: V2ModelServer, body: Any = None, path: str = "", method: str | None = "POST", **more: Any
) -> Any:
    return model.do_event(MockEvent(body=body, path=path, method=method, **more)).body


# Constructor and attributes


def test_a_name_with_a_version_is_split_at_its_first_colon() -> None:
    model = V2ModelServer(name="m3:v1:b")
    assert (model.name, model.version) == ("m3", "v1:b")
    assert (V2ModelServer(name="m").version, V2ModelServer().name) == ("", "")


def test_a_new_model_has_the_attributes_that_classes_read() -> None:
    model = V2ModelServer(name="m", model_path="p", x=1)
    assert (model.ready, model.error, model.protocol, model.model_path) == (False, "", "v2", "p")
    assert (model.model, model.model_spec, model.metrics, model.labels) == (None, None, {}, {})
    assert (model.context, model.model_endpoint_uid, model._model_logger) == (None, None, None)
    assert model._params is model._kwargs
    assert model._params == {"x": 1}


def test_a_model_given_as_an_object_is_ready_at_once() -> None:
    model = V2ModelServer(name="m", model=[0])
    assert (model.ready, model.model) == (True, [0])


# Parameters


def test_a_models_parameter_goes_before_the_functions_and_the_default() -> None:
    context = GraphContext(parameters={"a": "function", "b": "function"})
    model = V2ModelServer(context, "m", a="model", none=None)
    assert [model.get_param(key, "default") for key in "abc"] == ["model", "function", "default"]
    assert model.get_param("none", "default") is None
    assert V2ModelServer(name="m").get_param("a", 1) == 1


def test_a_model_without_a_path_has_no_file() -> None:
    assert V2ModelServer(name="m").get_model(".pkl") == (None, {})


@pytest.mark.parametrize("parameters", [{"a": "artifact"}, {}, None])
def test_parameters_of_the_artifact_go_before_the_models(
    parameters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SimpleNamespace(parameters=parameters)
    asked = []

    def get_model(path: str, suffix: str) -> Any:
        asked.append((path, suffix))
        return "/m/model.pkl", spec, {"x": 1}

    fake = ModuleType("mms.interfaces.mlrun.files.artifacts")
    fake.get_model = get_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mms.interfaces.mlrun.files.artifacts", fake)
    model = V2ModelServer(name="m", model_path="/m", a="model", b=2)
    assert model.get_model(".pkl") == ("/m/model.pkl", {"x": 1})
    assert asked == [("/m", ".pkl")]
    assert model.model_spec is spec
    assert model.get_param("a") == ("artifact" if parameters else "model")
    assert model.get_param("b") == 2


# Loading


def test_loading_at_once_makes_it_ready(capsys: pytest.CaptureFixture[str]) -> None:
    model = loaded(context=GraphContext())
    assert (model.ready, model.model) == (True, 2)
    assert "model m1 was loaded" in capsys.readouterr().out


class Broken(Doubling):
    def load(self) -> None:
        raise OSError("no such file: m.pkl")


def test_a_load_that_fails_at_once_raises_with_its_cause() -> None:
    model = Broken(context=GraphContext(), name="m1")
    with pytest.raises(RuntimeError, match="^failed to load model m1$") as caught:
        model.post_init()
    assert caught.value.__cause__ is model.error
    assert not model.ready


def test_a_model_without_load_and_object_says_what_it_needs() -> None:
    with pytest.raises(RuntimeError) as caught:
        loaded(V2ModelServer)
    assert error_text(caught.value).endswith(
        "caused by: please specify a load method or a model object"
    )


def test_an_unknown_mode_of_loading_is_refused() -> None:
    with pytest.raises(ValueError, match="illegal model loading mode lazy"):
        Doubling(name="m").post_init("lazy")


def test_a_load_may_be_a_coroutine() -> None:
    class Later(Doubling):
        async def load(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            self.model = 3

    assert ask(loaded(Later), {"inputs": [5]})["outputs"] == [15]


class Held(Doubling):
    """Loads when it is let go."""

    fails = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.go = threading.Event()

    def load(self) -> None:
        assert self.go.wait(DEADLINE_S)
        if self.fails:
            raise OSError("no such file")
        self.model = 2


def held(**attributes: Any) -> Held:
    context = attributes.pop("context", None) or GraphContext(level="error")
    model = Held(context=context, name="m5")
    for name, value in attributes.items():
        setattr(model, name, value)
    model.post_init("async")
    return model


def test_while_it_loads_a_model_is_not_ready_and_says_so() -> None:
    model = held()
    found = ask(model, path="ready", method="GET")
    assert (found.status_code, found.body, found.content_type) == (
        408,
        b"model not ready",
        "text/plain",
    )
    with pytest.raises(RuntimeError, match="^model m5 is not ready yet$") as caught:
        ask(model, {"inputs": [5]}, "infer")
    assert (status_of(caught.value), status_of(caught.value, True)) == (400, 503)
    model.go.set()
    model._load_thread.join(DEADLINE_S)
    assert ask(model, {"inputs": [5]}, "infer")["outputs"] == [10]


def test_strictly_a_model_that_loads_is_unavailable() -> None:
    options = ServingOptions(strict_status=True)
    model = held(context=GraphContext(level="error", options=options))
    found = ask(model, path="ready", method="GET")
    assert (found.status_code, found.headers) == (503, {"Retry-After": "5"})
    model.go.set()


@pytest.mark.parametrize("kind", ["http", ""])
def test_a_client_that_waits_is_refused_while_the_model_loads(kind: str) -> None:
    model = held()
    with pytest.raises(RuntimeError, match="is not ready yet"):
        ask(model, {"inputs": [5]}, trigger=MockTrigger(kind))
    model.go.set()


def test_an_event_of_a_stream_waits_for_the_load() -> None:
    model = held()
    threading.Timer(0.1, model.go.set).start()
    assert ask(model, {"inputs": [5]}, trigger=MockTrigger("stream"))["outputs"] == [10]


def test_metadata_and_operations_of_ones_own_do_not_wait_for_the_load() -> None:
    model = held()
    assert ask(model, method="GET")["name"] == "m5"
    assert ask(model, {"a": 1}, "myop") == {"a": 1}
    model.go.set()


def test_a_load_that_failed_in_its_thread_is_told_in_every_answer() -> None:
    model = held(fails=True)
    model.go.set()
    model._load_thread.join(DEADLINE_S)
    assert isinstance(model.error, OSError)
    found = ask(model, path="ready", method="GET")
    assert found.status_code == 408
    assert found.body == b"model not ready, its load failed: OSError: no such file"
    for kind in ("", "stream"):
        with pytest.raises(RuntimeError, match="m5 is not ready, its load failed: OSError"):
            ask(model, {"inputs": [5]}, trigger=MockTrigger(kind))


# Operations


@pytest.mark.parametrize(
    ("path", "in_body", "method", "outputs"),
    [
        *((path, {}, "POST", [10]) for path in ("", "/", "infer", "/infer/", "predict")),
        ("", {}, None, [10]),
        ("", {"operation": "explain"}, "POST", {"explained": 5}),
        ("infer", {"operation": "explain"}, "POST", [10]),
        ("", {"operation": None}, "POST", [10]),
    ],
)
def test_the_path_says_the_operation_else_the_body_else_it_is_a_prediction(
    path: str, in_body: dict[str, Any], method: str | None, outputs: Any
) -> None:
    assert ask(loaded(), {"inputs": [5], **in_body}, path, method)["outputs"] == outputs


@pytest.mark.parametrize(
    ("name", "path", "members"),
    [
        ("m3:v1", "infer", ["id", "model_name", "outputs", "timestamp", "model_version"]),
        ("m3", "infer", ["id", "model_name", "outputs", "timestamp"]),
        ("m3:v1", "explain", ["id", "model_name", "outputs", "model_version"]),
    ],
)
def test_an_answer_has_its_members_in_mlruns_order(
    name: str, path: str, members: list[str]
) -> None:
    answer = ask(loaded(name=name), {"inputs": [5]}, path, event_id="e1")
    assert list(answer) == members
    assert (answer["id"], answer["model_name"]) == ("e1", "m3")
    assert answer.get("model_version", "v1") == "v1"
    stamp = answer.get("timestamp", "2026-01-01 00:00:00.000000+00:00")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00", stamp)


def test_the_bodys_id_goes_before_the_events() -> None:
    model = loaded()
    assert ask(model, {"inputs": [5], "id": "abc"}, event_id="e1")["id"] == "abc"
    assert ask(model, {"inputs": [5], "id": None}, event_id="e1")["id"] == "e1"


def test_ready_tells_the_name_and_the_events_id() -> None:
    found = ask(loaded(name="m3:v1"), path="/ready", method="GET", event_id="E")
    assert (found.status_code, found.content_type) == (200, "text/plain")
    assert found.body == b"Model m3 is ready (event_id = E)"


def test_ready_is_asked_by_get_alone() -> None:
    with pytest.raises(ValueError, match="^illegal model operation ready, method=POST$"):
        ask(loaded(), {}, "ready")


def test_metadata_is_asked_by_get_alone_without_an_operation() -> None:
    model = loaded(name="m3:v2")
    assert ask(model, method="GET") == {
        "name": "m3",
        "version": "v2",
        "inputs": [],
        "outputs": [],
    }
    assert list(ask(model, method="GET")) == ["name", "version", "inputs", "outputs"]
    # A body is no reason to fail.
    assert ask(model, {"a": 1}, method="GET")["name"] == "m3"


class Feature:
    def __init__(self, name: str) -> None:
        self.name = name

    def to_dict(self) -> dict[str, str]:
        return {"name": self.name, "value_type": "float"}


def with_features(**arguments: Any) -> Any:
    model = loaded(**arguments)
    model.model_spec = SimpleNamespace(
        inputs=[Feature("a"), {"name": "b", "value_type": "int"}], outputs=[Feature("y")]
    )
    return model


def test_metadata_has_the_features_of_the_artifact() -> None:
    found = ask(with_features(), method="GET")
    assert found["inputs"] == [
        {"name": "a", "value_type": "float"},
        {"name": "b", "value_type": "int"},
    ]
    assert found["outputs"] == [{"name": "y", "value_type": "float"}]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", None])
def test_an_operation_of_ones_own_gets_the_event_by_any_method(method: str | None) -> None:
    assert ask(loaded(), {"test": "ok"}, "myop", method) == {"test": "ok"}


def test_an_operation_of_ones_own_may_make_the_whole_response() -> None:
    found = ask(loaded(), None, "custom", "DELETE")
    assert (found.status_code, found.body, found.headers) == (201, "made", {"a": "b"})


def test_an_operation_of_ones_own_may_be_a_coroutine() -> None:
    class Own(Doubling):
        async def op_later(self, event: Any) -> Any:
            return {"later": event.body}

    assert ask(loaded(Own), 5, "later") == {"later": 5}


@pytest.mark.parametrize("path", ["xx", "infer/x", "myop/x", "_init__"])
def test_an_unknown_operation_is_refused_with_its_name_and_method(path: str) -> None:
    with pytest.raises(
        ValueError, match=f"^illegal model operation {path}, method=None$"
    ) as caught:
        ask(loaded(), {"inputs": [5]}, path, None)
    assert (status_of(caught.value), status_of(caught.value, True)) == (400, 404)


# Bodies that cannot be


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"x": 1}, 'Exception: Expected key "inputs" in request body'),
        ({}, 'Exception: Expected key "inputs" in request body'),
        ([1], 'Exception: Expected key "inputs" in request body'),
        ({"inputs": 5}, 'Exception: Expected "inputs" to be a list'),
        ({"inputs": {"a": 1}}, 'Exception: Expected "inputs" to be a list'),
        ("inputs", 'Exception: Expected key "inputs" in request body'),
        (None, 'ValueError: the request has no body; expected JSON with "inputs"'),
        ("", 'ValueError: the request has no body; expected JSON with "inputs"'),
        (5, 'Exception: Expected key "inputs" in request body'),
    ],
)
@pytest.mark.parametrize("path", ["infer", "explain"])
def test_a_body_without_a_list_of_inputs_is_refused(body: Any, text: str, path: str) -> None:
    with pytest.raises(Exception, match=".") as caught:
        ask(loaded(), body, path)
    assert error_text(caught.value) == text
    assert (status_of(caught.value), status_of(caught.value, True)) == (400, 422)


def test_another_protocol_is_not_checked() -> None:
    class Any_(Doubling):
        def predict(self, request: Any) -> Any:
            return request

    assert ask(loaded(Any_, protocol="v3"), {"x": 1})["outputs"] == {"x": 1}


def test_a_predict_that_is_missing_says_so() -> None:
    with pytest.raises(NotImplementedError) as caught:
        ask(loaded(V2ModelServer, model=1), {"inputs": [5]})
    assert error_text(caught.value) == "NotImplementedError: NotImplementedError()"


def test_what_predict_raises_is_the_models_fault_strictly_and_the_request_keeps_its_id() -> None:
    class Raising(Doubling):
        def predict(self, request: Any) -> Any:
            raise ValueError("bad row")

    body = {"inputs": [5]}
    with pytest.raises(ValueError, match="bad row") as caught:
        ask(loaded(Raising), body, event_id="e1")
    assert (status_of(caught.value), status_of(caught.value, True)) == (400, 500)
    assert body["id"] == "e1"


def test_what_a_models_own_validate_raises_is_bad_input_strictly() -> None:
    class Strict(Doubling):
        def validate(self, request: Any, operation: str) -> Any:
            raise ValueError("too many rows")

    with pytest.raises(ValueError, match="too many rows") as caught:
        ask(loaded(Strict), {"inputs": [5]})
    assert status_of(caught.value, True) == 422


# Hooks


class Hooked(Doubling):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[Any] = []

    def preprocess(self, request: Any, operation: str) -> Any:
        self.seen.append(("preprocess", operation))
        return {"inputs": [value + 1 for value in request["inputs"]]}

    def validate(self, request: Any, operation: str) -> Any:
        self.seen.append(("validate", operation, request["inputs"]))
        return request

    def predict(self, request: Any) -> Any:
        self.seen.append("predict")
        return super().predict(request)

    def postprocess(self, request: Any) -> Any:
        self.seen.append(("postprocess", sorted(request)))
        return {**request, "more": 1}


def test_hooks_come_in_their_order_and_postprocess_gets_the_whole_answer() -> None:
    model = loaded(Hooked)
    answer = ask(model, {"inputs": [5]}, "predict")
    assert model.seen == [
        ("preprocess", "predict"),
        ("validate", "predict", [6]),
        "predict",
        ("postprocess", ["id", "model_name", "outputs", "timestamp"]),
    ]
    assert (answer["outputs"], answer["more"]) == ([12], 1)


def test_hooks_may_be_coroutines() -> None:
    class Later(Doubling):
        async def preprocess(self, request: Any, operation: str) -> Any:
            return request

        async def validate(self, request: Any, operation: str) -> Any:
            return request

        async def predict(self, request: Any) -> Any:
            await asyncio.sleep(0)
            return request["inputs"]

        async def explain(self, request: Any) -> Any:
            return "because"

        async def postprocess(self, request: Any) -> Any:
            return {**request, "more": 1}

    model = loaded(Later)
    answer = ask(model, {"inputs": [5]})
    assert (answer["outputs"], answer["more"]) == ([5], 1)
    assert ask(model, {"inputs": [5]}, "explain")["outputs"] == "because"


async def test_a_coroutine_is_awaited_where_a_loop_runs_already() -> None:
    class Later(Doubling):
        async def predict(self, request: Any) -> Any:
            return request["inputs"]

    assert ask(loaded(Later), {"inputs": [5]})["outputs"] == [5]


def test_a_coroutine_may_ask_another_model_without_awaiting_it() -> None:
    class Inner(Doubling):
        async def predict(self, request: Any) -> Any:
            return [value + 1 for value in request["inputs"]]

    inner = loaded(Inner)

    class Outer(Doubling):
        async def predict(self, request: Any) -> Any:
            return ask(inner, request)["outputs"]

    assert ask(loaded(Outer), {"inputs": [5]})["outputs"] == [6]


def test_coroutines_of_all_requests_run_on_one_loop() -> None:
    loops = []

    class Later(Doubling):
        async def predict(self, request: Any) -> Any:
            loops.append(asyncio.get_running_loop())
            return 0

    model = loaded(Later)
    ask(model, {"inputs": [5]})
    thread = threading.Thread(target=ask, args=(model, {"inputs": [5]}))
    thread.start()
    thread.join(DEADLINE_S)
    assert len(loops) == 2
    assert loops[0] is loops[1]


# Inputs as dicts


@pytest.mark.parametrize("operation", ["infer_dict", "predict_dict"])
def test_dicts_become_lists_in_the_order_of_the_features(operation: str) -> None:
    class Same(Doubling):
        def predict(self, request: Any) -> Any:
            return request["inputs"]

    model = with_features(cls=Same)
    assert ask(model, {"inputs": {"b": 2, "x": 9, "a": 1}}, operation)["outputs"] == [1, 2]
    rows = [{"b": 2, "a": 1}, {"a": 3, "b": 4}]
    assert ask(model, {"inputs": rows}, operation)["outputs"] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([1, 2], "inputs must be a dict, or a list of dicts"),
        ({"a": 1}, r"don't contain all the necessary input keys : \['b'\]"),
        ([{"a": 1, "b": 2}, {"b": 1}], r"necessary input keys : \['a'\]"),
    ],
)
def test_dicts_that_do_not_fit_the_features_are_refused(inputs: Any, text: str) -> None:
    with pytest.raises(MLRunInvalidArgumentError, match=text) as caught:
        ask(with_features(), {"inputs": inputs}, "infer_dict")
    assert status_of(caught.value) == 400


@pytest.mark.parametrize(
    ("model", "body", "path", "text"),
    [
        (loaded, {"operation": 5, "inputs": [5]}, "", "illegal model operation 5, method=POST"),
        (loaded, {"inputs": {"a": 1}}, "infer_dict", "model_path"),
        (with_features, {"x": 1}, "infer_dict", 'Expected key "inputs" in request body'),
        (
            lambda: loaded(input_path="x"),
            {"y": {"inputs": [5]}},
            "",
            'the request has nothing at x; expected JSON with "inputs"',
        ),
        (lambda: loaded(input_path="x"), 5, "", "supports only dict-like"),
    ],
)
def test_a_request_that_cannot_be_is_refused_with_what_it_lacks(
    model: Any, body: Any, path: str, text: str
) -> None:
    with pytest.raises(Exception, match=text):
        ask(model(), body, path)


# Paths


def test_an_input_path_and_a_result_path_lead_into_the_body() -> None:
    model = loaded(input_path="req", result_path="m1")
    body = {"req": {"inputs": [5], "id": "i"}}
    answer = ask(model, body)
    assert list(answer) == ["req", "m1"]
    assert (answer["m1"]["outputs"], answer["m1"]["id"]) == ([10], "i")


def test_operations_of_ones_own_and_metadata_go_by_the_result_path() -> None:
    model = loaded(result_path="r")
    assert ask(model, {"a": 1}, "myop")["r"]["a"] == 1
    assert ask(model, None, method="GET")["name"] == "m1"


# What stays of a request


def test_metrics_stay_until_they_are_set_anew() -> None:
    model = loaded()
    model.set_metric("a", 1)
    ask(model, {"inputs": [5]})
    assert model.metrics == {"a": 1}


def test_arrays_are_answered_as_they_are_for_whoever_writes_json() -> None:
    class Arrays(Doubling):
        def predict(self, request: Any) -> Any:
            return np.array(request["inputs"]) * 2

    assert ask(loaded(Arrays), {"inputs": [5]})["outputs"].tolist() == [10]


def test_only_what_stops_a_flow_says_so() -> None:
    model = loaded()
    flags = {}
    for path, method in (("infer", "POST"), ("ready", "GET"), ("", "GET"), ("myop", "POST")):
        event = MockEvent(body={"inputs": [5]}, path=path, method=method)
        flags[path or "metadata"] = model.do_event(event).terminated
    assert flags == {"infer": False, "ready": True, "metadata": True, "myop": True}


def test_a_timestamp_is_of_the_requests_start() -> None:
    class Slow(Doubling):
        def predict(self, request: Any) -> Any:
            self.predicted_ns = time.time_ns()
            return 0

    before_ns = time.time_ns()
    model = loaded(Slow)
    stamp = ask(model, {"inputs": [5]})["timestamp"]
    from mms.bodies.time_text import time_text

    assert time_text(before_ns) <= stamp <= time_text(model.predicted_ns)
