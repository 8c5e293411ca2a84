"""Which modules fork servers import."""

from __future__ import annotations

import pytest

from mms.launch.preloading import Preloading, is_unsafe


def learned(*loads: tuple[str, list[str]]) -> list[str]:
    preloading = Preloading(["numpy"], ["seldon_core"])
    for model, names in loads:
        preloading.note(model, dict.fromkeys(names, 0.1))
    return preloading.learned


def test_a_module_is_learned_when_a_second_model_imports_it() -> None:
    assert learned(("a", ["sklearn"])) == []
    assert learned(("a", ["sklearn"]), ("a", ["sklearn"])) == []
    assert learned(("a", ["sklearn", "x"]), ("b", ["sklearn"])) == ["sklearn"]


def test_it_is_told_once_that_there_is_something_new() -> None:
    preloading = Preloading([], [])
    assert [preloading.note(model, {"joblib": 1.0}) for model in "abcd"] == [
        *(False, True, False, False)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "numpy",
        "seldon_core.metrics",
        "tensorflow.keras",
        "numba.cuda",
        "a b",
        "../x",
        "x" * 300,
        "",
    ],
)
def test_what_is_named_or_unsafe_or_no_name_is_not_learned(name: str) -> None:
    assert learned(("a", [name]), ("b", [name])) == []


def test_parts_of_a_package_that_is_safe_are_learned_though_others_are_unsafe() -> None:
    assert is_unsafe("numba.cuda.random")
    assert learned(("a", ["numba.core"]), ("b", ["numba.core"])) == ["numba.core"]


def test_as_many_are_learned_as_there_may_be() -> None:
    names = [f"module_{number}" for number in range(200)]
    assert learned(("a", names), ("b", names)) == names[:64]


def test_what_turned_out_to_be_unsafe_is_never_preloaded_again() -> None:
    preloading = Preloading(["one", "two"], [])
    for model in "ab":
        preloading.note(model, {"three": 1.0})
    preloading.exclude("two")
    preloading.exclude("three")
    for model in "ab":
        preloading.note(model, {"two": 1.0, "three": 1.0, "three.part": 1.0})
    assert (preloading.modules, preloading.learned) == (["one"], [])


def test_unsafe_modules_that_the_operator_names_are_left_out() -> None:
    assert Preloading(["numpy", "tensorflow", "numpy"], []).modules == ["numpy"]
