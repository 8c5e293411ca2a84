"""Routers to one model, and to all in parallel."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from routed_models import Raising, Route, ask, context, four, made, route

from mms.interfaces.mlrun.errors import with_strict_status
from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger, Response
from mms.interfaces.mlrun.model.running import run_event
from mms.interfaces.mlrun.routers.router import BaseModelRouter, ModelRouter, ParallelRun

EXECUTORS = ("array", "thread", "process")


def router(**options: Any) -> Any:
    where = context(**options)
    return made(ModelRouter, four(where=where), where)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/v2/models", "/v2/models/"])
def test_the_prefix_alone_lists_the_models_by_any_method(path: str, method: str) -> None:
    found = ask(router(), path, method=method)
    assert found == {"models": ["m1", "m2", "m3:v1", "m3:v2"]}


@pytest.mark.parametrize(
    ("path", "outputs"),
    [
        ("/v2/models/m1/infer", 500),
        ("/v2/models/m1", 500),
        ("/v2/models/m2/predict", 1000),
        ("/v2/models/m3/versions/v1/infer", 1500),
        ("/v2/models/m3:v2/infer", 2000),
    ],
)
def test_a_path_leads_to_its_model(path: str, outputs: int) -> None:
    assert ask(router(), path, {"inputs": [5]})["outputs"] == outputs


@pytest.mark.parametrize("path", ["/", ""])
def test_a_body_leads_to_its_model(path: str) -> None:
    assert ask(router(), path, {"model": "m2", "inputs": [5]})["outputs"] == 1000
    assert ask(router(), path, {"inputs": [5]})["outputs"] == 500
    body = {"model": "m3:v2", "operation": "explain", "inputs": [5]}
    assert ask(router(), path, body)["outputs"] == {"explained": 5}


def test_the_models_of_the_path_and_of_the_body_differ_in_favour_of_the_path() -> None:
    body = {"model": "m2", "inputs": [5]}
    assert ask(router(), "/v2/models/m1/infer", body)["outputs"] == 500


def test_a_bodys_operation_beats_the_path_only_where_that_is_allowed() -> None:
    body = {"operation": "explain", "inputs": [5]}
    assert ask(router(), "/v2/models/m1/infer", dict(body))["outputs"] == 500
    found = ask(router(body_operation=True), "/v2/models/m1/infer", dict(body))
    assert found["outputs"] == {"explained": 5}


def test_an_operation_of_a_models_own_is_reached() -> None:
    assert ask(router(), "/v2/models/m1/myop", {"test": "ok"}) == {"test": "ok"}


@pytest.mark.parametrize(
    ("path", "strict", "text"),
    [
        ("/v2/models/m1/xx", 404, "ValueError: illegal model operation xx, method=POST"),
        (
            "/v2/models/m5/xx",
            404,
            "ValueError: model m5 doesnt exist, available models: m1 | m2 | m3:v1 | m3:v2",
        ),
        ("/foo", 404, "ValueError: illegal path prefix /foo, must start with /v2/models"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(path: str, strict: int, text: str) -> None:
    found = ask(router(), path, {"inputs": [5]})
    assert (found.status_code, found.body) == (400, text)
    assert ask(router(strict_status=True), path, {"inputs": [5]}).status_code == strict


def test_a_model_says_through_its_router_whether_it_is_ready() -> None:
    found = ask(router(), "/v2/models/m1/ready", event_id="E")
    assert (found.status_code, found.body) == (200, b"Model m1 is ready (event_id = E)")


@pytest.mark.parametrize("path", ["/", "", "/v2/health", "/v2/health/ready", "/v2/health/live"])
def test_the_router_says_what_it_is(path: str) -> None:
    assert ask(router(), path) == {"name": "ModelRouter", "version": "v2", "extensions": []}


@pytest.mark.parametrize(
    ("path", "is_end"), [("/v2/models", True), ("/v2/health", True), ("/v2/models/m1", False)]
)
def test_what_the_router_answers_itself_ends_a_flow(path: str, is_end: bool) -> None:
    event = MockEvent({"inputs": [5]}, path=path, method="POST")
    assert router().do_event(event).terminated is is_end


def test_a_path_that_only_begins_like_health_is_none() -> None:
    assert ask(router(), "/v2/healthy").status_code == 400


def test_a_json_body_is_read_whatever_its_type_says() -> None:
    for content_type in ("text/plain", "application/json; charset=utf-8", None):
        found = ask(router(), "/v2/models/m1/infer", b'{"inputs": [5]}', content_type=content_type)
        assert found["outputs"] == 500


def test_a_body_that_is_nothing_known_is_refused() -> None:
    found = ask(router(), "/v2/models/m1/infer", b"\x00", content_type="text/plain")
    assert found.status_code == 400
    assert found.body.startswith("ValueError: Unrecognized request format, caused by: ")


def test_an_image_reaches_the_model_as_a_file() -> None:
    seen = []

    def run(event: Any) -> Any:
        seen.append(event.body)
        event.body = "ok"
        return event

    single = made(ModelRouter, {"m": Route(run)})
    assert ask(single, "/v2/models/m/infer", b"\x89PNG", content_type="image/png") == "ok"
    assert isinstance(seen[0]["inputs"][0], io.BytesIO)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_empty_prediction_is_refused(method: str) -> None:
    found = ask(router(), "/v2/models/m1/infer", None, method)
    assert (found.status_code, found.body) == (
        400,
        'ValueError: the request has no body; expected JSON with "inputs"',
    )


def test_an_event_of_a_stream_goes_by_its_body() -> None:
    event = MockEvent(
        body=b'{"model": "m2", "inputs": [5]}', path="topic-1", trigger=MockTrigger("kafka")
    )
    owner = router()
    assert run_event(owner.do_event, event, owner.context, get_body=True)["outputs"] == 1000


def test_another_protocol_has_other_paths() -> None:
    other = made(ModelRouter, four(), protocol="v1")
    assert ask(other, "/v1/models")["models"][0] == "m1"
    assert ask(other, "/v1/health")["name"] == "ModelRouter"


def test_prefixes_may_be_given() -> None:
    other = made(ModelRouter, four(), url_prefix="/x", health_prefix="/up")
    assert ask(other, "/x")["models"][0] == "m1"
    assert ask(other, "/x/m1/infer", {"inputs": [5]})["outputs"] == 500
    assert ask(other, "/up")["version"] == "v2"


def test_paths_into_the_body_go_for_routers_too() -> None:
    other = made(ModelRouter, four(), input_path="x", result_path="y")
    found = ask(other, "/v2/models/m1/infer", {"x": {"inputs": [5]}})
    assert found["x"] == {"inputs": [5]}
    assert found["y"]["outputs"] == 500


def test_a_router_of_ones_own_has_hooks_around_its_routes() -> None:
    class Own(ModelRouter):
        def preprocess(self, event: Any) -> Any:
            event.body["inputs"][0] += 1
            return event

        def postprocess(self, event: Any) -> Any:
            event.body["more"] = 1
            return event

        def get_metadata(self) -> Any:
            return {"name": "own"}

    own = made(Own, four())
    found = ask(own, "/v2/models/m1/infer", {"inputs": [5]})
    assert (found["outputs"], found["more"]) == (600, 1)
    assert ask(made(Own, four()), "/v2/health", method="HEAD", body={"inputs": [0]}) == {
        "name": "own"
    }


def test_a_router_that_does_not_route_says_so() -> None:
    found = ask(made(BaseModelRouter, four()), "/v2/models/m1/infer", {"inputs": [5]})
    assert found.body == "NotImplementedError: BaseModelRouter does not say how it routes"


def test_parameters_are_the_routers_then_the_functions() -> None:
    owner = made(ModelRouter, {}, a=1)
    owner.context.parameters = {"a": 2, "b": 3}
    assert [owner.get_param(key, 0) for key in "abc"] == [1, 3, 0]


def test_a_router_without_a_context_routes() -> None:
    alone = ModelRouter(routes=four())
    alone.post_init()
    event = MockEvent({"inputs": [5]}, path="/v2/models/m1/infer", method="POST")
    assert alone.do_event(event).body["outputs"] == 500
    assert alone.get_param("a", 1) == 1


# All in parallel


def returning(value: Any) -> Route:
    def run(event: Any) -> Any:
        event.body = value
        return event

    return Route(run)


def doubling() -> Route:
    def run(event: Any) -> Any:
        event.body = {"mul": event.body["x"] * 2}
        return event

    return Route(run)


@pytest.mark.parametrize("executor_type", EXECUTORS)
def test_answers_of_all_routes_become_one(executor_type: str) -> None:
    routes = {"a": returning({"a": 1, "b": 2}), "b": returning({"c": 7}), "c": doubling()}
    both = made(ParallelRun, routes, extend_event=True, executor_type=executor_type)
    assert ask(both, "/", {"x": 8}) == {"x": 8, "a": 1, "b": 2, "c": 7, "mul": 16}
    assert ask(both, "/", {"x": 9})["mul"] == 18
    alone = made(ParallelRun, routes, executor_type=executor_type)
    assert ask(alone, "/", {"x": 8}) == {"a": 1, "b": 2, "c": 7, "mul": 16}
    both.close()
    alone.close()


def test_later_routes_win_whatever_the_order_of_their_answers() -> None:
    first_is_done = threading.Event()

    def slow(event: Any) -> Any:
        assert first_is_done.wait(10)
        event.body = {"by": "first"}
        return event

    def fast(event: Any) -> Any:
        event.body = {"by": "second"}
        first_is_done.set()
        return event

    both = made(ParallelRun, {"a": Route(slow), "b": Route(fast)})
    assert ask(both, "/", {"x": 1}) == {"by": "second"}
    both.close()


@pytest.mark.parametrize("executor_type", EXECUTORS)
def test_what_a_route_changes_in_its_body_no_other_sees(executor_type: str) -> None:
    def changing(event: Any) -> Any:
        found = {f"seen by {event.body.pop('who', 'nobody')}": list(event.body["rows"][0])}
        event.body["rows"][0].append(9)
        event.body = found
        return event

    both = made(
        ParallelRun, {"a": Route(changing), "b": Route(changing)}, executor_type=executor_type
    )
    assert ask(both, "/", {"who": "x", "rows": [[1]]}) == {"seen by x": [1]}
    both.close()


@pytest.mark.parametrize("executor_type", EXECUTORS)
def test_a_route_that_fails_is_named_beside_the_answers_of_the_others(executor_type: str) -> None:
    both = made(
        ParallelRun,
        {"good": returning({"a": 1}), "bad": route(Raising, "bad")},
        executor_type=executor_type,
    )
    found = ask(both, "/", {"inputs": [5]})
    assert found == {"a": 1, "failed": {"bad": "ValueError: bad model"}}
    both.close()


def test_where_all_routes_fail_so_does_the_request() -> None:
    both = made(ParallelRun, {key: route(Raising, key) for key in ("a", "b")})
    found = ask(both, "/", {"inputs": [5]})
    assert found.status_code == 400
    assert found.body == (
        "RuntimeError: all models of ParallelRun failed: a: ValueError: bad model; "
        "b: ValueError: bad model"
    )
    both.close()


def test_a_status_that_all_failures_share_is_that_of_the_request() -> None:
    def refusing(status: int) -> Route:
        def run(event: Any) -> Any:
            raise with_strict_status(ValueError("no"), status)

        return Route(run)

    for statuses, expected in (((422, 422), 422), ((422, 503), 500)):
        routes = {str(number): refusing(status) for number, status in enumerate(statuses)}
        both = made(ParallelRun, routes, context(strict_status=True))
        assert ask(both, "/", {"x": 1}).status_code == expected
        both.close()


def test_models_that_are_all_unavailable_make_an_unavailable_router() -> None:
    routes = {key: returning(Response(body=b"no worker", status_code=503)) for key in ("a", "b")}
    both = made(ParallelRun, routes)
    found = ask(both, "/", {"x": 1})
    assert (found.status_code, found.headers) == (503, {"Retry-After": "5"})
    assert "a: RuntimeError: (503): no worker" in found.body
    both.close()


def test_a_failed_route_is_told_to_the_error_stream() -> None:
    records: list[Any] = []

    class Errors:
        def push(self, record: Any) -> None:
            records.append(record)

    both = made(ParallelRun, {"good": returning({}), "bad": route(Raising, "bad")}, name="both")
    both.context.error_stream = Errors()
    ask(both, "/", {"inputs": [5]})
    assert [record["source"] for record in records] == ["both.bad"]
    both.close()


def test_a_response_that_tells_of_an_error_is_a_failure() -> None:
    routes = {"a": returning({"a": 1}), "b": returning(Response(body=b"gone", status_code=404))}
    both = made(ParallelRun, routes)
    assert ask(both, "/", {"x": 1}) == {"a": 1, "failed": {"b": "RuntimeError: (404): gone"}}
    both.close()


def test_an_answer_that_is_no_dict_is_refused_with_its_route() -> None:
    both = made(ParallelRun, {"a": returning({"a": 1}), "b": returning([1])})
    found = ask(both, "/", {"x": 1})
    assert found.body == "TypeError: route b answered a list; ParallelRun merges dicts"
    both.close()


def test_routes_see_the_path_of_the_request() -> None:
    def telling(event: Any) -> Any:
        event.body = {"path": event.path}
        return event

    both = made(ParallelRun, {"a": Route(telling), "b": returning({})})
    assert ask(both, "/v2/models/infer", {"x": 1}) == {"path": "/v2/models/infer"}
    both.close()


def test_a_merger_of_ones_own_gets_the_answers_by_route() -> None:
    class Own(ParallelRun):
        def merger(self, body: Any, results: Any) -> Any:
            return sorted(results.items())

    both = made(Own, {"b": returning(2), "a": returning(1)})
    assert ask(both, "/", {"x": 1}) == [["a", 1], ["b", 2]]
    both.close()


def test_health_leaves_the_threads_alone() -> None:
    both = made(ParallelRun, {"a": doubling(), "b": returning({})})
    for _ in range(2):
        assert ask(both, "/", {"x": 1}) == {"mul": 2}
        assert ask(both, "/v2/health")["name"] == "ParallelRun"
    both.close()
    assert ask(both, "/", {"x": 1}) == {"mul": 2}
    both.close()


def test_an_unknown_executor_and_a_router_without_routes_are_refused() -> None:
    with pytest.raises(ValueError, match="executor_type is 'gpu', must be one of array, thread"):
        ParallelRun(executor_type="gpu")
    assert ask(made(ParallelRun, {}), "/", {"x": 1}).body.endswith("has no routes")
