"""Which nodes are called with what: the executor's algorithm, over nodes that are functions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mms.errors import BadRequest, InternalServerError
from mms.interfaces.seldon.graph import (
    Graph,
    Message,
    Node,
    NodeFailed,
    Step,
    read_graph,
    run_feedback,
    run_predict,
)
from mms.interfaces.seldon.graph.message import JSON

Answer = Callable[[Step, Any], Any]


def graph(document: object) -> Graph:
    return read_graph(json.dumps(document).encode())


def node(name: str, type: str, *children: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"name": name, "type": type, **members, "children": list(children)}


class Nodes:
    """The models of a graph. `calls` is what was asked, in order."""

    def __init__(self, **answers: Any) -> None:
        self.calls: list[tuple[str, str]] = []
        self.bodies: dict[str, Any] = {}
        self._answers = answers

    async def __call__(self, asked: Node, step: Step, message: Message) -> Message:
        self.calls.append((asked.name, step.value))
        body = json.loads(bytes(message.body))
        self.bodies[asked.name] = body
        answer = self._answers.get(asked.name)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(body)
            if isinstance(answer, Awaitable):
                answer = await answer
        if answer is None:
            answer = {"meta": {}, "strData": f"{asked.name}({_text(body)})"}
        return Message(json.dumps(answer).encode(), JSON)


def _text(body: Any) -> str:
    if "seldonMessages" in body:
        return "+".join(_text(part) for part in body["seldonMessages"])
    return str(body.get("strData"))


def routed(branch: Any) -> dict[str, Any]:
    return {"data": {"ndarray": [[branch]]}, "meta": {}}


def message(document: object) -> Message:
    return Message(json.dumps(document).encode(), JSON)


X = message({"strData": "x"})


async def predicted(document: object, nodes: Nodes, **options: Any) -> Any:
    reply = await run_predict(graph(document), X, nodes, **options)
    return json.loads(bytes(reply.body))


async def test_a_single_model_answers() -> None:
    reply = await predicted(node("m", "MODEL"), Nodes())
    assert reply == {"meta": {"routing": {"m": -1}}, "strData": "m(x)"}


async def test_a_models_prediction_is_its_childs_input() -> None:
    chain = node("a", "TRANSFORMER", node("b", "MODEL", node("c", "MODEL")))
    nodes = Nodes()
    assert (await predicted(chain, nodes))["strData"] == "c(b(a(x)))"
    assert nodes.calls == [("a", "transform-input"), ("b", "predict"), ("c", "predict")]


async def test_an_output_transformer_is_called_after_its_children() -> None:
    nodes = Nodes()
    reply = await predicted(node("o", "OUTPUT_TRANSFORMER", node("m", "MODEL")), nodes)
    assert reply["strData"] == "o(m(x))"
    assert nodes.calls[-1] == ("o", "transform-output")


async def test_a_combiner_gets_the_replies_in_the_order_of_its_children() -> None:
    slow = asyncio.Event()

    async def last(body: Any) -> Any:
        await slow.wait()
        return {"strData": "late"}

    def first(body: Any) -> Any:
        slow.set()
        return {"strData": "early"}

    tree = node("c", "COMBINER", node("a", "MODEL"), node("b", "MODEL"))
    reply = await predicted(tree, Nodes(a=last, b=first))
    assert reply["strData"] == "c(late+early)"
    assert reply["meta"]["routing"] == {"a": -1, "b": -1, "c": -1}


async def test_branches_run_side_by_side() -> None:
    entered = [asyncio.Event(), asyncio.Event()]

    def meets(own: int) -> Answer | Any:
        async def answer(body: Any) -> Any:
            entered[own].set()
            await asyncio.wait_for(entered[1 - own].wait(), 20)
            return {"strData": str(own)}

        return answer

    tree = node("c", "COMBINER", node("a", "MODEL"), node("b", "MODEL"))
    reply = await predicted(tree, Nodes(a=meets(0), b=meets(1)))
    assert reply["strData"] == "c(0+1)"


@pytest.mark.parametrize(("branch", "told"), [(0, "a(x)"), (1, "b(x)"), (-2, "x"), (-1, "a(x)")])
async def test_a_router_chooses_a_child_all_or_none(branch: int, told: str) -> None:
    nodes = Nodes(r=routed(branch))
    reply = await predicted(node("r", "ROUTER", node("a", "MODEL"), node("b", "MODEL")), nodes)
    assert reply["strData"] == told
    assert reply["meta"]["routing"]["r"] == branch
    called = {name for name, step in nodes.calls if step == "predict"}
    assert called == {0: {"a"}, 1: {"b"}, -2: set(), -1: {"a", "b"}}[branch]


async def test_a_router_that_chooses_none_skips_the_aggregate_but_not_its_own_last_step() -> None:
    methods = ["ROUTE", "AGGREGATE", "TRANSFORM_OUTPUT"]
    nodes = Nodes(r=lambda body: routed(-2) if len(nodes.calls) == 1 else {"strData": "out"})
    tree = {"name": "r", "methods": methods, "children": [node("a", "MODEL")]}
    assert (await predicted(tree, nodes))["strData"] == "out"
    assert nodes.calls == [("r", "route"), ("r", "transform-output")]


@pytest.mark.parametrize("branch", [2, -3])
async def test_a_branch_that_is_not_there_is_an_error_that_names_the_node(branch: int) -> None:
    tree = node("r", "ROUTER", node("a", "MODEL"), node("b", "MODEL"))
    with pytest.raises(InternalServerError, match=f"Node r chose branch {branch}, .* 2 children"):
        await predicted(tree, Nodes(r=routed(branch)))


async def test_a_routed_combiner_gets_a_list_of_one() -> None:
    tree = {
        "name": "r",
        "methods": ["ROUTE", "AGGREGATE"],
        "children": [node("a", "MODEL"), node("b", "MODEL")],
    }
    nodes = Nodes(r=lambda body: routed(1) if len(nodes.calls) == 1 else {"strData": "joined"})
    assert (await predicted(tree, nodes))["strData"] == "joined"
    assert len(nodes.bodies["r"]["seldonMessages"]) == 1


async def test_a_simple_router_takes_its_first_child_without_a_call() -> None:
    tree = node("r", "ROUTER", node("a", "MODEL"), implementation="SIMPLE_ROUTER")
    nodes = Nodes()
    assert (await predicted(tree, nodes))["meta"]["routing"] == {"a": -1, "r": 0}
    assert nodes.calls == [("a", "predict")]


@pytest.mark.parametrize(("drawn", "name"), [(0.0, "a"), (0.29, "a"), (0.3, "b"), (0.99, "b")])
async def test_an_ab_test_draws_by_its_ratio(drawn: float, name: str) -> None:
    tree = {
        "name": "ab",
        "implementation": "RANDOM_ABTEST",
        "parameters": [{"name": "ratioA", "value": "0.3", "type": "FLOAT"}],
        "children": [node("a", "MODEL"), node("b", "MODEL")],
    }
    reply = await predicted(tree, Nodes(), draw=lambda: drawn)
    assert reply["strData"] == f"{name}(x)"


def chosen_among(implementation: str, **parameters: Any) -> dict[str, Any]:
    return {
        "name": "r",
        "implementation": implementation,
        "parameters": [{"name": name, "value": value} for name, value in parameters.items()],
        "children": [node("a", "MODEL"), node("b", "MODEL"), node("c", "MODEL")],
    }


@pytest.mark.parametrize("weights", [{"a": 6, "c": 4}, '{"a": 6, "c": 4}'])
async def test_a_weighted_router_draws_by_its_weights(weights: Any) -> None:
    tree = chosen_among("WEIGHTED_ROUTER", weights=weights)
    for drawn, name in ((0.59, "a"), (0.6, "c")):
        assert (await predicted(tree, Nodes(), draw=lambda at=drawn: at))["strData"] == f"{name}(x)"


async def test_a_bandit_router_learns_from_the_rewards_of_feedback() -> None:
    tree = graph(chosen_among("BANDIT_ROUTER", epsilon=0))
    for branch, reward in ((0, 0.2), (2, 0.9)):
        told = {"response": {"meta": {"routing": {"r": branch}}}, "reward": reward}
        await run_feedback(tree, message(told), Nodes())
    for _ in range(20):
        reply = json.loads(bytes((await run_predict(tree, X, Nodes())).body))
        assert reply["meta"]["routing"] == {"c": -1, "r": 2}


async def test_a_reward_that_a_bandit_router_cannot_take_is_told_with_its_name() -> None:
    tree = graph(chosen_among("BANDIT_ROUTER", strategy="thompson"))
    told = {"response": {"meta": {"routing": {"r": 1}}}, "reward": 7}
    with pytest.raises(BadRequest, match="Node r: reward is 7, must be from 0 to 1"):
        await run_feedback(tree, message(told), Nodes())


async def test_a_simple_model_answers_its_constant_with_the_meta_of_the_request() -> None:
    asked = message({"meta": {"puid": "p", "tags": {"t": 1}}, "strData": "x"})
    tree = graph({"name": "m", "implementation": "SIMPLE_MODEL"})
    reply = json.loads(bytes((await run_predict(tree, asked, Nodes())).body))
    assert reply["data"]["tensor"] == {"shape": [1, 3], "values": [0.1, 0.9, 0.5]}
    assert reply["meta"] == {"puid": "p", "tags": {"t": 1}, "routing": {"m": -1}}


async def test_routing_is_left_out_where_it_is_not_wanted() -> None:
    reply = await predicted(node("m", "MODEL"), Nodes(), has_routing=False)
    assert reply["meta"] == {}


# Errors


def failed(name: str, status: int) -> NodeFailed:
    tree = graph(node(name, "MODEL")).root
    return NodeFailed(tree, "predict", Message(b"{}", JSON, status=status))


async def test_the_first_error_in_the_order_of_the_children_counts_once_all_have_ended() -> None:
    first_may_fail = asyncio.Event()

    async def fails_late(body: Any) -> Any:
        await first_may_fail.wait()
        raise failed("a", 409)

    def fails_early(body: Any) -> Any:
        first_may_fail.set()
        raise failed("b", 500)

    tree = node("c", "COMBINER", node("a", "MODEL"), node("b", "MODEL"))
    with pytest.raises(NodeFailed) as caught:
        await predicted(tree, Nodes(a=fails_late, b=fails_early))
    assert caught.value.reply.status == 409


async def test_an_error_ends_its_branch() -> None:
    nodes = Nodes(a=failed("a", 400))
    with pytest.raises(NodeFailed):
        await predicted(node("a", "MODEL", node("b", "MODEL")), nodes)
    assert nodes.calls == [("a", "predict")]


async def test_a_graph_that_is_cancelled_cancels_its_calls() -> None:
    begun = asyncio.Event()
    cancelled: list[str] = []

    async def call(asked: Node, step: Step, message: Message) -> Message:
        begun.set()
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(asked.name)
            raise

    tree = graph(node("c", "COMBINER", node("a", "MODEL"), node("b", "MODEL")))
    task = asyncio.ensure_future(run_predict(tree, X, call))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled == ["a", "b"]


# Feedback

BANDIT = node("r", "ROUTER", node("a", "MODEL"), node("b", "MODEL"))


def feedback(**routing: int) -> Message:
    return message({"response": {"meta": {"routing": routing}}, "reward": 1.0})


async def test_feedback_goes_to_the_child_that_answered_and_then_to_the_router() -> None:
    nodes = Nodes()
    reply = await run_feedback(graph(BANDIT), feedback(r=1), nodes)
    assert nodes.calls == [("b", "send-feedback"), ("r", "send-feedback")]
    assert json.loads(bytes(reply.body))["strData"].startswith("r(")
    assert nodes.bodies["b"] == nodes.bodies["r"] == json.loads(bytes(feedback(r=1).body))


async def test_feedback_without_routing_goes_to_all() -> None:
    nodes = Nodes()
    await run_feedback(graph(BANDIT), message({"reward": 1.0}), nodes)
    assert {name for name, _ in nodes.calls} == {"a", "b", "r"}


async def test_feedback_of_an_answer_that_no_child_made_goes_to_the_router_alone() -> None:
    nodes = Nodes()
    await run_feedback(graph(BANDIT), feedback(r=-2), nodes)
    assert nodes.calls == [("r", "send-feedback")]


async def test_feedback_for_a_branch_that_is_not_there_names_the_node() -> None:
    with pytest.raises(InternalServerError, match="branch 7 for node r"):
        await run_feedback(graph(BANDIT), feedback(r=7), Nodes())


async def test_transformers_and_built_ins_get_no_feedback_and_the_feedback_is_echoed() -> None:
    tree = node("t", "TRANSFORMER", {**BANDIT, "implementation": "RANDOM_ABTEST"})
    nodes = Nodes()
    sent = feedback(r=0)
    reply = await run_feedback(graph(tree), sent, nodes)
    assert nodes.calls == [("a", "send-feedback")]
    assert reply.body == sent.body
