"""seldon-batch-processor writes one line for each line it reads, with this server as the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .drivers import needs_seldon, run_program
from .serving import Place

pytestmark = needs_seldon

COUNT = 25


def processed(
    place: Place, transport: str, folder: Path, lines: list[Any], *words: object
) -> list[dict[str, Any]]:
    """The lines that it writes."""
    read, written = folder / "in.jsonl", folder / "out.jsonl"
    read.write_text("".join(json.dumps(line) + "\n" for line in lines))
    finished = run_program(
        "seldon-batch-processor",
        *("--deployment-name", place.name, "--namespace", "default", "--batch-id", "batch"),
        *("--host", place.endpoint(transport), "--transport", transport, "--retries", 1),
        *("--input-data-path", read, "--output-data-path", written, *words),
        directory=folder,
    )
    assert finished.returncode == 0, finished.stderr
    answers: list[dict[str, Any]] = [json.loads(line) for line in written.read_text().splitlines()]
    assert len(answers) == len(lines)
    return answers


def in_order(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers in the order of what was read, found by their tags."""
    assert not any("status" in answer for answer in answers), answers[0]
    answers.sort(key=lambda answer: answer["meta"]["tags"]["batch_index"])
    tags = [answer["meta"]["tags"] for answer in answers]
    assert [tag["batch_index"] for tag in tags] == list(range(len(answers)))
    assert {tag["batch_id"] for tag in tags} == {"batch"}
    assert len({tag["batch_instance_id"] for tag in tags}) == len(answers)
    return answers


def values_of(answer: dict[str, Any]) -> Any:
    data = answer["data"]
    return data["tensor"]["values"] if "tensor" in data else data["ndarray"][0]


@pytest.mark.parametrize(
    ("gateway", "form", "batch_size", "workers"),
    [
        ("istio", "ndarray", 1, 1),
        ("istio", "tensor", 1, 6),
        ("istio", "ndarray", 10, 1),
        ("ambassador", "tensor", 10, 3),
    ],
)
def test_every_row_is_answered_with_its_number(
    program_place: Place,
    transport: str,
    tmp_path: Path,
    gateway: str,
    form: str,
    batch_size: int,
    workers: int,
) -> None:
    words = ["-s", batch_size, "-w", workers, "-p", form, "-g", gateway]
    lines = [[[float(n), n + 0.5]] for n in range(COUNT)]
    answers = in_order(processed(program_place, transport, tmp_path, lines, *words))
    assert [values_of(answer) for answer in answers] == [
        [2.0 * n, 2.0 * n + 1] for n in range(COUNT)
    ]


def test_json_is_answered_without_tags_since_none_are_sent_with_it(
    program_place: Place, transport: str, tmp_path: Path
) -> None:
    lines = [{"n": float(n)} for n in range(COUNT)]
    answers = processed(program_place, transport, tmp_path, lines, "-a", "json")
    assert [answer["jsonData"] for answer in answers] == lines


def test_the_gateway_seldon_is_the_component_itself(program_place: Place, tmp_path: Path) -> None:
    lines = [[[float(n)]] for n in range(COUNT)]
    answers = processed(program_place, "rest", tmp_path, lines, "-g", "seldon", "-s", 10, "-w", 3)
    assert [values_of(answer) for answer in in_order(answers)] == [[2.0 * n] for n in range(COUNT)]


def test_a_line_that_the_component_refuses_is_told_as_a_failure(
    program_place: Place, transport: str, tmp_path: Path
) -> None:
    lines = ["good", "refuse", "good"]
    answers = processed(program_place, transport, tmp_path, lines, "-a", "str")
    assert [answer.get("strData") for answer in answers] == ["good", None, "good"]
    assert answers[1]["status"]["info"] == "FAILURE"


def test_texts_are_answered_each_by_itself(
    program_place: Place, transport: str, tmp_path: Path
) -> None:
    answers = in_order(
        processed(program_place, transport, tmp_path, ["é", "b"], "-a", "str", "-w", 2)
    )
    assert [answer["strData"] for answer in answers] == ["é", "b"]


@pytest.mark.parametrize("batch_size", [1, 10])
def test_raw_messages_keep_their_tags(
    program_place: Place, transport: str, tmp_path: Path, batch_size: int
) -> None:
    lines = [
        {"data": {"names": ["a"], "ndarray": [[n]]}, "meta": {"tags": {"row": f"r{n}"}}}
        for n in range(COUNT)
    ]
    answers = in_order(
        processed(program_place, transport, tmp_path, lines, "-a", "raw", "-s", batch_size)
    )
    assert [values_of(answer) for answer in answers] == [[2 * n] for n in range(COUNT)]
    assert [answer["meta"]["tags"]["row"] for answer in answers] == [f"r{n}" for n in range(COUNT)]
    assert answers[0]["meta"]["tags"]["columns"] == ["a"]


def test_raw_feedback_is_answered(program_place: Place, transport: str, tmp_path: Path) -> None:
    lines = [{"request": {"data": {"ndarray": [[n]]}}, "reward": 1.0} for n in range(3)]
    answers = in_order(
        processed(program_place, transport, tmp_path, lines, "-a", "raw", "-m", "feedback")
    )
    assert [values_of(answer) for answer in answers] == [[1.0, n] for n in range(3)]
