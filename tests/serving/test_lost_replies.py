"""Requests of the server itself to its models, whose reply takes neither the answer nor the failure.

Whoever made them is told, and answers in turn: a graph its client, and a call of a model's code that code.
"""

from __future__ import annotations

from typing import Any

import pytest
from test_graphs import APPEND, answered, chain, predictor, write_graph
from test_worker_calls import CALLER, CALLS, ECHO, ask

from mms.errors import UnexpectedError
from mms.serving import RegisterOptions
from mms.serving.model_client import PendingAnswer


class Injected(Exception):
    """What nothing foresaw."""


def lose_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next request of the server itself raise where it is answered, and where it fails."""
    for name in ("answer", "fail"):
        raised: list[str] = []
        function = getattr(PendingAnswer, name)

        def raise_once(
            *arguments: Any, raised: list[str] = raised, function: Any = function
        ) -> None:
            if not raised:
                raised.append("once")
                raise Injected
            function(*arguments)

        monkeypatch.setattr(PendingAnswer, name, raise_once)


async def test_a_graph_answers_500_for_a_node_s_reply_that_is_lost(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.register("a", APPEND)
    url = write_graph(bench, predictor(chain("a")))
    await bench.host.register(RegisterOptions(url, model_name="g"))
    lose_one(monkeypatch)
    with pytest.raises(UnexpectedError):
        await answered(bench.host, "g")
    assert (await answered(bench.host, "g"))[1]["strData"] == "xa"


async def test_a_call_of_a_worker_is_answered_500_for_a_reply_that_is_lost(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.register("echo", ECHO)
    await bench.register("caller", CALLER, calls=CALLS)
    pids = bench.pids("caller")
    lose_one(monkeypatch)
    assert (await ask(bench, key="e", body="x"))[:2] == [500, "UnexpectedError"]
    assert (await ask(bench, key="e", body="x"))[:2] == [200, ""]
    assert bench.pids("caller") == pids
