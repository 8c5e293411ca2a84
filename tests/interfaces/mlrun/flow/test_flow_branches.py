"""Branches that run beside each other, and steps that join them."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from flow_harness import WAIT_S, Served
from support.waiting import eventually

from mms.interfaces.mlrun.errors import GraphError
from mms.interfaces.mlrun.graph.flow_plan import plan_flow
from mms.interfaces.mlrun.graph.graph_document import new_graph
from mms.interfaces.mlrun.graph.merge import Merge
from mms.interfaces.mlrun.graph.steps.base import NO_EVENT
from mms.interfaces.mlrun.model.event import MockEvent


class Adder:
    def __init__(self, add: int = 2) -> None:
        self.add = add

    def do(self, x: int) -> int:
        return x + self.add


class Gather:
    """Keeps what it gets, on the context."""

    def __init__(self, context: Any) -> None:
        self.context = context
        context.mylist = []

    def do(self, x: Any) -> Any:
        self.context.mylist.append(x)
        return x


class Gate:
    """Passes events on only once it is opened."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.inside = 0
        self.most_inside = 0
        self.has_begun = threading.Event()
        self.seen: list[Any] = []
        self._lock = threading.Lock()

    def do(self, x: Any) -> Any:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        self.has_begun.set()
        assert self.is_open.wait(WAIT_S)
        with self._lock:
            self.inside -= 1
            self.seen.append(x)
        return x


def doubled() -> tuple[Any, Any]:
    graph = new_graph("flow")
    return graph, graph.to(handler="(event * 2)", name="double")


@pytest.mark.parametrize("with_queue", [False, True])
def test_branches_that_meet_without_a_join_pass_on_all_their_events(with_queue: bool) -> None:
    graph, first = doubled()
    first.to(Adder, "add3", add=3)
    first.to(Adder, "add2", add=2)
    if with_queue:
        queue = graph.add_step("$queue", "q1", path="").after_step("add2", "add3")
        queue.to(Gather, "gather", function="some_function")
    else:
        graph.add_step(Gather, "gather").after_step("add2", "add3")
    with Served(graph) as served:
        for body in (5, 10, 15):
            served.run(body)
    found: Any = served.context.__dict__["mylist"]
    assert sorted(found) == [12, 13, 22, 23, 32, 33]


def test_a_join_waits_for_the_events_of_one_id() -> None:
    graph, first = doubled()
    first.to(Adder, "add3", add=3)
    first.to(Adder, "add2", add=2)
    graph.add_step(Merge(name="Merge")).respond().after_step("add2", "add3")
    with Served(graph) as served:
        assert sorted(served.run(5)) == [12, 13]
        assert sorted(served.run(6)) == [14, 15]


def test_a_join_behind_a_queue_expects_what_comes_into_the_queue() -> None:
    graph, first = doubled()
    first.to(Adder, "add3", add=3)
    first.to(Adder, "add2", add=2)
    queue = graph.add_step("$queue", "q1", path="").after_step("add2", "add3")
    queue.to("mlrun.serving.merger.Merge", "join", function="f2").respond()
    assert sorted(Served(graph).run(5)) == [12, 13]


def test_a_join_by_a_key_of_the_body() -> None:
    graph = new_graph("flow")
    first = graph.to(handler="(event * 2)", name="double", input_path="x", result_path="x")
    first.to(Adder, "add3", add=3, input_path="x", result_path="x")
    first.to(Adder, "add2", add=2, input_path="x", result_path="x")
    join = Merge(name="Merge", key_path="event['key']")
    graph.add_step(join, after=["add2", "add3"]).respond()
    with Served(graph) as served:
        answer = served.test({"x": 4})
        assert (answer.status_code, answer.body) == (400, "KeyError: 'key'")
        found = served.run({"x": 4, "key": 77})
    assert sorted(member["x"] for member in found) == [10, 11]


def test_a_join_drops_the_oldest_events_that_wait_for_a_slow_branch() -> None:
    gate = Gate()
    graph, first = doubled()
    first.to(Adder, "fast", add=3).to(Gather, "fast came")
    first.to(gate, "slow")
    graph["fast came"].to(Merge(name="join", max_behind=3)).after_step("slow")
    graph["join"].to(handler=lambda x: gathered.append(sorted(x)), name="keep")
    gathered: list[Any] = []
    with Served(graph) as served:
        for body in (5, 6, 7, 8, 9):
            served.run(body)
        eventually("three events wait", lambda: len(graph["join"].object._waiting) == 3)
        eventually("five events came", lambda: len(served.context.__dict__["mylist"]) == 5)
        eventually("two are dropped", lambda: len(graph["join"].object._dropped) == 2)
        gate.is_open.set()
    assert gathered == [[14, 17], [16, 19], [18, 21]]


def test_a_join_of_whole_events() -> None:
    join = Merge(full_event=True, expected_num_events=2)
    join.post_init()
    first, second = MockEvent(body=1, event_id="a"), MockEvent(body=2, event_id="a")
    assert join.do_event(first) is NO_EVENT
    assert join.do_event(second).body == [first, second]


def test_a_key_that_is_no_expression_is_refused_with_the_joins_name() -> None:
    with pytest.raises(GraphError, match="step Merge: the expression event\\[ is not valid"):
        Merge(key_path="event[")


def test_a_step_has_one_event_at_a_time_in_their_order() -> None:
    gate = Gate()
    graph = new_graph("flow")
    graph.to(gate, "s1")
    with Served(graph) as served:
        for number in range(20):
            served.run(number)
        assert gate.has_begun.wait(WAIT_S)
        gate.is_open.set()
    assert gate.most_inside == 1
    assert gate.seen == list(range(20))


def test_a_step_that_says_so_has_several_events_at_a_time() -> None:
    class Several:
        max_in_flight = 3

        def __init__(self) -> None:
            self.together = threading.Barrier(3)

        def do(self, x: Any) -> Any:
            self.together.wait(WAIT_S)
            return x

    graph = new_graph("flow")
    graph.to(Several, "s1")
    with Served(graph) as served:
        for number in range(6):
            served.run(number)


def test_events_that_a_step_has_together_go_on_in_their_order() -> None:
    class LastFirst:
        """Passes on the last of three events first."""

        max_in_flight = 3

        def __init__(self) -> None:
            self.is_done = [threading.Event() for _ in range(4)]
            self.is_done[3].set()

        def do(self, number: int) -> int:
            assert self.is_done[number + 1].wait(WAIT_S)
            self.is_done[number].set()
            return number

    graph = new_graph("flow")
    graph.to(LastFirst, "s1").to(Gather, "gather")
    with Served(graph) as served:
        for number in range(3):
            served.run(number)
    found: Any = served.context.__dict__["mylist"]
    assert found == [0, 1, 2]


def test_branches_run_beside_each_other() -> None:
    together = threading.Barrier(3)

    def meet(x: Any) -> Any:
        together.wait(WAIT_S)
        return x

    graph = new_graph("flow")
    first = graph.to("Echo", "start")
    for name in ("a", "b", "c"):
        first.to(handler=meet, name=name)
    graph.add_step(Merge(name="join"), after=["a", "b", "c"]).respond()
    with Served(graph) as served:
        assert served.run(1) == [1, 1, 1]


def test_a_slow_branch_does_not_hold_up_the_reply() -> None:
    gate = Gate()
    graph = new_graph("flow")
    first = graph.to("Echo", "start")
    first.to(gate, "slow")
    first.to("Echo", "fast").respond()
    with Served(graph) as served:
        assert served.run(1) == 1
        gate.is_open.set()
    assert gate.seen == [1]


def test_many_clients_get_their_own_replies() -> None:
    graph = new_graph("flow")
    first = graph.to("Echo", "start")
    first.to(handler="(event * 2)", name="a")
    first.to(handler="(event * 3)", name="b")
    graph.add_step(Merge(name="join"), after=["a", "b"]).to(handler=sorted, name="s").respond()
    served = Served(graph)
    wrong: list[Any] = []

    def ask(client: int) -> None:
        for number in range(50):
            body = client * 1000 + number
            if served.run(body) != sorted([body * 2, body * 3]):
                wrong.append(body)

    clients = [threading.Thread(target=ask, args=(client,)) for client in range(1, 9)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(WAIT_S)
    assert not any(client.is_alive() for client in clients)
    assert wrong == []


def test_an_event_that_a_step_keeps_is_answered_with_its_id() -> None:
    graph = new_graph("flow")
    graph.to(handler=lambda x: NO_EVENT, name="keeps").to("Echo", "after").respond()
    with Served(graph) as served:
        assert served.run(1, event_id="abc") == {"id": "abc"}


def test_a_body_that_is_too_deep_to_copy_is_an_error_and_no_hanging_event() -> None:
    def deep(body: Any) -> Any:
        for _ in range(100_000):
            body = [body]
        return body

    graph = new_graph("flow")
    first = graph.to(handler=deep, name="deep")
    first.to(handler=len, name="a")
    first.to(handler=len, name="b").respond()
    with Served(graph) as served, pytest.raises(RecursionError):
        served.run(1)


def test_an_exception_without_a_text_ends_its_event() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("it has no text")

        __repr__ = __str__

    def fail(body: Any) -> Any:
        raise Mute

    graph = new_graph("flow")
    graph.to(handler=fail, name="s1")
    with Served(graph) as served:
        assert served.run(1, event_id="abc") == {"id": "abc"}


def test_a_step_that_leaves_the_interpreter_ends_its_event() -> None:
    def leave(body: Any) -> Any:
        raise SystemExit(3)

    graph = new_graph("flow")
    graph.to(handler=leave, name="s1").respond()
    with Served(graph) as served, pytest.raises(SystemExit):
        served.run(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_a_forked_process_runs_the_flow_with_threads_of_its_own() -> None:
    graph = new_graph("flow")
    first = graph.to("Echo", "start")
    first.to("Echo", "a")
    first.to("Echo", "b")
    graph.add_step(Merge(name="join"), after=["a", "b"]).respond()
    served = Served(graph)
    assert served.run(1) == [1, 1]
    served.graph.wait_for_completion(WAIT_S)
    child = os.fork()
    if child == 0:
        os._exit(0 if served.run(2) == [2, 2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_long_chain_is_planned_without_recursion() -> None:
    graph = new_graph("flow", engine="sync")
    for number in range(3000):
        graph.add_step("Echo", f"s{number}", after="$prev")
    plan = plan_flow(graph.steps, "*", None, is_sync=True)
    assert [step.name for step in plan.starts] == ["s0"]
