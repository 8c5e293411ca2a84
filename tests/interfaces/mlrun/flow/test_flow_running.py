"""Events through flows: what steps are given, what comes back, with both engines."""

from __future__ import annotations

import json
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest
from flow_harness import WAIT_S, Mul, Records, Served
from support.waiting import eventually

from mms.interfaces.mlrun.errors import MLRunNotFoundError
from mms.interfaces.mlrun.graph.graph_document import graph_from_dict, new_graph
from mms.interfaces.mlrun.model.context import GraphContext
from mms.interfaces.mlrun.model.event import MockEvent, MockTrigger

both_engines = pytest.mark.parametrize("engine", ["sync", "async"])


def flow(engine: str) -> Any:
    return new_graph("flow", engine=engine)


def double(x: Any) -> Any:
    return x * 2


def double_with_context(x: Any, context: Any = None) -> Any:
    assert isinstance(context, GraphContext)
    return x * 2


async def double_later(x: Any) -> Any:
    return x * 2


class Double:
    def do(self, x: Any) -> Any:
        return x * 2


class OfEvent:
    """Takes events, by a name of its own."""

    def on(self, event: Any) -> Any:
        event.body = {"path": event.path, "body": event.body}
        return event


class Apply:
    def __init__(self, fn: Any, other: Any) -> None:
        self.fn = fn
        self.other = other

    def do(self, x: Any) -> Any:
        return self.other(self.fn(x))


def add_one(event: Any) -> None:
    event.body = event.body + 1


PARTS = {"input_path": "x", "result_path": "y.z"}


@both_engines
@pytest.mark.parametrize(
    ("steps", "body", "reply"),
    [
        pytest.param([{"handler": "(event + 1)"}, {"handler": "json.dumps"}], 5, "6", id="names"),
        pytest.param(
            [{"handler": double_with_context}, {"handler": double}] * 2, 5, 80, id="context"
        ),
        pytest.param(
            [{"class_name": "Echo"}, {"class_name": "RespName"}], 5, [5, "s2"], id="named"
        ),
        pytest.param([{"handler": double_later}] * 2, 5, 20, id="coroutines"),
        pytest.param(
            [{"handler": double, **PARTS}], {"x": 5}, {"x": 5, "y": {"z": 10}}, id="parts"
        ),
        pytest.param(
            [{"class_name": Double, **PARTS}], {"x": 5}, {"x": 5, "y": {"z": 10}}, id="parts-class"
        ),
        pytest.param(
            [{"class_name": OfEvent, "handler": "on", "full_event": True}],
            5,
            {"path": "/here", "body": 5},
            id="event",
        ),
        pytest.param([{"handler": add_one, "full_event": True}], 5, 6, id="event-nothing-returned"),
        pytest.param(
            [{"class_name": Apply, "_fn": "(event * 2)", "_other": "json.dumps"}],
            5,
            "10",
            id="arguments-that-are-functions",
        ),
    ],
)
def test_a_step_calls_what_it_names_with_what_that_takes(
    engine: str, steps: list[dict[str, Any]], body: Any, reply: Any
) -> None:
    last = flow(engine)
    graph = last
    for number, step in enumerate(steps, start=1):
        last = last.to(name=f"s{number}", **step)
    last.respond()
    assert Served(graph).run(body, "/here") == reply


@both_engines
def test_a_response_of_a_step_is_the_reply(engine: str) -> None:
    def refuse(body: Any, context: Any) -> Any:
        return context.Response(body="no", status_code=418)

    graph = flow(engine)
    graph.to(handler=refuse, name="s1").respond()
    assert Served(graph).test(5).status_code == 418


@both_engines
def test_an_object_with_its_own_class_is_used_itself(engine: str) -> None:
    class Counting:
        count = 0

        def do(self, x: Any) -> Any:
            self.count += 1
            return x

    counting = Counting()
    graph = flow(engine)
    graph.to(counting, "s1").respond()
    Served(graph).run(5)
    assert counting.count == 1


@both_engines
def test_a_model_object_is_a_template(engine: str) -> None:
    template = Mul(multiplier=100)
    graph = flow(engine)
    graph.to(template, "my").respond()
    served = Served(graph)
    assert served.run({"inputs": [5]}, "/infer")["outputs"] == 500
    assert graph["my"].object is not template


def test_a_model_is_a_step_and_answers_its_operations() -> None:
    graph = flow("sync")
    graph.to(Mul, "my2", multiplier=100).respond()
    served = Served(graph)
    event = MockEvent(path="/", method="GET")
    assert graph.run(event).body["name"] == "my2"
    assert graph.run(MockEvent(path="/ready", method="GET")).body.status_code == 200
    assert served.run({"inputs": [5]})["outputs"] == 500


def test_models_in_a_row_read_and_write_members_of_one_body() -> None:
    graph = flow("async")
    first = graph.to(Mul, "m1", input_path="req", result_path="m1", multiplier=2)
    first.to(Mul, "m2", input_path="req", result_path="m2", multiplier=3).respond()
    answer = Served(graph).run({"req": {"inputs": [5]}})
    assert list(answer) == ["req", "m1", "m2"]
    assert (answer["m1"]["outputs"], answer["m2"]["outputs"]) == (10, 15)


@both_engines
def test_a_router_is_a_step(engine: str) -> None:
    def double_inputs(request: Any) -> Any:
        request["inputs"][0] *= 2
        return request

    graph = flow(engine)
    router = graph.to("Echo", "s1").to(handler=double_inputs, name="s2").to("*", "ensemble")
    for key, multiplier in (("m1", 100), ("m2", 200), ("m3:v1", 300)):
        router.add_route(key, class_name="Mul", model_path=".", multiplier=multiplier)
    router.to("Echo", "final").respond()
    served = Served(graph)
    assert served.run({"inputs": [5]}, "/v2/models/m2/infer")["outputs"] == 2000
    assert served.run({"inputs": [5]}, "/v2/models/m3/versions/v1/infer")["outputs"] == 3000


@both_engines
def test_a_router_reads_and_writes_members(engine: str) -> None:
    graph = flow(engine)
    router = graph.to("Echo", "s1").to("*", "r1", input_path="x", result_path="y")
    router.add_route("m1", class_name="Mul", multiplier=1)
    router.to("Echo", "s3").respond()
    answer = Served(graph).run({"x": {"inputs": [5]}}, "/v2/models/m1/infer")
    assert answer["y"]["outputs"] == 5


def test_an_ensemble_is_a_step() -> None:
    graph = flow("sync")
    router = graph.to("Echo", "s1").to(
        "*mlrun.serving.routers.VotingEnsemble",
        "r1",
        input_path="x",
        result_path="y",
        vote_type="regression",
    )
    router.add_route("m1", class_name="MulList", model_path=".", multiplier=10)
    router.add_route("m2", class_name="MulList", model_path=".", multiplier=20)
    router.to("Echo", "s3").respond()
    answer = Served(graph).run({"x": {"inputs": [[5]]}}, "/v2/models/infer")
    assert answer["y"]["outputs"] == [75]


# Engine async: branches


def test_branches_all_run_and_one_replies() -> None:
    graph = flow("async")
    queue = graph.to("Chain", "s1").to("$queue", "q1", path="")
    second = queue.to("Chain", "s2", function="some_function")
    second.to("Chain", "s4")
    second.to("Chain", "s5").respond()
    queue.to("Chain", "s3", function="some_other_function")
    with Served(graph) as served:
        assert served.run([]) == ["s1", "s2", "s5"]
    visits: Any = served.context.__dict__["visits"]
    assert visits == {"s1": 1, "s2": 1, "s3": 1, "s4": 1, "s5": 1}


def test_without_a_responder_the_reply_is_the_events_id() -> None:
    graph = flow("async")
    graph.to("Chain", "s1")
    with Served(graph) as served:
        assert served.run([], event_id="abc") == {"id": "abc"}
    assert served.context.__dict__["visits"] == {"s1": 1}


def test_events_of_streams_get_no_reply_of_a_step() -> None:
    graph = flow("async")
    graph.to("Chain", "s1").respond()
    with Served(graph) as served:
        trigger = MockTrigger(kind="kafka-cluster")
        assert served.run([], event_id="abc", trigger=trigger) == {"id": "abc"}


def test_a_branch_does_not_see_what_another_one_does_to_the_body() -> None:
    def add(name: str) -> Any:
        def change(body: Any) -> Any:
            body["inner"].append(name)
            return body

        return change

    seen: list[Any] = []
    graph = flow("async")
    first = graph.to("Echo", "start")
    for name in ("a", "b", "c"):
        first.to(handler=add(name), name=name).to(handler=seen.append, name=f"keep {name}")
    with Served(graph) as served:
        body: dict[str, Any] = {"inner": []}
        served.run(body)
    assert sorted(found["inner"][0] for found in seen) == ["a", "b", "c"]
    assert {len(found["inner"]) for found in seen} == {1}
    assert body == {"inner": []}


def test_steps_after_the_responder_do_not_change_the_reply() -> None:
    def change(body: Any) -> Any:
        body["changed"] = True
        return body

    graph = flow("async")
    graph.to("Echo", "s1").respond().to(handler=change, name="s2")
    with Served(graph) as served:
        answer = served.run({"a": 1})
    assert answer == {"a": 1}


def test_an_event_that_was_terminated_goes_no_further() -> None:
    def stop(event: Any) -> Any:
        event.terminated = True
        event.body = "stopped"
        return event

    for engine in ("sync", "async"):
        graph = flow(engine)
        first = graph.to(handler=stop, name="s1", full_event=True)
        first.to("Chain", "s2").to("Echo", "s3").respond()
        with Served(graph) as served:
            assert served.run([]) == "stopped"
        assert "visits" not in served.context.__dict__


# Queues and functions


@both_engines
def test_all_functions_run_here_or_one_of_them(engine: str) -> None:
    graph = flow(engine)
    queue = graph.to("Echo", "e1").to("$queue", "q1", path="")
    router = queue.to("*", "r1", function="f2")
    router.to("Echo", "e2", function="f2").respond()
    router.add_route("m1", class_name="Mul", multiplier=1)
    document = graph.to_dict()
    assert Served(graph).run({"inputs": [5]}, "/v2/models/m1/infer")["outputs"] == 5
    second = graph_from_dict(document)
    context = GraphContext(is_mock=True)
    context.current_function = "f2"
    assert Served(second, context=context).run({"inputs": [5]})["outputs"] == 5


def test_the_function_at_the_root_pushes_to_the_queue() -> None:
    graph = flow("sync")
    queue = graph.to("Echo", "e1").to("$queue", "q1", path="dummy://")
    queue.to("Echo", "e2", function="f2")
    context = GraphContext(is_mock=True)
    context.current_function = ""
    served = Served(graph, context=context)
    assert served.run({"a": 1}, event_id="abc") == {"id": "abc"}
    assert graph["q1"].stream.event_list == [
        {"full_event_wrapper": True, "key": "", "id": "abc", "body": {"a": 1}}
    ]


def test_a_pushed_event_is_unwrapped_where_it_arrives() -> None:
    graph = flow("sync")
    graph.to(handler=lambda event: f"{event.id} {event.body}", name="s1", full_event=True)
    wrapped = {"full_event_wrapper": True, "key": "", "id": "abc", "body": 5}
    assert Served(graph).run(wrapped) == "abc 5"


def test_a_last_queue_pushes_the_body_and_passes_it_on() -> None:
    graph = flow("sync")
    graph.to("Echo", "e1").to(">>", "q1", path="dummy://")
    served = Served(graph)
    assert served.run({"a": 1}) == {"a": 1}
    assert served.run([1, 2]) == [1, 2]
    assert graph["q1"].stream.event_list == [{"a": 1}, [1, 2]]


def test_what_was_pushed_to_a_queue_is_written_when_the_flow_is_completed(tmp_path: Path) -> None:
    graph = flow("async")
    graph.to("Echo", "e1").to(">>", "q1", path=str(tmp_path / "events.jsonl"))
    with Served(graph, context=GraphContext()) as served:
        for number in range(3):
            served.run({"n": number})
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"n": 0}, {"n": 1}, {"n": 2}]


# Errors


class FailsOnBad:
    def do(self, x: Any) -> Any:
        if x == "bad":
            raise ValueError("bad body")
        return x


@both_engines
def test_the_error_of_a_step_is_the_reply(engine: str) -> None:
    graph = flow(engine)
    graph.to("Chain", "s1").to("Raiser", "s2").to("Echo", "s3").respond()
    with Served(graph) as served:
        with pytest.raises(ValueError, match="this is an error"):
            served.run([])
        answer = served.test([])
    assert answer.status_code == 400
    assert answer.body == "ValueError: this is an error, ['s1']"


@both_engines
def test_an_error_handler_gets_the_event_and_replies(engine: str) -> None:
    graph = flow(engine)
    raiser = graph.to("Chain", "s1").to("Raiser", "raiser").respond()
    raiser.error_handler(name="catch", class_name="EchoError", full_event=True)
    raiser.to("Chain", "s3")
    with Served(graph) as served:
        answer = served.run([])
    error = answer.pop("error")
    assert answer == {"body": ["s1"], "origin_state": "raiser"}
    if engine == "async":
        assert isinstance(error, ValueError)
        assert str(error) == "this is an error, ['s1']"
    else:
        assert error == {"raiser": "this is an error, ['s1']"}
    assert served.context.__dict__["visits"] == {"s1": 1}


def raise_on(event: Any) -> Any:
    raise event.error


@pytest.mark.parametrize("where", ["step", "graph"])
def test_an_error_handler_of_an_async_flow_can_raise_the_error_again(where: str) -> None:
    class Refuses:
        def do(self, body: Any) -> Any:
            raise MLRunNotFoundError("no such user")

    graph = flow("async")
    step = graph.to("Chain", "s1").to(Refuses, "raiser").respond()
    (step if where == "step" else graph).error_handler("again", handler=raise_on, full_event=True)
    answer = Served(graph).test([])
    assert (answer.status_code, answer.body) == (404, "MLRunNotFoundError: no such user")


def test_the_error_of_the_step_that_failed_last_is_the_events() -> None:
    graph = flow("async")
    first = graph.to("Raiser", "first")
    first.error_handler("fails", handler="(event.missing)", before="end")
    first.to("Chain", "end").respond()
    graph["fails"].on_error = "last"
    graph.add_step("EchoError", name="last", full_event=True, after=[])
    answer = Served(graph).run([])
    assert (type(answer["error"]), answer["origin_state"]) == (AttributeError, "fails")


@both_engines
def test_an_error_handler_may_be_a_step_of_the_flow(engine: str) -> None:
    graph = flow(engine)
    graph.add_step(name="s1", class_name="Chain")
    graph.add_step(name="raiser", class_name="Raiser", after="$prev").error_handler("catch")
    graph.add_step(name="s3", class_name="Chain", after="$prev").respond()
    graph.add_step(name="catch", class_name="EchoError").full_event = True
    assert Served(graph).run([])["origin_state"] == "raiser"


@both_engines
def test_the_flow_goes_on_after_an_error_handler_with_before(engine: str) -> None:
    graph = flow(engine)
    first = graph.to(FailsOnBad, "s1")
    first.error_handler("catch", handler="(event + ' was caught')", before="s2")
    first.to("RespName", "s2").respond()
    served = Served(graph)
    assert served.run("bad") == ["bad was caught", "s2"]
    assert served.run("good") == ["good", "s2"]


@both_engines
def test_the_handler_of_the_graph_gets_what_no_other_handles(engine: str) -> None:
    graph = flow(engine)
    graph.to("Chain", "s1").to("Raiser", "raiser").respond()
    graph.error_handler("last", class_name="EchoError", full_event=True)
    assert Served(graph).run([])["origin_state"] == "raiser"


@both_engines
def test_an_error_handler_that_fails_is_an_error(engine: str) -> None:
    graph = flow(engine)
    graph.to("Raiser", "raiser").respond().error_handler("catch", handler="(event.missing)")
    with pytest.raises(AttributeError, match="missing"):
        Served(graph).run({})


@both_engines
def test_what_a_handler_handles_goes_to_the_error_stream_with_its_step(engine: str) -> None:
    graph = flow(engine)
    graph.to("Raiser", "raiser").respond().error_handler("catch", handler="('caught')")
    context = GraphContext(function_uri="p/f")
    context.error_stream = Records()
    with Served(graph, context=context) as served:
        assert served.run({"a": 1}, event_id="abc") == "caught"
    (record,) = context.error_stream.records
    assert record["source"] == "raiser"
    assert record["event"] == {"id": "abc", "body": {"a": 1}}
    assert record["message"].startswith("this is an error")


def test_an_error_that_nobody_waits_for_reaches_no_one_even_where_the_stream_fails() -> None:
    class Failing:
        def push(self, record: Any) -> None:
            raise RuntimeError("the stream is broken")

    graph = flow("async")
    graph.to("Chain", "s1").to("Raiser", "raiser")
    context = GraphContext()
    context.error_stream = Failing()
    with Served(graph, context=context) as served:
        assert served.run([], event_id="abc") == {"id": "abc"}


def test_an_error_beside_the_way_to_the_reply_does_not_change_it() -> None:
    graph = flow("async")
    first = graph.to("Echo", "s1")
    first.to("Raiser", "aside")
    first.to("Echo", "s2").respond()
    context = GraphContext()
    context.error_stream = Records()
    with Served(graph, context=context) as served:
        for _ in range(20):
            assert served.run(5) == 5
    assert [record["source"] for record in context.error_stream.records] == ["aside"] * 20


def test_a_handled_error_beside_the_way_to_the_reply_does_not_change_it() -> None:
    def wait(body: Any) -> Any:
        eventually("this step's event is the only one", lambda: graph._runner._under_way == 1)
        return body

    graph = flow("async")
    first = graph.to("Echo", "s1")
    first.to("Raiser", "aside").error_handler("catch", handler="('caught')")
    first.to(handler=wait, name="s2").respond()
    with Served(graph) as served:
        assert served.run(5) == 5


def test_an_error_handler_replies_where_no_step_is_the_responder() -> None:
    graph = flow("async")
    graph.to(FailsOnBad, "s1").error_handler("catch", handler="('caught')")
    with Served(graph) as served:
        assert served.run("bad") == "caught"
        assert served.run("good", event_id="abc") == {"id": "abc"}


# Classes that come from a file


def test_classes_and_handlers_are_found_in_a_module(tmp_path: Path) -> None:
    code = "class Mycls:\n    def do(self, x):\n        return x * 2\n\ndef myhand(x):\n    return x * 2\n"
    module = types.ModuleType("of_the_function")
    exec(compile(code, str(tmp_path / "code.py"), "exec"), module.__dict__)
    graph = flow("sync")
    graph.to("Mycls", "s1").to(handler="myhand", name="s2")
    assert Served(graph, module).run(5) == 20


def test_classes_are_imported_by_their_dotted_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flow_steps_here.py").write_text(
        "class Outer:\n    class Inner:\n        def do(self, x):\n            return x + 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    graph = flow("sync")
    graph.to("flow_steps_here.Outer.Inner", "s1")
    assert Served(graph).run(5) == 6
    del sys.modules["flow_steps_here"]


def test_a_module_that_cannot_be_imported_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flow_steps_broken.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    graph = flow("sync")
    graph.to("flow_steps_broken.Step", "s1")
    with pytest.raises(ModuleNotFoundError, match="no_such_package_at_all"):
        Served(graph)


def test_a_flow_waits_for_its_events_no_longer_than_it_is_told() -> None:
    may_go_on = threading.Event()

    def wait(body: Any) -> None:
        may_go_on.wait(WAIT_S)

    graph = flow("async")
    graph.to(handler=wait, name="s1")
    served = Served(graph)
    served.run({})
    with pytest.raises(TimeoutError, match="1 events of the flow were still under way"):
        graph.wait_for_completion(0.05)
    may_go_on.set()
    graph.wait_for_completion(WAIT_S)
