"""Which classes are models of tensors: by their source, and once they are imported."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from archiver.detection import detect
from mms.interfaces.oip.class_rule import RULE
from mms.interfaces.oip.worker.tensor_class import contract_of

CASES = [
    ("class Model:\n    def predict(self, inputs, parameters): ...", "Model", "oip"),
    ("class Model:\n    async def predict(self, inputs, parameters=None): ...", "Model", "oip"),
    ("class Base:\n    def predict(self, inputs, parameters): ...\nclass M(Base): ...", "M", "oip"),
    ("class TritonPythonModel:\n    def execute(self, requests): ...", "TritonPythonModel", "oip"),
    ("class MLModel: ...\nclass Mine(MLModel):\n    def predict(self, p): ...", "Mine", "oip"),
    ("class Model:\n    def predict(self, X, names): ...", "Model", "seldon"),
    ("class TritonPythonModel: ...", "TritonPythonModel", "mms"),
    ("class Model:\n    def execute(self, requests): ...", "Model", "mms"),
    (
        "class M:\n    def predict(self, inputs, parameters): ...\n    def handle(self, d, c): ...",
        *("M", "mms"),
    ),
    ("def handle(data, context): ...", "handle", "mms"),
]


@pytest.mark.parametrize(("source", "name", "interface"), CASES)
def test_a_class_is_recognised_by_its_source_and_by_itself(
    source: str, name: str, interface: str
) -> None:
    assert RULE.is_model(ast.parse(source), name) is (interface == "oip")
    found = detect(f"service:{name}", {"service.py": source.encode()}.get)
    assert (found.interface.name, found.is_certain) == (interface, True)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    assert (contract_of(namespace[name]) is not None) is (interface == "oip")


def test_a_module_stands_for_its_only_model() -> None:
    source = "class TritonPythonModel:\n    def execute(self, requests): ...\n"
    assert detect("1/model.py", {"1/model.py": source.encode()}.get).interface.name == "oip"
    both = source + "class M:\n    def predict(self, inputs, parameters): ...\n"
    assert detect("1/model.py", {"1/model.py": both.encode()}.get).interface.name == "mms"


@pytest.mark.parametrize("package", ["mlserver", "triton_python_backend_utils"])
def test_code_that_imports_a_package_of_these_servers_is_left_to_the_import(package: str) -> None:
    source = f"import {package}\nfrom elsewhere import Model\n"
    found = detect("service:Model", {"service.py": source.encode()}.get)
    assert not found.is_certain
