"""Ensembles that vote, with features for keys and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from routed_models import (
    KEYS,
    Constant,
    Listing,
    Multiplying,
    MultiplyingEach,
    Raising,
    Route,
    ask,
    constants,
    context,
    four,
    made,
    route,
    tracked,
)

from mms.interfaces.mlrun.routers.voting import VotingEnsemble


def regression(routes: Any = None, **arguments: Any) -> Any:
    return made(
        VotingEnsemble,
        four(MultiplyingEach) if routes is None else routes,
        vote_type="regression",
        prediction_col_name="predictions",
        format_response_with_col_name_flag=True,
        **arguments,
    )


def test_the_list_has_the_ensemble_and_its_weights_as_given() -> None:
    found = ask(regression(), "/v2/models/")
    assert found == {"models": [*KEYS, "VotingEnsemble"], "weights": None}
    for weights in (dict.fromkeys(KEYS, 1), dict(zip(KEYS, (0.1, 0.2, 0.3, 0.4), strict=True))):
        assert ask(regression(weights=weights), "/v2/models/")["weights"] == weights


@pytest.mark.parametrize(
    ("path", "name", "version"),
    [("m1", "m1", ""), ("m3/versions/v2", "m3", "v2"), ("VotingEnsemble", "VotingEnsemble", "v1")],
)
def test_models_and_ensemble_tell_of_themselves(path: str, name: str, version: str) -> None:
    found = ask(regression(), f"/v2/models/{path}")
    assert found == {"name": name, "version": version, "inputs": [], "outputs": []}


def test_an_ensemble_has_the_features_of_the_first_model_that_knows_them() -> None:
    def telling(inputs: list[Any], outputs: list[Any]) -> Route:
        def run(event: Any) -> Any:
            assert (event.path, event.method, event.body) == ("", "GET", None)
            event.body = {"name": "m", "inputs": inputs, "outputs": outputs}
            return event

        return Route(run)

    routes = {"a": telling([], []), "b": telling([1], []), "c": telling([2], [3])}
    found = ask(regression(routes), "/v2/models/VotingEnsemble")
    assert (found["inputs"], found["outputs"]) == ([1], [3])


@pytest.mark.parametrize("executor_type", ["array", "thread", "process"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_regression_is_the_average(executor_type: str, count: int) -> None:
    ensemble = regression(executor_type=executor_type)
    body = {"inputs": [5] * count}
    for path in ("VotingEnsemble/infer", "infer", "predict", "VotingEnsemble"):
        found = ask(ensemble, f"/v2/models/{path}", dict(body))
        assert found["outputs"] == {"predictions": [1250.0] * count}
    assert ask(ensemble, "/", dict(body))["model_name"] == "VotingEnsemble"
    found = ask(ensemble, "/v2/models/m3/versions/v1/infer", dict(body))
    assert found["outputs"] == {"predictions": [1500] * count}
    ensemble.close()


@pytest.mark.parametrize("executor_type", ["array", "thread", "process"])
def test_a_classification_is_a_vote(executor_type: str) -> None:
    ensemble = made(
        VotingEnsemble,
        constants(1, 2, 3, 4),
        vote_type="classification",
        executor_type=executor_type,
    )
    assert ask(ensemble, "/v2/models/infer", {"inputs": [5, 5]})["outputs"] == [1, 1]
    assert ask(ensemble, "/v2/models/m2/infer", {"inputs": [5]})["outputs"] == [2]
    ensemble.close()


def test_weights_decide() -> None:
    weights = dict(zip(KEYS, (0.1, 0.2, 0.3, 0.4), strict=True))
    found = ask(regression(weights=weights), "/v2/models/infer", {"inputs": [5]})
    assert found["outputs"] == {"predictions": [1500.0]}
    names = {f"m{number}": number / 10 for number in range(1, 5)}
    classes = made(VotingEnsemble, constants(1, 2, 3, 4), vote_type="classification", weights=names)
    assert ask(classes, "/v2/models/infer", {"inputs": [5]})["outputs"] == [4]


def test_weights_are_shares_unless_told_otherwise() -> None:
    ones = dict.fromkeys(KEYS, 1)
    found = ask(regression(weights=ones), "/v2/models/infer", {"inputs": [5]})
    assert found["outputs"] == {"predictions": [1250.0]}
    raw = regression(weights=ones, normalize_weights=False)
    found = ask(raw, "/v2/models/infer", {"inputs": [5]})
    assert found["outputs"] == {"predictions": [5000.0]}
    small = dict.fromkeys(KEYS, 0.1)
    found = ask(regression(weights=small), "/v2/models/infer", {"inputs": [5]})
    assert found["outputs"]["predictions"] == pytest.approx([1250.0])


def test_an_answer_has_its_members_in_order_and_the_id_of_the_request() -> None:
    found = ask(regression(), "/v2/models/infer", {"inputs": [5]}, event_id="e1")
    assert list(found) == ["id", "model_name", "outputs", "model_version"]
    assert (found["id"], found["model_name"], found["model_version"]) == (
        "e1",
        "VotingEnsemble",
        "v1",
    )
    assert ask(regression(), "/v2/models/infer", {"inputs": [5], "id": "abc"})["id"] == "abc"


def test_name_and_version_may_be_given() -> None:
    ensemble = regression(name="both", version="v9")
    found = ask(ensemble, "/v2/models/both/infer", {"inputs": [5]})
    assert (found["model_name"], found["model_version"]) == ("both", "v9")


def test_models_that_fail_leave_the_vote_to_the_others_and_are_named() -> None:
    routes = {
        "a": route(Listing, "a", multiplier=100),
        "b": route(Raising, "b"),
        "c": route(Listing, "c", multiplier=100),
    }
    weights = {"a": 0.25, "b": 0.5, "c": 0.25}
    ensemble = made(VotingEnsemble, routes, vote_type="regression", weights=weights)
    found = ask(ensemble, "/v2/models/infer", {"inputs": [5]})
    assert found["outputs"] == [500.0]
    assert found["failed"] == {"b": "ValueError: bad model"}
    assert list(found)[-1] == "failed"


def test_where_all_models_fail_so_does_the_ensemble() -> None:
    ensemble = made(VotingEnsemble, {"a": route(Raising, "a")})
    found = ask(ensemble, "/v2/models/infer", {"inputs": [5]})
    assert found.body == (
        "RuntimeError: all models of VotingEnsemble failed: a: ValueError: bad model"
    )
    strict = made(VotingEnsemble, {"a": route(Raising, "a")}, context(strict_status=True))
    assert ask(strict, "/v2/models/infer", {"inputs": [5]}).status_code == 500


def test_the_kind_of_vote_follows_the_outputs() -> None:
    classes = made(VotingEnsemble, constants(1, 2, 2))
    assert ask(classes, "/v2/models/infer", {"inputs": [5]})["outputs"] == [2]
    floats = made(VotingEnsemble, constants(1.5, 2.5))
    assert ask(floats, "/v2/models/infer", {"inputs": [5]})["outputs"] == [2.0]


def test_models_that_gave_fractions_once_are_no_classifiers_when_they_do_not() -> None:
    routes = {
        key: route(Listing, key, multiplier=number)
        for key, number in zip("ab", (1, 2), strict=True)
    }
    ensemble = made(VotingEnsemble, routes)
    assert ask(ensemble, "/v2/models/infer", {"inputs": [0.5]})["outputs"] == [0.75]
    assert ask(ensemble, "/v2/models/infer", {"inputs": [1]})["outputs"] == [1.5]


def test_classes_may_be_negative_or_text() -> None:
    assert ask(made(VotingEnsemble, constants(-1, -1, 1)), "/", {"inputs": [0]})["outputs"] == [-1]
    texts = made(VotingEnsemble, constants("cat", "dog", "dog"))
    assert ask(texts, "/", {"inputs": [0]})["outputs"] == ["dog"]


def test_arrays_vote_as_lists_do() -> None:
    routes = {"a": route(Constant, "a", answer=np.float32(1)), "b": route(Constant, "b", answer=2)}
    ensemble = made(VotingEnsemble, routes, vote_type="regression")
    assert ask(ensemble, "/", {"inputs": [0]})["outputs"] == [1.5]


def test_explanations_are_voted_on_too() -> None:
    class Explaining(Listing):
        def explain(self, request: Any) -> Any:
            return [self.model]

    routes = {key: route(Explaining, key, multiplier=n) for key, n in (("a", 1), ("b", 2))}
    ensemble = made(VotingEnsemble, routes, vote_type="regression")
    assert ask(ensemble, "/v2/models/explain", {"inputs": [0]})["outputs"] == [1.5]


def test_a_logic_of_ones_own_gets_samples_by_models_and_the_weights() -> None:
    seen = []

    class Highest(VotingEnsemble):
        def logic(self, predictions: Any, weights: Any) -> Any:
            seen.append((predictions.tolist(), weights.tolist()))
            return predictions.max(axis=1)

    ensemble = made(Highest, constants(1, 3))
    assert ask(ensemble, "/", {"inputs": [0, 0]})["outputs"] == [3, 3]
    assert seen == [([[1, 3], [1, 3]], [0.5, 0.5])]


def test_a_logic_of_ones_own_may_ask_that_of_the_base_class() -> None:
    class Rounded(VotingEnsemble):
        def logic(self, predictions: Any, weights: Any) -> Any:
            return [round(value) for value in super().logic(predictions, weights)]

    for vote_type in ("regression", None):
        ensemble = made(Rounded, constants(1.2, 2.5), vote_type=vote_type)
        assert ask(ensemble, "/", {"inputs": [0, 0]})["outputs"] == [2, 2]


def test_without_a_path_the_body_says_what_the_ensemble_is_asked() -> None:
    class Explaining(Listing):
        def explain(self, request: Any) -> Any:
            return [7]

    ensemble = made(VotingEnsemble, {"a": route(Explaining, "a", multiplier=1)})
    found = ask(ensemble, "/", {"operation": "explain", "inputs": [0], "model": "a"})
    assert (found["outputs"], found["model_name"]) == ([7], "VotingEnsemble")


@pytest.mark.parametrize("path", ["/v2/models/infer", "/v2/models/VotingEnsemble/infer", "/"])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"x": 1}, 'Exception: Expected key "inputs" in request body'),
        ({"inputs": 5}, 'Exception: Expected "inputs" to be a list'),
    ],
)
def test_a_request_to_the_ensemble_has_a_list_of_inputs(path: str, body: Any, text: str) -> None:
    assert ask(regression(), path, dict(body)).body == text


def test_operations_of_the_models_own_are_not_checked() -> None:
    assert ask(regression(), "/v2/models/m1/myop", {"x": 1}) == {"x": 1}


def test_an_ensemble_is_ready_when_all_its_models_are() -> None:
    routes = four(MultiplyingEach)
    found = ask(regression(routes), "/v2/models/VotingEnsemble/ready", event_id="E")
    assert (found.status_code, found.body) == (
        200,
        b"Model VotingEnsemble is ready (event_id = E)",
    )
    waiting = MultiplyingEach(context=context(), name="m9", multiplier=1)
    routes["m9"] = type(routes["m1"])(waiting.do_event)
    found = ask(regression(routes), "/v2/models/VotingEnsemble/ready")
    assert (found.status_code, found.body) == (408, b"model not ready, waiting for m9")


def test_an_unknown_operation_or_model_is_refused() -> None:
    found = ask(regression(), "/v2/models/VotingEnsemble/xx", {"inputs": [5]})
    assert found.body == "ValueError: illegal model operation xx, method=POST"
    found = ask(regression(), "/v2/models/m5/infer", {"inputs": [5]})
    assert "m3:v2 | VotingEnsemble or an operation alone for ensemble operation" in found.body


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"weights": {"m1": 1, "x": 1}}, "models that it does not have: x; it has m1, m2"),
        ({"weights": {"m1": -1}}, "the weight of model m1 is -1"),
        ({"vote_type": "median"}, "vote_type is 'median', must be one of classification"),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused(arguments: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        made(VotingEnsemble, constants(1, 2), **arguments)


def test_models_without_what_is_voted_on_are_told_of() -> None:
    named = made(VotingEnsemble, four(MultiplyingEach), prediction_col_name="y")
    found = ask(named, "/", {"inputs": [5]})
    assert found.body == "ValueError: a model's outputs have no y, only predictions"
    unequal = made(VotingEnsemble, {**constants(1), "m": route(Multiplying, "m", multiplier=1)})
    assert "differ in" in ask(unequal, "/", {"inputs": [5]}).body


def test_each_model_and_the_ensemble_have_a_record() -> None:
    where, sink = tracked()
    routes = {
        key: route(Listing, key, where, multiplier=number) for key, number in (("a", 2), ("b", 3))
    }
    ensemble = made(VotingEnsemble, routes, where, vote_type="regression")
    ask(ensemble, "/v2/models/infer", {"inputs": [5]})
    told = {record["model"]: record for record in sink.records}
    outputs = {name: record["resp"]["outputs"] for name, record in told.items()}
    assert outputs == {"a": [10], "b": [15], "VotingEnsemble": [12.5]}
    own = told["VotingEnsemble"]
    assert (own["class"], own["op"], own["version"]) == ("VotingEnsemble", None, "v1")
    assert own["request"]["inputs"] == [5]
    # A request to one model changes nothing for later ones to all of them.
    ask(ensemble, "/v2/models/a/infer", {"inputs": [5]})
    ask(ensemble, "/v2/models/VotingEnsemble/infer", {"inputs": [5]})
    assert len(sink.records) == 7
