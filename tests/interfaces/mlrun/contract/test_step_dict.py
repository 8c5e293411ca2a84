"""Objects as documents of a graph, and objects made of them."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from mms.interfaces.mlrun.model.construction import make_object
from mms.interfaces.mlrun.model.model_server import V2ModelServer
from mms.interfaces.mlrun.model.step_dict import StepToDict, argument_names
from mms.interfaces.mlrun.routers.router import ModelRouter
from mms.interfaces.mlrun.routers.voting import VotingEnsemble


class Step(StepToDict):
    def __init__(self, a: int, b: Any = None, name: str | None = None, **kwargs: Any) -> None:
        self.a = a
        self.b = b
        self.name = name
        self._kwargs = kwargs


class Narrow(V2ModelServer):
    def __init__(self, context: Any, name: str) -> None:
        super().__init__(context, name)


class Wide(V2ModelServer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_a_model_is_its_class_its_name_and_its_arguments() -> None:
    model = V2ModelServer(name="ms", model_path="./xx", multiplier=7)
    assert model.to_dict() == {
        "class_name": "mlrun.serving.v2_serving.V2ModelServer",
        "name": "ms",
        "class_args": {"model_path": "./xx", "protocol": "v2", "multiplier": 7},
    }


def test_a_class_of_ones_own_is_named_with_its_module() -> None:
    found = Step(1, name="s", c=2).to_dict()
    assert found == {
        "class_name": f"{__name__}.Step",
        "name": "s",
        "class_args": {"a": 1, "c": 2},
    }


def test_a_class_of_the_script_itself_is_named_alone() -> None:
    made = type("Own", (Step,), {"__module__": "__main__"})
    found = made(1).to_dict()
    assert (found["class_name"], found["name"]) == ("Own", "Own")


def test_paths_and_kind_have_members_of_their_own() -> None:
    router = ModelRouter(input_path="x", result_path="y", routes={"m": object()})
    found = router.to_dict()
    assert (found["kind"], found["input_path"], found["result_path"]) == ("router", "x", "y")
    assert "routes" not in found["class_args"]
    assert found["class_name"] == "mlrun.serving.ModelRouter"


def test_members_may_be_chosen_and_left_out() -> None:
    step = Step(1, 2, c=3, d=4)
    assert step.to_dict(fields=["a"])["class_args"] == {"a": 1}
    assert step.to_dict(fields=["a", "kwargs"])["class_args"] == {"a": 1, "c": 3, "d": 4}
    assert step.to_dict(exclude=["c", "b"])["class_args"] == {"a": 1, "d": 4}


def test_a_class_may_name_its_members_itself() -> None:
    class Naming(Step):
        _dict_fields = ["b"]

    assert Naming(1, 2, c=3).to_dict()["class_args"] == {"b": 2}


def test_what_a_constructor_would_not_take_is_left_out() -> None:
    class Closed(StepToDict):
        name = "c"

        def __init__(self) -> None:
            self._kwargs = {"x": 1}

    assert Closed().to_dict()["class_args"] == {}


def test_an_object_can_be_made_again_of_its_document() -> None:
    ensemble = VotingEnsemble(vote_type="regression", weights={"a": 1.0})
    again = VotingEnsemble(**ensemble.to_dict()["class_args"])
    assert (again.vote_type, again.weights) == ("regression", {"a": 1.0})


def test_a_constructor_gets_only_what_it_names() -> None:
    made = make_object(Narrow, {}, name="m", context="c", input_path="x", graph_step="step")
    assert (made.name, made.context, made._input_path) == ("m", "c", None)


def test_a_constructor_that_takes_anything_gets_the_graphs_arguments_too() -> None:
    made = make_object(Wide, {"x": 1}, name="m:v2", context="c", full_event=True, graph_step="step")
    assert (made.name, made.version, made.context) == ("m", "v2", "c")
    assert (made.get_param("x"), made.get_param("full_event")) == (1, True)
    assert made.get_param("graph_step") == "step"


def test_an_underscored_argument_is_what_its_text_stands_for() -> None:
    made = make_object(Wide, {"_fn": "(event*2)"}, find_callable=lambda text: f"found {text}")
    assert made.get_param("fn") == "found (event*2)"


def test_arguments_that_do_not_fit_are_told_with_the_step() -> None:
    with pytest.raises(TypeError, match=r"failed to init step s1\n args={'z': 1}") as caught:
        make_object(Narrow, {"z": 1}, name="s1")
    assert "unexpected keyword argument" in str(caught.value.__cause__)


def test_names_of_arguments_are_known_of_functions_classes_and_wrapped_ones() -> None:
    def function(a: int, *, b: int) -> None: ...

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    assert argument_names(function) == (["a", "b"], False)
    assert argument_names(wrapper) == (["a", "b"], False)
    assert argument_names(lambda **kw: None) == ([], True)
    assert argument_names(functools.partial(function, b=1))[0] == ["a", "b"]
