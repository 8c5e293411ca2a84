"""How graphs are put together, what of them cannot be, and their documents."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
from flow_harness import Echo, Mul, MulList, RespName, Served

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError
from mms.interfaces.mlrun.graph.flow import RootFlowStep
from mms.interfaces.mlrun.graph.graph_document import child_models, graph_from_dict, new_graph
from mms.interfaces.mlrun.graph.lookup import expression
from mms.interfaces.mlrun.graph.merge import Merge
from mms.interfaces.mlrun.graph.steps.base import MAX_STEPS
from mms.interfaces.mlrun.graph.steps.router import RouterStep
from mms.interfaces.mlrun.graph.steps.task import TaskStep
from mms.interfaces.mlrun.routers.voting import VotingEnsemble

OF_FUNCTION = "must specify a function, because it follows a queue step"


def flow(engine: str = "sync") -> Any:
    return new_graph("flow", engine=engine)


def init(graph: Any) -> Served:
    return Served(graph)


def test_steps_run_in_the_order_in_which_they_were_added() -> None:
    graph = flow()
    graph.add_step(name="s1", class_name="Chain")
    graph.add_step(name="s2", class_name="Chain", after="$prev")
    graph.add_step(name="s3", class_name="Chain", after="$prev")
    assert init(graph).run([]) == ["s1", "s2", "s3"]


def test_a_step_that_is_added_before_the_first_one_becomes_the_start() -> None:
    graph = flow()
    graph.add_step(name="s2", class_name="Chain")
    graph.add_step(name="s1", class_name="Chain", before="s2")
    graph.add_step(name="s3", class_name="Chain", after="s2")
    assert init(graph).run([]) == ["s1", "s2", "s3"]


def test_a_step_is_put_between_two_others() -> None:
    graph = flow()
    graph.add_step(name="s1", class_name="Chain")
    graph.add_step(name="s3", class_name="Chain", after="$prev")
    graph.add_step(name="s2", class_name="Chain", after="s1", before="s3")
    assert init(graph).run([]) == ["s1", "s2", "s3"]


def test_a_step_put_before_another_takes_over_what_came_before_that() -> None:
    graph = flow()
    graph.add_step(name="s1", class_name="Chain").to(name="s2", class_name="Chain")
    graph.insert_step("added", TaskStep("Chain"), before="s2")
    assert graph["added"].after == ["s1"]
    assert graph["s2"].after == ["added"]


def test_to_on_a_step_adds_one_after_it_and_returns_that() -> None:
    graph = flow()
    last = graph.to("Chain", "s1").to("Chain", "s2")
    assert (last.name, last.after) == ("s2", ["s1"])


def test_a_step_without_a_name_is_called_as_its_class_or_handler() -> None:
    graph = flow()
    graph.to("Chain").to(handler="json.dumps").to(RespName).to(handler=abs)
    assert list(graph.steps) == ["Chain", "json.dumps", "RespName", "abs"]


def test_set_flow_over_steps_needs_force() -> None:
    graph = flow()
    graph.to("Echo", "old")
    steps = [{"name": "a", "handler": "(event+10)"}, {"name": "b", "handler": "json.dumps"}]
    with pytest.raises(MLRunInvalidArgumentError, match="use force=True"):
        graph.set_flow(steps)
    last = graph.set_flow(steps, force=True)
    assert last.name == "b"
    assert init(graph).run(5) == "15"


def test_set_flow_takes_step_objects() -> None:
    graph = flow()
    graph.set_flow([TaskStep("Chain", name="s1"), TaskStep("Chain", name="s2")])
    assert init(graph).run([]) == ["s1", "s2"]


def test_set_flow_after_a_step_replaces_those_after_it_when_forced() -> None:
    graph = flow()
    first = graph.to("Chain", "s1")
    first.to("Chain", "s2").to("Chain", "s3")
    with pytest.raises(MLRunInvalidArgumentError, match="steps after it already"):
        first.set_flow([{"class_name": "Chain", "name": "new"}])
    first.set_flow([{"class_name": "Chain", "name": "new"}], force=True)
    assert list(graph.steps) == ["s1", "new"]


def test_a_router_is_added_by_a_star() -> None:
    graph = flow()
    graph.to("*", "r1").to("*mlrun.serving.VotingEnsemble", "r2", vote_type="regression")
    assert isinstance(graph["r1"], RouterStep)
    assert graph["r2"].class_name == "mlrun.serving.VotingEnsemble"
    assert graph["r2"].class_args == {"vote_type": "regression"}


def test_a_router_object_in_a_flow_becomes_a_router() -> None:
    graph = flow()
    router = graph.to(VotingEnsemble(name="ensemble", vote_type="regression"))
    assert isinstance(router, RouterStep)
    router.add_route("m1", class_name=MulList, multiplier=10)
    router.add_route("m2", class_name=MulList, multiplier=20)
    assert init(graph).run({"inputs": [[2]]}, "/v2/models/infer")["outputs"] == [30]


def test_routes_have_names_of_steps_and_are_found_by_path() -> None:
    graph = flow()
    graph.to("*", "router").add_route("m1", class_name="Mul", model_path=".")
    assert graph["router/m1"].class_args == {"model_path": "."}
    assert graph["router"]["m1"].fullname == "router/m1"


def test_a_router_refuses_routes_beyond_its_limit() -> None:
    router = new_graph("router")
    for number in range(MAX_STEPS):
        router.add_route(f"m{number}", class_name="Mul")
    with pytest.raises(MLRunInvalidArgumentError, match="more than 4500 routes"):
        router.add_route("one-more", class_name="Mul")
    router.add_route("m0", class_name="Mul", multiplier=2)


def test_a_flow_refuses_steps_beyond_its_limit() -> None:
    graph = flow()
    for number in range(MAX_STEPS):
        graph.add_step("Echo", f"s{number}")
    with pytest.raises(MLRunInvalidArgumentError, match="more than 4500 steps"):
        graph.add_step("Echo", "one-more")


# What is refused


def queued(graph: Any) -> Any:
    graph.to(name="s1", class_name="Echo").to("$queue", "q1", path="")
    return graph


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda graph: graph.to("Chain").to("Chain"), "Chain cannot come after itself"),
        (lambda graph: graph.to(name="s1"), "class_name or handler must be provided"),
        (lambda graph: graph.add_step("Chain", after="nobody"), "after nobody, there is no such"),
        (lambda graph: queued(graph)["q1"].to("Echo", "s2"), f"step 's2' {OF_FUNCTION}"),
        (
            lambda graph: queued(graph).add_step("Echo", "s2", after="q1"),
            f"step 's2' {OF_FUNCTION}",
        ),
        (lambda graph: graph.to("$queue", "q1"), "path must be specified"),
        (lambda graph: graph.to(">>", path=""), "a queue must have a name"),
        (lambda graph: queued(graph).add_step("Echo", "s3", after="s3"), "after s3, there is no"),
        (lambda graph: queued(graph).add_step("Echo", "s1", after="s1"), "s1 cannot come after it"),
        (lambda graph: graph.to("*", "r").add_route("m1"), "route m1 needs a route object"),
        (lambda _: new_graph("mesh"), "unsupported topology mesh, use 'router' or 'flow'"),
        (lambda _: new_graph("flow", engine="turbo"), "unsupported engine turbo"),
        (
            lambda graph: queued(graph).error_handler("catch", class_name="Echo", before="s1"),
            "cannot have before=",
        ),
        (lambda graph: graph.run(object()), r"call init_object\(\) first"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(build: Any, message: str) -> None:
    with pytest.raises((GraphError, MLRunInvalidArgumentError), match=message):
        build(flow())


def circle_of_steps(graph: Any) -> None:
    graph.to("Echo", "start").to("Echo", "a").to("Echo", "b")
    graph["a"].after_step("b")


def circle_over_a_handler(graph: Any) -> None:
    graph.to("Echo", "a").to("Raiser", "b").error_handler("catch", class_name="Echo", before="a")


def circle_over_the_graphs_handler(graph: Any) -> None:
    graph.to("Echo", "a")
    graph.add_step("Echo", "catch").to("Raiser", "b")
    graph.error_handler("catch")


def branches(graph: Any) -> None:
    first = graph.to("Echo", "s1")
    first.to("Echo", "s2")
    first.to("Echo", "s3")


def two_starts(graph: Any) -> None:
    graph.to("Echo", "s1")
    graph.to("Echo", "s2")


class Silent:
    """Has nothing to call."""


@pytest.mark.parametrize(
    ("engine", "build", "message"),
    [
        ("sync", lambda g: g.to("Chain").to("Nobody", "s2"), "step s2: class Nobody was not found"),
        (
            "sync",
            lambda g: g.to("*", "router").add_route("m1", class_name="some.missing.Model"),
            r"step router/m1: class some\.missing\.Model",
        ),
        (
            "sync",
            lambda g: g.to("*mlrun.serving.NoRouter", "r"),
            r"class mlrun\.serving\.NoRouter was not found",
        ),
        (
            "sync",
            lambda g: g.to("*mlrun.serving.EnrichmentModelRouter", "r"),
            "step r: EnrichmentModelRouter looks features up in MLRun's feature store",
        ),
        (
            "sync",
            lambda g: g.to(handler="json.no_such", name="s1"),
            r"step s1: handler json\.no_such was not found",
        ),
        (
            "sync",
            lambda g: g.to(handler="(event +)", name="s1"),
            r"step s1: the expression \(event \+\) is not valid",
        ),
        ("sync", lambda g: g.to(Silent, "s1"), r"step s1: Silent has neither do_event\(\) nor do"),
        ("sync", lambda g: g.to("Echo", "s1", colour=1), r"failed to init step s1\n args="),
        ("async", circle_of_steps, "circle: a -> b -> a"),
        ("async", circle_over_a_handler, "circle: a -> b -> catch -> a"),
        ("async", circle_over_the_graphs_handler, "circle: catch -> b -> catch"),
        ("sync", branches, "step s1 is followed by s2, s3"),
        ("sync", two_starts, "starts with one step, but this one with s1, s2"),
        (
            "async",
            lambda g: g.to("Echo", "s1").respond().to("Echo", "s2").respond(),
            "more than one responder: s1, s2",
        ),
        (
            "sync",
            lambda g: g.to("Echo", "s1").error_handler("nobody"),
            "step s1: its error handler nobody is not a step",
        ),
        ("sync", lambda g: None, "it has no steps"),
    ],
)
def test_a_flow_that_cannot_run_is_refused_when_it_is_made(
    engine: str, build: Any, message: str
) -> None:
    graph = flow(engine)
    build(graph)
    with pytest.raises((GraphError, TypeError), match=message):
        init(graph)


def test_an_expression_cannot_end_the_function_it_is_put_into() -> None:
    for text in ("(event)) or (event)", "1), (2", "event) if (True) else (1"):
        with pytest.raises(GraphError, match="step s1: the expression .* is not valid"):
            expression(text, ("event",), "s1")


def test_an_expression_may_be_a_tuple_or_end_with_a_comment() -> None:
    assert expression("(event), (event + 1)", ("event",), "s1")(1) == (1, 2)
    assert expression("event  # the body", ("event",), "s1")(1) == 1


# Documents


def test_a_flow_is_the_same_after_its_document() -> None:
    graph = flow("async")
    first = graph.to("Chain", "s1", input_path="x", result_path="y.z", size=3)
    queue = first.to("$queue", "q1", path="file:///tmp/q", shards=2)
    queue.to("*", "router", function="other").add_route("m:v1", class_name="Mul", multiplier=2)
    first.error_handler("catch", handler="(event)", full_event=True, before="q1")
    graph.error_handler("last", class_name="Echo")
    document = graph.to_dict()
    assert "kind" not in document
    assert document["engine"] == "async"
    assert document["on_error"] == "last"
    assert document["steps"]["router"]["routes"]["m:v1"] == {
        "kind": "task",
        "class_name": "Mul",
        "class_args": {"multiplier": 2},
    }
    assert document["steps"]["catch"]["before"] == ["q1"]
    assert graph_from_dict(document).to_dict() == document


def test_a_router_is_the_same_after_its_document() -> None:
    router = new_graph("router", "mlrun.serving.VotingEnsemble", vote_type="regression")
    router.add_route("m1", class_name=Mul, model_path="x")
    document = router.to_dict()
    assert document["kind"] == "router"
    assert document["class_name"] == "mlrun.serving.VotingEnsemble"
    assert document["class_args"] == {"vote_type": "regression"}
    assert graph_from_dict(document).to_dict() == document


def test_classes_and_functions_are_written_by_their_names() -> None:
    graph = flow()
    graph.to(Echo, "s1").to(handler=len, name="s2").to(Merge(name="merge"))
    steps = graph.to_dict()["steps"]
    assert steps["s1"]["class_name"] == "flow_harness.Echo"
    assert steps["s2"]["handler"] == "len"
    assert steps["merge"]["class_name"] == "mlrun.serving.merger.Merge"


def test_a_graph_is_written_as_yaml() -> None:
    graph = flow()
    graph.to(Echo, "s1")
    assert "class_name: flow_harness.Echo" in graph.to_yaml()


def test_a_deployed_functions_flow_is_read() -> None:
    """As in serving specs of deployed functions: no kinds where they go without saying."""
    graph = graph_from_dict(
        {
            "engine": "sync",
            "steps": {
                "first": {"kind": "task", "class_name": "Chain", "after": []},
                "second": {"class_name": "Chain", "after": ["first"], "responder": True},
            },
        }
    )
    assert init(graph).run([]) == ["first", "second"]


def test_a_kind_of_step_that_is_unknown_is_refused_with_its_name() -> None:
    with pytest.raises(GraphError, match="step m is of kind windmill, which is not known"):
        graph_from_dict({"steps": {"m": {"kind": "windmill"}}})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "a graph must be a dict, not list"),
        ({"kind": "tree"}, "of kind tree"),
        ({"steps": []}, "steps must be a dict"),
        ({"kind": "router", "routes": ["a"]}, "routes must be a dict"),
        ({"steps": {"a": "b"}}, "step a must be a dict, not str"),
        ({"kind": "router", "routes": {"a": {"kind": "queue"}}}, "route a is of kind queue"),
    ],
)
def test_documents_that_are_no_graph_are_refused(document: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        graph_from_dict(document)


def test_models_of_several_routers_have_keys_of_their_own() -> None:
    graph = flow("async")
    for name in ("r1", "r2"):
        router = graph.add_step("*", name, after="$prev")
        router.add_route("m1", class_name="Mul")
    router.add_route("m2", class_name="Mul")
    router.add_route("remote", class_name="$remote", url="http://somewhere")
    router.add_route("double", handler="(event * 2)")
    found = [(child.key, child.fullname) for child in child_models(graph)]
    assert found == [("r1.m1", "r1/m1"), ("r2.m1", "r2/m1"), ("m2", "r2/m2")]


def test_a_copy_of_a_graph_that_runs_is_one_that_can_be_made_again() -> None:
    given = Keeping()
    graph = flow("async")
    steps = graph.to("Chain", "s1").to(Merge(name="join")).to(given, "given")
    steps.to(">>", "q", path="dummy://").after_step("given")
    graph["given"].respond()
    router = graph.to("*", "router")
    router.add_route("first", handler="(event)")
    router.add_route("m1", class_name="Mul", multiplier=2)
    served = init(graph)
    assert served.run([]) == [["s1"]]
    copied = copy.deepcopy(graph)
    assert copied.to_dict() == graph.to_dict()
    assert copied["s1"].parent is copied
    assert copied["given"].object is given
    assert copied["s1"].object is None
    assert init(copied).run([]) == [["s1"]]


class Keeping:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def do(self, x: Any) -> Any:
        return x


def test_a_flow_holds_its_steps_by_name() -> None:
    graph = RootFlowStep(steps={"a": {"class_name": "Echo"}})
    assert "a" in graph
    assert [step.name for step in graph.get_children()] == ["a"]
    del graph["a"]
    with pytest.raises(KeyError, match="the flow has no step a, only none"):
        graph["a"]
