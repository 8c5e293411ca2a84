"""What MLRun's routers decide, for the front: which of their models are asked, and what their answers come to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mms.bodies.json_text import from_json, to_json
from mms.bodies.large_json import apart
from mms.brief import brief
from mms.errors import ServerError
from mms.interfaces.mlrun.errors import with_strict_status
from mms.interfaces.mlrun.front.calls import Asked, RouteCalls
from mms.interfaces.mlrun.model.model_path import (
    DEFAULT_OPERATION,
    OWN_OPERATIONS,
    key_in,
    unknown_model,
)
from mms.interfaces.mlrun.model.model_server import check_inputs
from mms.interfaces.mlrun.paths import get_path
from mms.interfaces.mlrun.routers.arms import (
    EPSILON_GREEDY,
    Bandit,
    check_shares,
    choose_weighted,
    point_of,
)
from mms.interfaces.mlrun.routers.votes import (
    REGRESSION,
    VOTE_KINDS,
    check_weights,
    kind_of,
    vote,
    weights_of,
)
from mms.serving.model_client import ModelAnswer

_OK: Final = b"OK"
_JSON_LINE: Final = b"content-type: application/json\r\n"
_READY: Final = "ready"
_REWARD: Final = "reward"


class _Outcome(NamedTuple):
    """What a model answered, or the text of why it did not. `status`: of the failure."""

    value: Any = None
    failure: str = ""
    status: int = 0


class Routing:
    """One router's decisions. Called on the event loop."""

    #: As MLRun calls it.
    router_class = ""
    #: Its name where nothing else gives it one; empty for a router that is not asked as a model.
    default_name = ""
    #: Whether a request without a path is the router's, whatever model its body names.
    takes_all_bodies = True
    #: Whether it is asked as a model, by its name or by an operation alone.
    is_named = False
    #: Whether its answers are more than those of its models, so that they have records of their own.
    has_records = False

    def __init__(self, calls: RouteCalls, class_args: Mapping[str, Any], nan_policy: str) -> None:
        """Raises ValueError for arguments that cannot be."""
        self._calls = calls
        self._nan_policy = nan_policy
        self.name: str = class_args.get("name") or self.default_name

    def __repr__(self) -> str:
        return f"<{self.router_class} of {', '.join(self.keys)}>"

    @property
    def keys(self) -> list[str]:
        return self._calls.keys

    def listing(self) -> dict[str, Any]:
        """The answer to who asks for the models."""
        return {"models": self.keys}

    def describe(self) -> dict[str, Any]:
        """What it says of itself besides its models."""
        return {}

    async def answer(self, asked: Asked) -> ModelAnswer:
        """Raises the errors of the front, and whatever a client is told under an exception's own name."""
        raise NotImplementedError

    def _json(self, value: Any) -> ModelAnswer:
        return ModelAnswer(200, _OK, _JSON_LINE, to_json(value, self._nan_policy))

    def _illegal(self, asked: Asked, operation: str) -> ValueError:
        return with_strict_status(
            ValueError(f"illegal model operation {operation}, method={asked.method}"), 404
        )

    async def _outcomes(self, asked: Asked, operation: str) -> dict[str, _Outcome]:
        """What all models answer, asked together. Raises RuntimeError where all fail."""

        async def outcome(key: str) -> _Outcome:
            try:
                answer = await self._calls.ask(key, asked, operation)
                if not answer.is_success:
                    return _Outcome(failure=answer.text, status=answer.status)
                return _Outcome(await apart(len(answer.body), _value_of, answer))
            except ServerError as error:
                text = f"{type(error).__name__}: {error.message or error}"
                return _Outcome(failure=text, status=error.http_status)
            except ValueError as error:
                return _Outcome(failure=f"ValueError: no JSON was answered: {error}", status=500)

        found = await asyncio.gather(*(outcome(key) for key in self.keys))
        outcomes = dict(zip(self.keys, found, strict=True))
        if all(one.failure for one in found):
            told = "; ".join(f"{key}: {one.failure}" for key, one in outcomes.items())
            statuses = {one.status for one in found}
            raise with_strict_status(
                RuntimeError(f"all models of {self.name or self.router_class} failed: {told}"),
                statuses.pop() if len(statuses) == 1 else 500,
            )
        return outcomes


def _value_of(answer: ModelAnswer) -> Any:
    """What the JSON of an answer says. Raises ValueError."""
    return from_json(bytes(answer.body))


async def body_value(asked: Asked) -> Any:
    """The JSON of a request's body, None where it has none. Raises ValueError for what is none."""
    body = asked.request.body
    if not body:
        return None
    try:
        return await apart(len(body), from_json, body)
    except ValueError:
        raise with_strict_status(ValueError("Unrecognized request format"), 422) from None


def _has(asked: Asked, member: bytes) -> bool:
    """Whether a body has this text anywhere."""
    body = asked.request.body
    return member in (body if isinstance(body, bytes | bytearray) else bytes(body))


def _failures(outcomes: Mapping[str, _Outcome]) -> dict[str, str]:
    return {key: one.failure for key, one in outcomes.items() if one.failure}


class ModelRouting(Routing):
    """Its models stand for themselves; only what names none of them comes here."""

    router_class = "ModelRouter"
    takes_all_bodies = False

    async def answer(self, asked: Asked) -> ModelAnswer:
        if asked.operation in OWN_OPERATIONS and asked.operation not in self.keys:
            # The path's place for a model's name.
            named = await body_value(asked) if asked.method != "GET" else None
            if not isinstance(named, dict) or "model" not in named:
                raise unknown_model(asked.operation, self.keys)
        operation, key = asked.operation, self.keys[0]
        if asked.method != "GET" and _has(asked, b'"model"'):
            key = key_in(await body_value(asked)) or key
        if key not in self._calls.targets:
            raise unknown_model(key, self.keys)
        return await self._calls.ask(key, asked, operation)


class ParallelRouting(Routing):
    """All models answer, dicts, which become one."""

    router_class = "ParallelRun"

    def __init__(self, calls: RouteCalls, class_args: Mapping[str, Any], nan_policy: str) -> None:
        super().__init__(calls, class_args, nan_policy)
        self._extends = bool(class_args.get("extend_event"))

    async def answer(self, asked: Asked) -> ModelAnswer:
        merged: dict[str, Any] = {}
        if self._extends:
            value = await body_value(asked)
            if isinstance(value, dict):
                merged.update(value)
        outcomes = await self._outcomes(asked, asked.operation)
        for key, one in outcomes.items():
            if one.failure:
                continue
            if not isinstance(one.value, dict):
                raise TypeError(
                    f"route {key} answered a {type(one.value).__name__}; {self.router_class} merges dicts"
                )
            merged.update(one.value)
        failed = _failures(outcomes)
        if failed:
            merged["failed"] = failed
        return await apart(len(asked.request.body), self._json, merged)


class _Named(Routing):
    """A router that is asked as a model."""

    is_named = True

    def listing(self) -> dict[str, Any]:
        return {"models": [*self.keys, self.name], **self.describe()}

    async def answer(self, asked: Asked) -> ModelAnswer:
        operation = asked.operation
        if asked.method == "GET" and operation == "":
            return self._json(await self._metadata(asked))
        operation = operation or DEFAULT_OPERATION
        if operation in OWN_OPERATIONS:
            return await self._infer(asked, operation)
        return self._json(await self._own(asked, operation))

    async def _infer(self, asked: Asked, operation: str) -> ModelAnswer:
        raise NotImplementedError

    async def _own(self, asked: Asked, operation: str) -> Any:
        """The answer to an operation of its own."""
        raise self._illegal(asked, operation)

    async def _metadata(self, asked: Asked) -> dict[str, Any]:
        return {"name": self.name, "version": "", "inputs": [], "outputs": [], **self.describe()}


class VotingRouting(_Named):
    """All models answer, and their outputs are one vote."""

    router_class = "VotingEnsemble"
    default_name = "VotingEnsemble"
    has_records = True

    def __init__(self, calls: RouteCalls, class_args: Mapping[str, Any], nan_policy: str) -> None:
        super().__init__(calls, class_args, nan_policy)
        kind = class_args.get("vote_type")
        if kind not in (None, *VOTE_KINDS):
            raise ValueError(f"vote_type is {brief(kind)}, must be one of {', '.join(VOTE_KINDS)}")
        self._kind: str | None = kind
        self._weights = check_weights(class_args.get("weights"))
        unknown = [key for key in self._weights or () if key not in self.keys]
        if unknown:
            raise ValueError(
                f"the weights of {self.name} name models that it does not have: "
                f"{', '.join(unknown)}; it has {', '.join(self.keys)}"
            )
        if self._weights is not None:
            weights_of(self.keys, self._weights)
        self._is_normalized = class_args.get("normalize_weights", True) is not False
        self._has_column = bool(class_args.get("format_response_with_col_name_flag"))
        self._column: str = class_args.get("prediction_col_name") or "prediction"
        self._version: str = class_args.get("version") or "v1"
        self._has_seen_fractions = False

    def describe(self) -> dict[str, Any]:
        return {"weights": self._weights}

    async def _infer(self, asked: Asked, operation: str) -> ModelAnswer:
        request = None
        if asked.method != "GET" and not asked.content_type.startswith("image/"):
            request = await body_value(asked)
            check_inputs(request)
        outcomes = await self._outcomes(asked, operation)
        # As large as what was asked: a row of answers for each of its inputs.
        votes = await apart(len(asked.request.body), self._votes, outcomes)
        own_id = request.get("id") if isinstance(request, dict) else None
        answer: dict[str, Any] = {
            "id": asked.event_id if own_id is None else own_id,
            "model_name": self.name,
            "outputs": {self._column: votes} if self._has_column else votes,
            "model_version": self._version,
        }
        failed = _failures(outcomes)
        if failed:
            answer["failed"] = failed
        return await apart(len(asked.request.body), self._json, answer)

    def _predictions(self, key: str, answer: Any) -> Any:
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise ValueError(f"model {key} answered without outputs")
        outputs = answer["outputs"]
        if not isinstance(outputs, dict):
            return outputs
        if self._column not in outputs:
            raise ValueError(f"a model's outputs have no {self._column}, only {', '.join(outputs)}")
        return outputs[self._column]

    def _votes(self, outcomes: Mapping[str, _Outcome]) -> Any:
        predictions = {
            key: self._predictions(key, one.value)
            for key, one in outcomes.items()
            if not one.failure
        }
        rows = list(predictions.values())
        weights = weights_of(list(predictions), self._weights, self._is_normalized)
        return vote(rows, weights, self._kind or self._kind_of(rows))

    def _kind_of(self, rows: list[Any]) -> str:
        """Whole numbers are classes until a fraction was seen: then these models are no classifiers."""
        if not self._has_seen_fractions:
            self._has_seen_fractions = kind_of(rows) == REGRESSION
        return REGRESSION if self._has_seen_fractions else kind_of(rows)

    async def _metadata(self, asked: Asked) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.name, "version": self._version}
        found |= {"inputs": [], "outputs": []}
        for key in self.keys:
            answer = await self._calls.ask(key, asked, "", method="GET", has_body=False)
            described = _value_of(answer) if answer.is_success else None
            if isinstance(described, dict):
                for part in ("inputs", "outputs"):
                    found[part] = found[part] or described.get(part) or []
            if found["inputs"] and found["outputs"]:
                break
        return found


class CanaryRouting(_Named):
    """Requests by shares."""

    router_class = "CanaryRouter"
    default_name = "CanaryRouter"

    def __init__(self, calls: RouteCalls, class_args: Mapping[str, Any], nan_policy: str) -> None:
        super().__init__(calls, class_args, nan_policy)
        self._shares = check_shares(class_args.get("weights"), self.keys)
        self._sticky_path: str | None = class_args.get("sticky_path")
        self._random = random.Random(class_args.get("seed"))

    def describe(self) -> dict[str, Any]:
        return {"weights": self._shares}

    async def _infer(self, asked: Asked, operation: str) -> ModelAnswer:
        key = None
        if self._sticky_path and asked.request.body:
            value = await body_value(asked)
            if isinstance(value, dict):
                key = get_path(value, self._sticky_path)
        point = self._random.random() if key is None else point_of(key)
        return await self._calls.ask(choose_weighted(self._shares, point), asked, operation)


class BanditRouting(_Named):
    """Requests to the models that were rewarded most, and some to the others."""

    router_class = "BanditRouter"
    default_name = "BanditRouter"

    def __init__(self, calls: RouteCalls, class_args: Mapping[str, Any], nan_policy: str) -> None:
        super().__init__(calls, class_args, nan_policy)
        self._bandit = Bandit(
            self.keys,
            class_args.get("strategy") or EPSILON_GREEDY,
            class_args.get("epsilon", 0.1),
            class_args.get("seed"),
        )
        self._failure_reward: float | None = class_args.get("failure_reward", 0.0)

    def describe(self) -> dict[str, Any]:
        return {"strategy": self._bandit.strategy, "arms": self._bandit.statistics()}

    async def _infer(self, asked: Asked, operation: str) -> ModelAnswer:
        request_id: Any = asked.event_id
        if _has(asked, b'"id"'):
            value = await body_value(asked)
            if isinstance(value, dict) and value.get("id") is not None:
                request_id = value["id"]
        arm = self._bandit.choose()
        try:
            answer = await self._calls.ask(arm, asked, operation)
        except ServerError:
            self._note_failure(arm)
            raise
        if answer.is_success:
            self._bandit.remember(request_id, arm)
        else:
            self._note_failure(arm)
        return answer

    def _note_failure(self, arm: str) -> None:
        if self._failure_reward is not None:
            self._bandit.reward(arm, self._failure_reward)

    async def _own(self, asked: Asked, operation: str) -> Any:
        if operation == _REWARD and asked.method != "GET":
            return self._bandit.reward_request(await body_value(asked))
        return await super()._own(asked, operation)


ROUTINGS: Final[Mapping[str, type[Routing]]] = {
    routing.router_class: routing
    for routing in (ModelRouting, ParallelRouting, VotingRouting, CanaryRouting, BanditRouting)
}
