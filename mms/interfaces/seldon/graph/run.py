"""What a graph does with a request: which nodes are called, with what, and what the reply is.

No input or output of its own: `call` reaches a node. A call that is cancelled must cancel what it has begun.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar

from mms.bodies.large_json import apart
from mms.errors import BadRequest, InternalServerError
from mms.interfaces.seldon.graph.builtin import average, simple_model
from mms.interfaces.seldon.graph.message import (
    PROTOBUF,
    Message,
    chosen_branch,
    feedback_reward,
    feedback_routing,
    join,
    with_routing,
)
from mms.interfaces.seldon.graph.node import Builtin, Graph, Node, Step
from mms.traffic.weights import choose_weighted

#: Asks a node. Returns its reply, or raises NodeFailed for one that is no success, or an error of `mms.errors`.
Call: TypeAlias = Callable[[Node, Step, Message], Awaitable[Message]]

_Reply = TypeVar("_Reply")
_P = ParamSpec("_P")
_Result = TypeVar("_Result")

#: What a router says for all children, and for none.
_ALL = -1
_NONE = -2


class NodeFailed(Exception):
    """A node's own error: its reply goes to the client as it is."""

    def __init__(self, node: Node, operation: str, reply: Message) -> None:
        super().__init__(f"node {node.name} answered {operation} with status {reply.status}")
        self.node = node
        self.operation = operation
        self.reply = reply


async def run_predict(
    graph: Graph,
    message: Message,
    call: Call,
    *,
    draw: Callable[[], float] = random.random,
    has_routing: bool = True,
) -> Message:
    """Return the graph's reply. `draw`: a number from 0 up to 1. Raises what `call` raises, and InternalServerError.

    `has_routing`: put into `meta.routing` what each node chose; feedback is guided by it.
    """
    routing: dict[str, int] = {}
    reply = await _Prediction(call, draw, routing).run(graph.root, message)
    return await _apart([reply], with_routing, reply, routing) if has_routing else reply


class _Prediction:
    """One request on its way through a graph. Each node has an entry of its own in `routing`."""

    def __init__(self, call: Call, draw: Callable[[], float], routing: dict[str, int]) -> None:
        self._call = call
        self._draw = draw
        self._routing = routing

    async def run(self, node: Node, message: Message) -> Message:
        if node.before is not None:
            if node.builtin is None:
                message = await self._call(node, node.before, message)
            else:
                message = await _apart([message], simple_model, message)
            self._routing[node.name] = _ALL
        if node.children:
            message = await self._run_children(node, message)
        if node.after is not None:
            message = await self._call(node, node.after, message)
        return message

    async def _run_children(self, node: Node, message: Message) -> Message:
        branch = await self._choose(node, message)
        self._routing[node.name] = branch
        if branch == _NONE:
            return message
        children = node.children if branch == _ALL else (node.children[branch],)
        replies = await _all_of([self.run(child, message) for child in children])
        if node.builtin is Builtin.AVERAGE_COMBINER:
            return await _apart(replies, average, node.name, replies)
        if node.aggregates:
            joined = await _apart(replies, join, replies)
            return await self._call(node, Step.AGGREGATE, joined)
        return replies[0]

    async def _choose(self, node: Node, message: Message) -> int:
        if node.weights is not None:
            return node.branch_of(choose_weighted(node.weights, self._draw()))
        if node.bandit is not None:
            return node.branch_of(node.bandit.choose())
        if node.builtin is Builtin.SIMPLE_ROUTER:
            return 0
        if not node.routes:
            return _ALL
        reply = await self._call(node, Step.ROUTE, message)
        branch = await _apart([reply], chosen_branch, reply, node.name)
        if not _NONE <= branch < len(node.children):
            raise InternalServerError(
                f"Node {node.name} chose branch {branch}, but it has {len(node.children)} "
                "children, counted from 0 (-1 means all of them, -2 none)."
            )
        return branch


async def _apart(
    messages: Sequence[Message], work: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs
) -> _Result:
    """Have these messages read and written: in a thread where they are large."""
    return await apart(sum(len(m.body) for m in messages), work, *args, **kwargs)


async def run_feedback(graph: Graph, message: Message, call: Call) -> Message:
    """Hand a Feedback to the nodes that took part in its response, as its `meta.routing` tells.

    Returns the reply of the graph's root; without one, the Feedback itself (of protobuf: an empty SeldonMessage).
    """
    routing = await _apart([message], feedback_routing, message)
    reply = await _feed(graph.root, message, routing, call)
    if reply is not None:
        return reply
    return Message(b"", PROTOBUF) if message.is_protobuf else message


async def _feed(
    node: Node, message: Message, routing: dict[str, int], call: Call
) -> Message | None:
    branch = routing.get(node.name, _ALL)
    if branch >= len(node.children) > 0 or branch < _NONE:
        raise InternalServerError(
            f"The feedback's routing has branch {branch} for node {node.name}, which has "
            f"{len(node.children)} children."
        )
    if branch == _ALL:
        await _all_of([_feed(child, message, routing, call) for child in node.children])
    elif branch >= 0 and node.children:
        await _feed(node.children[branch], message, routing, call)
        if node.bandit is not None:
            reward = await _apart([message], feedback_reward, message)
            try:
                node.bandit.reward(node.children[branch].name, reward)
            except ValueError as error:
                raise BadRequest(f"Node {node.name}: {error}.") from None
    return await call(node, Step.SEND_FEEDBACK, message) if node.learns else None


async def _all_of(runs: Sequence[Coroutine[Any, Any, _Reply]]) -> list[_Reply]:
    """Return the results of runs side by side. Errors count once all have ended; the first in order is raised."""
    if len(runs) == 1:
        return [await runs[0]]
    results = await asyncio.gather(*runs, return_exceptions=True)
    replies: list[_Reply] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        replies.append(result)
    return replies
