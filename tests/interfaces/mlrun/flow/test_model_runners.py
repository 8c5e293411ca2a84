"""ModelRunnerStep: several models on one event, what chooses them, and what becomes of their errors.

The expected values are what MLRun 1.12's mock server answers, where it answers at all.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from flow_harness import Served

from mms.interfaces.mlrun.errors import GraphError, MLRunInvalidArgumentError, ModelRunnerError
from mms.interfaces.mlrun.graph.graph_document import graph_from_dict, new_graph
from mms.interfaces.mlrun.graph.model_runner import (
    Model,
    ModelRunnerSelector,
    ModelRunnerStep,
    ModelSelector,
    ParallelExecutionMechanisms,
)
from mms.interfaces.mlrun.model.context import GraphContext

WAIT_S = 30.0


class Add(Model):
    def __init__(self, name: str, amount: int = 1, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.amount = amount
        self.is_loaded = False

    def load(self) -> None:
        self.is_loaded = True

    def predict(self, body: Any, **kwargs: Any) -> Any:
        if body.get("fail") in (self.name, "all"):
            raise ValueError("bad n")
        body["n"] += self.amount
        return {**body, "is_loaded": self.is_loaded}

    async def predict_async(self, body: Any, **kwargs: Any) -> Any:
        return {"later": body["n"] + self.amount}


class Strict(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)

    def predict(self, body: Any, **kwargs: Any) -> Any:
        return self.name


class Mute(Model):
    """Has nothing to predict with."""


class Parts(Model):
    def predict(self, body: Any, **kwargs: Any) -> Any:
        yield body


class Meeting(Model):
    """Answers when another model runs at the same time."""

    barrier = threading.Barrier(2)

    def predict(self, body: Any, **kwargs: Any) -> Any:
        self.barrier.wait(WAIT_S)
        return "met"


class FileSize(Model):
    def load(self) -> None:
        file, extra = self.get_local_model_path(".bin")
        self.size = 0 if file is None else Path(file).stat().st_size
        self.others = sorted(extra or {})

    def predict(self, body: Any, **kwargs: Any) -> Any:
        return [self.size, self.others]


class ByBody(ModelRunnerSelector):
    def __init__(self, usual: str = "a", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.usual = usual

    def select_models(self, event: Any, available_models: list[Model]) -> Any:
        wanted = event.body.get("models", self.usual)
        if wanted == "objects":
            return [model for model in available_models if model.name == self.usual]
        return wanted if wanted is None or isinstance(wanted, list) else [wanted]

    def select_outlets(self, event: Any) -> Any:
        return event.get("to")


class OnlyB(ModelSelector):
    def select(self, event: Any, available_models: list[Model]) -> Any:
        return ["b"]


class Tail:
    def do(self, body: Any) -> Any:
        return {"tail": body}


def runner(*models: str, mechanism: Any = "naive", **options: Any) -> ModelRunnerStep:
    step = ModelRunnerStep(name="run", **options)
    for amount, name in enumerate(models or ("a", "b"), start=1):
        step.add_model(name, "Add", mechanism, amount=amount)
    return step


def ask(step: ModelRunnerStep, body: Any) -> Any:
    graph = new_graph("flow", engine="async")
    graph.to(step).respond()
    with Served(graph, globals()) as served:
        return served.run(body)


MECHANISMS = ("naive", "thread_pool", ParallelExecutionMechanisms.process_pool)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_body_becomes_the_result_of_each_model_by_name(mechanism: Any) -> None:
    assert ask(runner(mechanism=mechanism), {"n": 1}) == {
        "a": {"n": 2, "is_loaded": True},
        "b": {"n": 3, "is_loaded": True},
    }


def test_the_body_becomes_the_result_of_the_only_model() -> None:
    assert ask(runner("a"), {"n": 1}) == {"n": 2, "is_loaded": True}


def test_models_of_the_mechanism_asyncio_run_their_coroutine() -> None:
    assert ask(runner(mechanism="asyncio"), {"n": 1}) == {"a": {"later": 2}, "b": {"later": 3}}


def test_models_on_threads_run_at_the_same_time() -> None:
    step = ModelRunnerStep(name="run")
    step.add_model("a", "Meeting", "thread_pool")
    step.add_model("b", "Meeting", "thread_pool")
    assert ask(step, {}) == {"a": "met", "b": "met"}


def test_processes_that_are_threads_here_are_warned_of() -> None:
    lines: list[str] = []

    class Log:
        def warning(self, text: str, *arguments: Any) -> None:
            lines.append(text % arguments)

    context = GraphContext(is_mock=True)
    context.logger = Log()  # type: ignore[assignment]  # as far as it is used
    runner(mechanism="dedicated_process").init_object(context, [globals()])
    assert lines == ["step run: a, b run in threads of the worker, not in processes of their own"]


# Models


def test_a_model_is_an_object_of_which_each_graph_makes_its_own() -> None:
    step = ModelRunnerStep(name="run")
    step.add_model("a", Add("a", amount=5), "naive")
    assert ask(step, {"n": 1})["n"] == 6


def test_an_argument_that_is_null_is_not_given_to_a_model_that_has_none_of_it() -> None:
    step = runner("a")
    step.class_args["models"] = {"a": ["Strict", {"artifact_uri": None, "name": "a"}]}
    assert ask(step, {}) == "a"


def test_a_model_gets_the_files_at_its_artifact(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"123")
    step = ModelRunnerStep(name="run")
    step.add_model("a", "FileSize", "naive", model_artifact=str(tmp_path))
    step.add_model("b", "FileSize", "naive")
    assert ask(step, {}) == {"a": [3, ["model.bin"]], "b": [0, []]}


def test_a_model_of_the_same_name_replaces_another_where_that_is_said() -> None:
    step = runner("a")
    with pytest.raises(MLRunInvalidArgumentError, match="Model with name a already exists"):
        step.add_model("a", "Add", "naive", amount=9)
    step.add_model("a", "Add", "naive", override=True, amount=9)
    assert ask(step, {"n": 1})["n"] == 10


def test_models_that_cannot_be_are_refused_by_name() -> None:
    step = ModelRunnerStep(name="run")
    with pytest.raises(MLRunInvalidArgumentError, match="also provide `model_parameters`"):
        step.add_model("a", Add("a"), "naive", amount=3)
    with pytest.raises(MLRunInvalidArgumentError, match="model b has another name of its own: a"):
        step.add_model("b", Add("a"), "naive")
    with pytest.raises(ValueError, match="mechanism 'odd' of model a is invalid"):
        step.add_model("a", "Add", "odd")
    with pytest.raises(GraphError, match="model a: models that steps share"):
        step.add_model("a", "Add", "shared_executor")
    with pytest.raises(GraphError, match="step run has no models"):
        ask(step, {})
    step.add_model("a", "Missing", "naive")
    with pytest.raises(GraphError, match="step run, model a: class Missing was not found"):
        ask(step, {})
    step.add_model("a", "Tail", "naive", override=True)
    with pytest.raises(GraphError, match=r"must derive from mlrun\.serving\.Model"):
        ask(step, {})


@pytest.mark.parametrize(
    ("mechanism", "method"), [("naive", "predict"), ("asyncio", "predict_async")]
)
def test_a_model_without_the_method_that_is_asked_does_not_load(
    mechanism: str, method: str
) -> None:
    step = ModelRunnerStep(name="run")
    step.add_model("a", "Mute", mechanism)
    with pytest.raises(ModelRunnerError, match=rf"but {method}\(\) is not implemented"):
        ask(step, {})


@pytest.mark.parametrize("is_route", [False, True])
def test_one_name_of_models_in_two_places_of_a_flow_is_refused(is_route: bool) -> None:
    graph = new_graph("flow")
    first = graph.to(runner("a", "b"))
    if is_route:
        first.to("*", "router").add_route("a", class_name="Mul")
    else:
        again = ModelRunnerStep(name="again")
        again.add_model("a", "Add", "naive")
        first.to(again)
    with pytest.raises(GraphError, match=r"already contains the model endpoints named - \['a'\]"):
        Served(graph, globals())


def test_an_engine_without_branches_is_refused() -> None:
    graph = new_graph("flow", engine="sync")
    graph.to(runner())
    with pytest.raises(GraphError, match="step run .* use engine async"):
        Served(graph, globals())


# Errors


def test_models_that_fail_fail_the_event_with_their_names() -> None:
    with pytest.raises(ModelRunnerError) as caught:
        ask(runner(), {"n": 1, "fail": "a"})
    assert caught.value.get_errors() == {"a": "ValueError: bad n", "b": None}
    assert str(caught.value) == "ModelRunnerError: a ValueError: bad n;\nb None"


def test_errors_are_results_where_they_do_not_fail_the_event() -> None:
    results = ask(runner(raise_exception=False), {"n": 1, "fail": "a"})
    assert results["a"] == {"error": "ValueError: bad n"}
    assert results["b"]["n"] == 3


def test_an_error_handler_gets_the_results_of_all_models() -> None:
    graph = new_graph("flow", engine="async")
    step = graph.to(runner())
    step.error_handler("caught", handler="(sorted(event))")
    step.respond()
    assert Served(graph, globals()).run({"n": 1, "fail": "a"}) == ["a", "b"]


def test_results_in_parts_are_refused_by_name() -> None:
    step = ModelRunnerStep(name="run")
    step.add_model("a", "Parts", "naive")
    with pytest.raises(ModelRunnerError, match="a TypeError: it returned a generator"):
        ask(step, {})


# Selectors


@pytest.mark.parametrize(
    ("wanted", "names"), [("b", ["b"]), (["b", "a"], ["b", "a"]), (None, ["a", "b"])]
)
def test_a_selector_chooses_the_models(wanted: Any, names: list[str]) -> None:
    step = runner(model_runner_selector=ByBody())
    assert list(ask(step, {"n": 1, "models": wanted})) == names


def test_a_selector_is_an_object_or_a_name_with_arguments() -> None:
    body = {"n": 1, "models": "objects"}
    by_name = runner(
        model_runner_selector="ByBody", model_runner_selector_parameters={"usual": "b"}
    )
    assert list(ask(by_name, dict(body))) == ["b"]
    assert list(ask(runner(model_runner_selector=ByBody("b")), dict(body))) == ["b"]
    assert list(ask(runner(model_selector=OnlyB()), {"n": 1})) == ["b"]


def test_a_selector_of_what_is_not_there_fails_the_event() -> None:
    step = runner(model_runner_selector=ByBody())
    with pytest.raises(ValueError, match="chose z, which is not one of its models: a, b"):
        ask(step, {"n": 1, "models": "z"})
    with pytest.raises(ValueError, match="chose a model twice: a, a"):
        ask(step, {"n": 1, "models": ["a", "a"]})
    with pytest.raises(ValueError, match="returned nowhere, which is not one of the steps"):
        ask(runner("a", model_runner_selector=ByBody()), {"n": 1, "to": "nowhere"})


@pytest.mark.parametrize("to", [["reply"], "reply", [], None])
def test_a_selector_chooses_the_steps_behind(to: Any) -> None:
    graph = new_graph("flow", engine="async")
    step = graph.to(runner("a", model_runner_selector=ByBody()))
    step.to("Tail", "reply").respond()
    step.to("Tail", "other")
    with Served(graph, globals()) as served:
        assert served.run({"n": 1, "to": to}) == {"tail": {"n": 2, "is_loaded": True, "to": to}}


def test_two_ways_to_select_are_refused() -> None:
    with pytest.raises(GraphError, match="cannot both be given"):
        ModelRunnerStep(name="run", model_selector="OnlyB", model_runner_selector="ByBody")
    with pytest.raises(MLRunInvalidArgumentError, match="is an object already"):
        ModelRunnerStep(
            name="run", model_runner_selector=ByBody(), model_runner_selector_parameters={"x": 1}
        )


# Documents


def test_a_document_makes_the_same_step_again() -> None:
    graph = new_graph("flow", engine="async")
    step = runner(model_runner_selector=ByBody("b"), raise_exception=False)
    step.configure_pool_resource(max_threads=3)
    graph.to(step).respond()
    document = graph.to_dict()
    assert document["steps"]["run"]["kind"] == "model_runner"
    again = graph_from_dict(document)
    assert again.to_dict() == document
    assert Served(again, globals()).run({"n": 1, "fail": "b"}) == {
        "b": {"error": "ValueError: bad n"}
    }
