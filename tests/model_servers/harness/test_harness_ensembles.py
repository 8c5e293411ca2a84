"""Ensembles and parallel runs through the mock server."""

from __future__ import annotations

from typing import Any

import harness_classes
import pytest
from harness_classes import MULTIPLIERS, routed

from mms.serving import GraphServer, ServingFunction, new_function

EXECUTORS = ("array", "process", "thread")
VOTING = "mlrun.serving.routers.VotingEnsemble"
WEIGHTS = {"m1": 0.1, "m2": 0.2, "m3:v1": 0.3, "m3:v2": 0.4}


def mock(function: ServingFunction) -> GraphServer:
    return function.to_mock_server(namespace=harness_classes)


def regression(**topology: Any) -> GraphServer:
    return mock(routed("MulEach", {"class_name": VOTING, "vote_type": "regression", **topology}))


def by_column(**topology: Any) -> GraphServer:
    return regression(
        format_response_with_col_name_flag=True, prediction_col_name="predictions", **topology
    )


def test_an_ensemble_lists_itself_after_its_models() -> None:
    listed = regression().test("/v2/models/")
    assert listed == {"models": [*MULTIPLIERS, "VotingEnsemble"], "weights": None}


@pytest.mark.parametrize("weights", [dict.fromkeys(MULTIPLIERS, 1), WEIGHTS])
def test_weights_are_listed_as_they_were_given(weights: dict[str, float]) -> None:
    assert regression(weights=weights).test("/v2/models/")["weights"] == weights


@pytest.mark.parametrize(
    ("path", "name", "version"),
    [("m1", "m1", ""), ("m3/versions/v2", "m3", "v2"), ("VotingEnsemble", "VotingEnsemble", "v1")],
)
def test_models_and_ensemble_tell_their_name_and_version(
    path: str, name: str, version: str
) -> None:
    told = regression().test(f"/v2/models/{path}", method="GET")
    assert told == {"name": name, "version": version, "inputs": [], "outputs": []}


@pytest.mark.parametrize("inputs", [[5], [5, 5]])
def test_each_model_answers_for_itself_and_the_ensemble_with_the_mean(inputs: list[int]) -> None:
    server = by_column()
    for path, each in (("m1", 500), ("m2", 1000), ("m3/versions/v1", 1500), ("m3:v2", 2000)):
        answer = server.test(f"/v2/models/{path}/infer", {"inputs": inputs})
        assert answer["outputs"] == {"predictions": [each] * len(inputs)}
    for path in ("VotingEnsemble/infer", "infer"):
        answer = server.test(f"/v2/models/{path}", {"inputs": inputs})
        assert answer["outputs"] == {"predictions": [1250.0] * len(inputs)}
        assert answer["model_name"] == "VotingEnsemble"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_tie_of_classes_goes_to_the_lowest(executor: str) -> None:
    function = routed(
        "Const",
        {
            "class_name": VOTING,
            "vote_type": "classification",
            "executor_type": executor,
            "format_response_with_col_name_flag": True,
            "prediction_col_name": "predictions",
        },
        predict=[1, 2, 3, 4],
    )
    server = mock(function)
    own = server.test("/v2/models/m3/versions/v1/infer", {"inputs": [5]})
    assert own["outputs"] == {"predictions": [3]}
    assert server.test("/v2/models/infer", {"inputs": [5]})["outputs"] == {"predictions": [1]}


def test_weights_decide_a_regression() -> None:
    answer = by_column(weights=WEIGHTS).test("/v2/models/infer", {"inputs": [5]})
    assert answer["outputs"]["predictions"] == [pytest.approx(1500.0)]


def test_weights_decide_a_classification() -> None:
    topology = {
        "class_name": VOTING,
        "vote_type": "classification",
        "weights": WEIGHTS,
        "format_response_with_col_name_flag": True,
        "prediction_col_name": "predictions",
    }
    server = mock(routed("Const", topology, predict=[1, 2, 3, 4]))
    answer = server.test("/v2/models/infer", {"inputs": [5]})
    assert answer["outputs"] == {"predictions": [4]}


def test_an_ensemble_is_a_step_of_a_flow() -> None:
    function = new_function("tests", kind="serving")
    graph = function.set_topology("flow", engine="sync")
    router = graph.add_step(
        f"*{VOTING}", name="ensemble", input_path="x", result_path="y", vote_type="regression"
    )
    router.add_route("m1", class_name="MulList", model_path=".", multiplier=10)
    router.add_route("m2", class_name="MulList", model_path=".", multiplier=20)
    router.respond()
    answer = mock(function).test("/v2/models/infer", {"x": {"inputs": [[5]]}})
    assert answer["y"]["outputs"] == [75]


class AOne:
    def do(self, body: Any) -> Any:
        return {"a": 1, "b": 2}


class CSeven:
    def do(self, body: Any) -> Any:
        return {"c": 7}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(("x", "mul"), [(8, 16), (9, 18)])
def test_a_parallel_run_merges_the_answers_into_the_request(
    executor: str, x: int, mul: int
) -> None:
    function = new_function("tests", kind="serving")
    graph = function.set_topology("flow", engine="sync")
    router = graph.add_step(
        "*mlrun.serving.ParallelRun", name="all", extend_event=True, executor_type=executor
    )
    router.add_route("r1", class_name="AOne")
    router.add_route("r2", class_name="CSeven")
    router.add_route("r3", handler="twice")
    router.respond()
    server = function.to_mock_server(
        namespace={"AOne": AOne, "CSeven": CSeven, "twice": lambda body: {"mul": body["x"] * 2}}
    )
    assert server.test("", {"x": x}) == {"x": x, "a": 1, "b": 2, "c": 7, "mul": mul}


def test_a_model_that_fails_is_named_and_the_others_vote() -> None:
    function = routed("MulList", {"class_name": VOTING, "vote_type": "regression"})
    function.add_model("bad", "", class_name="Raiser")
    answer = mock(function).test("/v2/models/infer", {"inputs": [[4]]})
    assert answer["outputs"] == [1000.0]
    assert list(answer["failed"]) == ["bad"]
    assert "no prediction today" in answer["failed"]["bad"]
