"""Servers of saved models whose libraries are large: what they ask of them."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from mms.interfaces.mlrun.model.event import MockEvent
from mms.interfaces.mlrun.model.framework_servers import HuggingFaceModelServer


class Transformers(types.ModuleType):
    """Stands for the package; notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__("transformers")
        self.options: dict[str, Any] = {}

    class AutoModel:
        @staticmethod
        def from_pretrained(name: str) -> str:
            return f"model {name}"

    class AutoTokenizer:
        @staticmethod
        def from_pretrained(name: str) -> str:
            return f"tokenizer {name}"

    def pipeline(self, **options: Any) -> Any:
        self.options = options

        def run(inputs: Any = None, **arguments: Any) -> Any:
            if arguments:
                return {"answer": arguments["question"], "score": np.float32(0.5)}
            return [[{"label": text, "score": np.array([1, 2])}] for text in inputs]

        return run


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> Transformers:
    module = Transformers()
    monkeypatch.setitem(sys.modules, "transformers", module)
    return module


def outputs_of(model: HuggingFaceModelServer, inputs: list[Any]) -> Any:
    model.post_init()
    return model.do_event(MockEvent({"inputs": inputs}, path="infer")).body["outputs"]


def test_a_pipeline_is_asked_with_a_list_and_its_first_results_count(
    transformers: Transformers,
) -> None:
    model = HuggingFaceModelServer(name="m", task="classify", model_name="org/small")
    (result,) = outputs_of(model, ["good"])
    assert (result["label"], list(result["score"])) == ("good", [1, 2])
    assert transformers.options == {"task": "classify", "model": "org/small", "tokenizer": None}


def test_a_pipeline_of_named_classes_is_asked_with_the_arguments_of_a_dict(
    transformers: Transformers,
) -> None:
    model = HuggingFaceModelServer(
        name="m",
        task="question-answering",
        model_name="a",
        model_class="AutoModel",
        tokenizer_name="b",
        tokenizer_class="AutoTokenizer",
        framework="pt",
    )
    assert outputs_of(model, [{"question": "why"}]) == [{"answer": "why", "score": 0.5}]
    assert transformers.options == {
        "task": "question-answering",
        "model": "model a",
        "tokenizer": "tokenizer b",
        "framework": "pt",
    }


def test_its_document_has_its_arguments_and_the_name_that_mlrun_has_for_it() -> None:
    document = HuggingFaceModelServer(name="m", task="classify", model_name="a").to_dict()
    assert document["class_name"] == "mlrun.frameworks.huggingface.HuggingFaceModelServer"
    assert document["class_args"] == {"task": "classify", "model_name": "a"}
