"""One request to a workflow: each node is asked as soon as those before it have answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from mms.core.request import Buffer
from mms.errors import RequestTimeout, ServerError, ServiceUnavailable, WorkerFailure
from mms.http.answers import render_json
from mms.interfaces.torchserve.front.prediction_form import form_of
from mms.interfaces.torchserve.front.workflows.specification import Specification
from mms.serving.model_client import ModelAnswer


class Input(NamedTuple):
    """What a node is given."""

    content_type: bytes
    body: Buffer


#: Has a node answer.
Ask = Callable[[str, Input], Awaitable[ModelAnswer]]


class NodeFailed(WorkerFailure):
    """A node has answered with an error; its status is the workflow's."""


async def run(specification: Specification, first: Input, ask: Ask) -> bytes:
    """Return the answer of a workflow. Raises the first error of a node; the other nodes are given up then."""
    tasks: dict[str, asyncio.Task[bytes]] = {}
    for node in specification.order:
        before = {name: tasks[name] for name in specification.parents[node]}
        tasks[node] = asyncio.ensure_future(_answer(specification, node, first, before, ask))
    try:
        leaves = specification.leaves
        answers = await asyncio.gather(*(tasks[node] for node in leaves))
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    if len(answers) == 1:
        return answers[0]
    return render_json(dict(zip(leaves, map(_object_of, leaves, answers), strict=True)))


async def _answer(
    specification: Specification,
    node: str,
    first: Input,
    before: Mapping[str, asyncio.Task[bytes]],
    ask: Ask,
) -> bytes:
    given = first
    if before:
        # One that fails ends those that wait for it; nobody who waits ends it.
        answers = await asyncio.gather(*map(asyncio.shield, before.values()))
        named = dict(zip(before, answers, strict=True))
        given = Input(b"", answers[0]) if len(named) == 1 else Input(*form_of(named))
    rule = specification.rules[node]
    error: ServerError = ServiceUnavailable(f"The node {node} was not asked.")
    for _ in range(rule.attempts):
        try:
            answer = await asyncio.wait_for(ask(node, given), rule.timeout_s)
        except asyncio.TimeoutError:
            error = RequestTimeout(f"The node {node} has not answered within {rule.timeout_s:g} s.")
        except ServerError as raised:
            error = raised
        else:
            if answer.is_success:
                return bytes(answer.body)
            error = NodeFailed(f"The node {node} has failed: {answer.text[:1000]}", answer.status)
        if error.http_status < 500:
            # The next attempt would come to the same.
            break
    raise error


def _object_of(node: str, answer: bytes) -> object:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NodeFailed(
            f"The node {node} has not answered with a JSON object, as one of several leaves."
        )
    return found
