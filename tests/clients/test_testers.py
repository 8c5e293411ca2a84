"""Seldon's testers send what a contract describes; what they print shows what they got."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from mms.interfaces.seldon.codec.messages import SeldonMessage

from .drivers import needs_seldon, run_program
from .serving import Place

pytestmark = needs_seldon

CONTRACT = {
    "features": [
        {"name": "a", "dtype": "FLOAT", "ftype": "continuous", "range": [4, 8]},
        {"name": "b", "dtype": "INT", "ftype": "continuous", "range": [20, 30], "repeat": 2},
    ],
    "targets": [{"name": "class", "dtype": "FLOAT", "ftype": "continuous", "repeat": 3}],
}
CATEGORIES = {
    "features": [
        {"name": "colour", "ftype": "categorical", "values": ["red", "green"]},
        {"name": "size", "dtype": "FLOAT", "ftype": "continuous", "range": ["inf", 1]},
    ],
    "targets": [],
}
FORMS = pytest.mark.parametrize("form", [[], ["-t"]], ids=["ndarray", "tensor"])


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    file = tmp_path / "contract.json"
    file.write_text(json.dumps(CONTRACT))
    return file


def printed(name: str, place: Place, transport: str, contract: Path, *words: str) -> str:
    """What a tester prints of two requests with three rows each."""
    host, port = place.endpoint(transport).split(":")
    # The deployment's name, if any, is the first of `words`: it must follow the port.
    more = [*words, "-p", "-n", "2", "-b", "3", *(["--grpc"] if transport == "grpc" else [])]
    finished = run_program(name, contract, host, port, *more, directory=contract.parent)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def check_doubled(data: Any) -> None:
    """Three rows of the contract's features, doubled."""
    values = list(data.tensor.values) or [number for row in data.ndarray for number in row]
    assert list(data.names) == ["t:0", "t:1", "t:2"]
    assert len(values) == 9
    assert all(8 <= value <= 16 for value in values[::3])
    assert all(40 <= value <= 62 for index, value in enumerate(values) if index % 3)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("seldon-core-microservice-tester", []),
        ("seldon-core-microservice-tester", ["-t"]),
        ("seldon-core-tester", []),
    ],
)
def test_the_microservice_tester_s_predictions_are_answered(
    program_place: Place, transport: str, contract: Path, name: str, form: list[str]
) -> None:
    output = printed(name, program_place, transport, contract, *form)
    received = re.findall(r"RECEIVED RESPONSE:\n(.*?)\n\n", output + "\n", re.DOTALL)
    assert len(received) == 2
    for text in received:
        message = text_format.Parse(text, SeldonMessage())
        assert message.data.WhichOneof("data_oneof") == ("tensor" if form else "ndarray")
        check_doubled(message.data)
        assert list(message.meta.tags["columns"].list_value) == ["a", "b1", "b2"]


def test_the_microservice_tester_s_transform_is_answered(
    program_place: Place, transport: str, contract: Path
) -> None:
    words = ["--endpoint", "transform-input"]
    output = printed("seldon-core-microservice-tester", program_place, transport, contract, *words)
    received = re.findall(r"RECEIVED RESPONSE:\n(.*?)\n\n", output + "\n", re.DOTALL)
    assert len(received) == 2
    data = text_format.Parse(received[0], SeldonMessage()).data
    values = [number for row in data.ndarray for number in row]
    assert all(5 <= value <= 9 for value in values[::3])


@FORMS
def test_the_microservice_tester_s_feedback_is_answered(
    program_place: Place, transport: str, contract: Path, form: list[str]
) -> None:
    words = ["--endpoint", "send-feedback", *form]
    output = printed("seldon-core-microservice-tester", program_place, transport, contract, *words)
    check_feedback(output)


@pytest.mark.parametrize(
    ("form", "namespace"), [([], []), (["-t"], ["--namespace", "space"])], ids=["rows", "tensor"]
)
def test_the_api_tester_s_predictions_are_answered(
    program_place: Place, transport: str, contract: Path, form: list[str], namespace: list[str]
) -> None:
    words = [program_place.name, *form, *namespace]
    output = printed("seldon-core-api-tester", program_place, transport, contract, *words)
    received = re.findall(r"RECEIVED RESPONSE:\n(\{.*\})\n", output)
    assert len(received) == 2
    for text in received:
        # It prints Python's dict.
        response = json.loads(text.replace("'", '"'))
        assert set(response["data"]) == {"names", "tensor" if form else "ndarray"}
        assert response["meta"]["tags"] == {"columns": ["a", "b1", "b2"]}
        shape = [3, 3]
        if form:
            assert response["data"]["tensor"]["shape"] == shape
        else:
            assert [len(row) for row in response["data"]["ndarray"]] == [3, 3, 3]


# The api tester's feedback is not here: 1.17.1 gives its client a dict where that takes a message, and ends with a
# TypeError before it sends anything.


def check_feedback(output: str) -> None:
    assert output.count("Success:True") == 2, output
    assert "Success:False" not in output
    assert "Response:\nNone" not in output


def test_mixed_columns_go_and_come_as_rows(
    program_place: Place, transport: str, tmp_path: Path
) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text(json.dumps(CATEGORIES))
    output = printed("seldon-core-microservice-tester", program_place, transport, contract)
    text = re.findall(r"RECEIVED RESPONSE:\n(.*?)\n\n", output + "\n", re.DOTALL)[0]
    rows = [list(row) for row in text_format.Parse(text, SeldonMessage()).data.ndarray]
    assert len(rows) == 3
    assert all(colour in ("red", "green") and float(size) <= 1 for colour, size in rows)
