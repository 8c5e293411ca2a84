"""Drives MLRun's routers in the front: their routes are models of this server, asked on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mms.bodies.json_text import from_json, to_json
from mms.bodies.large_json import apart, read_in_pieces
from mms.errors import ServerError
from mms.interfaces.mlrun.errors import with_strict_status
from mms.interfaces.mlrun.front.calls import RouteCalls, RoutedRequest
from mms.interfaces.mlrun.routers import routing
from mms.interfaces.mlrun.routers.model_path import (
    DEFAULT_OPERATION,
    OWN_OPERATIONS,
    key_in,
    unknown_model,
)
from mms.interfaces.mlrun.routers.router import BaseModelRouter, ModelRouter, ParallelRun
from mms.interfaces.mlrun.routers.routing import Ask, Call, Forward, Forwarded, Outcome, ReadBody
from mms.interfaces.mlrun.routers.traffic import BanditRouter, CanaryRouter
from mms.interfaces.mlrun.routers.voting import VotingEnsemble
from mms.serving.model_client import ModelAnswer

_OK: Final = b"OK"
_JSON_LINE: Final = b"content-type: application/json\r\n"

#: The routers that need no worker.
FRONT_ROUTERS: Final[Mapping[str, type[BaseModelRouter]]] = {
    router.__name__: router
    for router in (ModelRouter, ParallelRun, VotingEnsemble, CanaryRouter, BanditRouter)
}


class _Step(NamedTuple):
    """Where a router's steps have come to: the next one, or None and the answer."""

    step: ReadBody | Forward | Ask | None
    answer: Any = None


class FrontRouting:
    """One router of the front. Called on the event loop."""

    def __init__(
        self, router: BaseModelRouter, calls: RouteCalls, nan_policy: str = "null"
    ) -> None:
        self.router = router
        self.calls = calls
        self._nan_policy = nan_policy

    @classmethod
    def of(
        cls, name: str, calls: RouteCalls, class_args: Mapping[str, Any], nan_policy: str = "null"
    ) -> FrontRouting:
        """Return the routing of one of FRONT_ROUTERS. Raises ValueError, TypeError and ArithmeticError for arguments
        that it does not take.
        """
        router = FRONT_ROUTERS[name](routes=dict.fromkeys(calls.keys), **class_args)
        router.post_init()
        return cls(router, calls, nan_policy)

    def __repr__(self) -> str:
        return f"<FrontRouting {self.router!r}>"

    @property
    def router_class(self) -> str:
        """The router's class, by MLRun's name."""
        return type(self.router).__name__

    @property
    def name(self) -> str:
        return self.router.name or ""

    async def answer(self, asked: RoutedRequest) -> ModelAnswer:
        """Return the answer to a request.

        Raises the errors of the front, and whatever a client is told under an exception's own name.
        """
        size_bytes = len(asked.request.body)
        steps = self.router.steps_of(await self._call_of(asked))
        sent: Any = None
        error: Exception | None = None
        while True:
            # What is done with answers takes as long as they are large, and they are about as large as the request.
            step, answer = await apart(size_bytes, _advance, steps, sent, error)
            if step is None:
                break
            sent = error = None
            try:
                sent = await self._carry_out(step, asked)
            except Exception as raised:
                error = raised
        if isinstance(answer, routing.Final):
            answer = answer.value
        if isinstance(answer, ModelAnswer):
            return answer
        text = await apart(size_bytes, to_json, answer, self._nan_policy)
        return ModelAnswer(200, _OK, _JSON_LINE, text)

    async def _call_of(self, asked: RoutedRequest) -> Call:
        """Models are asked by their own paths: what comes here names the router, or a model in its body."""
        model, operation = None, asked.operation
        if not self.router.takes_all_bodies:
            model = await self._model_in_body(asked)
        elif self.router.is_named and asked.method != "GET":
            operation = operation or DEFAULT_OPERATION
        return Call(model, operation, asked.method, asked.event_id)

    async def _model_in_body(self, asked: RoutedRequest) -> str:
        keys = self.calls.keys
        body = None
        if asked.method != "GET" and _has(asked, "model"):
            body = await body_value(asked)
        is_named = isinstance(body, dict) and "model" in body
        if asked.operation in OWN_OPERATIONS and asked.operation not in keys and not is_named:
            # It stands where a path has a model's name.
            raise unknown_model(asked.operation, keys)
        key = key_in(body) or keys[0]
        if key not in self.calls.targets:
            raise unknown_model(key, keys)
        return key

    async def _carry_out(self, step: ReadBody | Forward | Ask, asked: RoutedRequest) -> Any:
        if isinstance(step, Forward):
            answer = await self.calls.ask(step.key, asked, step.operation)
            return Forwarded(answer, answer.is_success)
        if isinstance(step, Ask):
            found = await asyncio.gather(*(self._outcome(key, step, asked) for key in step.keys))
            return dict(zip(step.keys, found, strict=True))
        if asked.method == "GET" or (step.member and not _has(asked, step.member)):
            return None
        if asked.content_type.startswith("image/"):
            # The models read it.
            return {"inputs": []}
        return await body_value(asked)

    async def _outcome(self, key: str, step: Ask, asked: RoutedRequest) -> Outcome:
        try:
            answer = await self.calls.ask(
                key, asked, step.operation, method=step.method or "", has_body=step.method != "GET"
            )
            if not answer.is_success:
                status = answer.status
                return Outcome(failure=answer.text, status=status, own_status=status)
            return Outcome(await apart(len(answer.body), read_in_pieces, answer.body, from_json))
        except ServerError as error:
            text = f"{type(error).__name__}: {error.message or error}"
            return Outcome(failure=text, status=error.http_status, own_status=error.http_status)
        except ValueError as error:
            return Outcome(failure=f"ValueError: no JSON was answered: {error}", status=500)


def _advance(steps: routing.Steps, sent: Any, error: Exception | None) -> _Step:
    try:
        return _Step(steps.send(sent) if error is None else steps.throw(error))
    except StopIteration as end:
        return _Step(None, end.value)


async def body_value(asked: RoutedRequest) -> Any:
    """Return the JSON of a request's body, None where it has none. Raises ValueError for what is none."""
    body = asked.request.body
    if not body:
        return None
    try:
        return await apart(len(body), read_in_pieces, body, from_json)
    except ValueError:
        raise with_strict_status(ValueError("Unrecognized request format"), 422) from None


def _has(asked: RoutedRequest, member: str) -> bool:
    """Return whether a body may have a member of this name anywhere."""
    body = asked.request.body
    text = f'"{member}"'.encode()
    return text in (body if isinstance(body, bytes | bytearray) else bytes(body))
