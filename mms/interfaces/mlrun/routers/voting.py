"""Ensembles: all models answer, and their outputs are one vote."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mms.interfaces.mlrun.model.event import Response
from mms.interfaces.mlrun.model.model_server import check_inputs
from mms.interfaces.mlrun.routers.router import NamedRouter, ParallelRun
from mms.interfaces.mlrun.routers.routing import (
    Ask,
    Call,
    Final,
    Outcomes,
    ReadBody,
    Steps,
    successes,
    with_failures,
)
from mms.interfaces.mlrun.routers.votes import (
    REGRESSION,
    VOTE_KINDS,
    kind_of,
    vote,
    weights_of,
)
from mms.text.brief import brief
from mms.traffic.weights import check_weights

DEFAULT_NAME = "VotingEnsemble"
DEFAULT_VERSION = "v1"


class VotingEnsemble(NamedRouter, ParallelRun):
    """Has all models answer, and votes on their outputs.

    Where models fail, the others vote, and the answer names the failed ones under `failed`.
    """

    _CLASS_NAME = "mlrun.serving.VotingEnsemble"
    default_name = DEFAULT_NAME
    has_records = True

    def __init__(
        self,
        context: Any = None,
        name: str | None = None,
        routes: dict[str, Any] | None = None,
        protocol: str | None = None,
        url_prefix: str | None = None,
        health_prefix: str | None = None,
        vote_type: str | None = None,
        weights: Mapping[str, float] | None = None,
        executor_type: str = "thread",
        format_response_with_col_name_flag: bool = False,
        prediction_col_name: str = "prediction",
        normalize_weights: bool = True,
        **kwargs: Any,
    ) -> None:
        """`vote_type`: classification, regression, or None for what the outputs look like.

        `weights`: by model, those that are not named have none; all the same where None. They are divided by their
        sum unless not `normalize_weights`.
        `format_response_with_col_name_flag`: outputs are {`prediction_col_name`: votes}.
        """
        kwargs["executor_type"] = executor_type
        super().__init__(context, name, routes, protocol, url_prefix, health_prefix, **kwargs)
        if vote_type not in (None, *VOTE_KINDS):
            raise ValueError(
                f"vote_type is {brief(vote_type)}, must be one of {', '.join(VOTE_KINDS)}"
            )
        self.name = name or DEFAULT_NAME
        self.version = kwargs.get("version") or DEFAULT_VERSION
        self.vote_type = vote_type
        self.weights = check_weights(weights)
        self.normalize_weights = normalize_weights
        self.format_response_with_col_name_flag = format_response_with_col_name_flag
        self.prediction_col_name = prediction_col_name or "prediction"
        self.model_endpoint_uid: str | None = None
        self._model_logger: Any = None
        self._has_seen_fractions = False

    def post_init(self, mode: str = "sync", **_: Any) -> None:
        super().post_init(mode)
        unknown = [key for key in self.weights or () if key not in self.routes]
        if unknown:
            raise ValueError(
                f"the weights of {self.name} name models that it does not have: "
                f"{', '.join(unknown)}; it has {', '.join(self.routes)}"
            )
        if self.weights is not None and self.routes:
            weights_of(list(self.routes), self.weights)
        stream = getattr(self.context, "stream", None)
        if stream is not None and stream.enabled and self._model_logger is None:
            from mms.interfaces.mlrun.records.model_log import ModelLog

            self._model_logger = ModelLog(self, self.context)

    # What subclasses may have of their own

    def validate(self, request: Any, method: str | None) -> Any:
        """Return the request. Raises what a client gets for one to the ensemble that cannot be."""
        if self.protocol == "v2" and method != "GET":
            check_inputs(request)
        return request

    def extract_results_from_response(self, response: Any) -> Any:
        """Return the predictions in a model's `outputs`."""
        if isinstance(response, dict):
            if self.prediction_col_name not in response:
                raise ValueError(
                    f"a model's outputs have no {self.prediction_col_name}, only {', '.join(response)}"
                )
            return response[self.prediction_col_name]
        return response

    def logic(self, predictions: Any, weights: Any) -> Any:
        """Return one prediction a sample. predictions: an array [samples, models]; weights: an array [models]."""
        samples = _as_list(predictions)
        kind = self.vote_type or self._kind_of(samples)
        own_weights = _as_list(weights)
        return [vote(row, own_weights, kind) for row in samples]

    # Calls

    def describe_routing(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def _infer(self, call: Call) -> Steps:
        started_ns, began_ns = time.time_ns(), time.perf_counter_ns()
        request = self.validate((yield ReadBody()), call.method)
        outcomes: Outcomes = yield Ask(tuple(self.routes), call.operation, body=request)
        answers = successes(self.name or DEFAULT_NAME, outcomes)
        own_id = request.get("id") if isinstance(request, dict) else None
        votes = self._votes({key: self._predictions(key, one) for key, one in answers.items()})
        answer: dict[str, Any] = {
            "id": call.event_id if own_id is None else own_id,
            "model_name": self.name,
            "outputs": {self.prediction_col_name: votes}
            if self.format_response_with_col_name_flag
            else votes,
        }
        if self.version:
            answer["model_version"] = self.version
        with_failures(answer, outcomes)
        if self._model_logger is not None:
            self._model_logger.push_result(started_ns, began_ns, request, answer, None)
        return answer

    def _predictions(self, key: str, answer: Any) -> Any:
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise ValueError(f"model {key} answered without outputs")
        found = self.extract_results_from_response(answer["outputs"])
        return _as_list(found)

    def _votes(self, predictions: dict[str, Any]) -> Any:
        rows = list(predictions.values())
        weights = weights_of(list(predictions), self.weights, self.normalize_weights)
        if type(self).logic is not VotingEnsemble.logic:
            import numpy as np

            from mms.tensors.lists import array_of_lists

            return _as_list(self.logic(array_of_lists(rows).T, np.array(weights)))
        return vote(rows, weights, self.vote_type or self._kind_of(rows))

    def _kind_of(self, rows: list[Any]) -> str:
        """Whole numbers are classes until a fraction was seen: then these models are no classifiers."""
        if not self._has_seen_fractions:
            self._has_seen_fractions = kind_of(rows) == REGRESSION
        return REGRESSION if self._has_seen_fractions else kind_of(rows)

    def _metadata(self, call: Call) -> Steps:
        found: dict[str, Any] = {"name": self.name, "version": self.version or ""}
        found |= {"inputs": [], "outputs": []}
        for key in self.routes:
            described = (yield Ask((key,), "", "GET"))[key].value
            if isinstance(described, dict):
                for part in ("inputs", "outputs"):
                    found[part] = found[part] or described.get(part) or []
            if found["inputs"] and found["outputs"]:
                break
        return found

    def _readiness(self, call: Call) -> Steps:
        """Ready is an ensemble whose models all are."""
        outcomes: Outcomes = yield Ask(tuple(self.routes), "ready", "GET")
        waiting = [key for key, one in outcomes.items() if one.failure]
        make = Response if self.context is None else self.context.Response
        if waiting:
            text = f"model not ready, waiting for {', '.join(waiting)}"
            return Final(make(body=text.encode(), status_code=408))
        text = f"Model {self.name} is ready (event_id = {call.event_id})"
        return Final(make(body=text.encode(), status_code=200))


def _as_list(values: Any) -> Any:
    """Return arrays as lists; anything else as it is."""
    to_list = getattr(values, "tolist", None)
    return values if to_list is None else to_list()
