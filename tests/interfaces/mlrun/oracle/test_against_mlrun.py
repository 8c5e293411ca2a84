"""The harness beside MLRun's own mock server, on some hundred requests to the same classes, routers and flows.

MLRUN_ORACLE_PYTHON names a Python that has mlrun, 1.7 or 1.12; without it only our side runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oracle_requests import requests

ORACLE = os.environ.get("MLRUN_ORACLE_PYTHON", "")
FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[3]
SCRIPT = "answer_requests.py"

needs_oracle = pytest.mark.skipif(
    not ORACLE, reason="MLRUN_ORACLE_PYTHON names no Python with mlrun"
)


def ask(python: str, folder: Path, path: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    output = folder / "answers.json"
    finished = subprocess.run(
        [python, str(FOLDER / SCRIPT), str(output)],
        input=json.dumps(calls),
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout[-3000:]
    answers: dict[str, Any] = json.loads(output.read_text())
    assert len(answers["answers"]) == len(calls)
    return answers


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = os.pathsep.join(
        (str(ROOT), str(ROOT / "mms" / "interfaces" / "mlrun" / "packages" / "mlrun"))
    )
    answers = ask(sys.executable, tmp_path_factory.mktemp("ours"), path, requests())
    assert answers["version"].endswith("+mms")
    found: list[dict[str, Any]] = answers["answers"]
    return found


def compared(answer: dict[str, Any]) -> tuple[Any, ...]:
    """Status, headers and value. MLRun's mock gives values without their content type.

    Left out is what its versions differ in: names of versions, and what 1.12 puts in.
    """
    body = answer.get("body")
    try:
        body = json.loads(body or "")
    except ValueError:
        return answer.get("status"), answer.get("headers"), body
    if isinstance(body, dict):
        for name in ("model_version", "version", "model_endpoint_uid", "background_task_state"):
            body.pop(name, None)
        if str(body.get("model_name")).startswith("m3:"):
            body["model_name"] = "m3"
    return answer.get("status"), answer.get("headers"), body


Difference = Callable[[dict[str, Any], str, str], bool]

#: What differs on purpose, each with the reason that the documentation gives: (request, theirs, ours) -> is it this?
DIFFERENCES: dict[str, Difference] = {
    "1.12 names the version in the text of ready": lambda request, theirs, ours: (
        request["path"].endswith("/ready")
        and theirs.replace("m3:v1", "m3").replace("m3:v2", "m3") == ours
    ),
    "1.12 has no reply of a handler of errors without a responder": lambda request, theirs, ours: (
        request["function"] == "errors" and theirs.startswith('{"id"')
    ),
    "health is answered to every method": lambda request, theirs, ours: (
        request["path"].startswith("/v2/health") and "illegal path prefix" in theirs
    ),
    "what cannot be JSON is refused here as when it is deployed": lambda request, theirs, ours: (
        ours.endswith("is not JSON serializable")
    ),
    "JSON is JSON with a charset, too": lambda request, theirs, ours: (
        request.get("content_type") == "application/json; charset=utf-8"
    ),
    "a missing body is told of as such": lambda request, theirs, ours: (
        ("has no body" in ours or "has nothing at req" in ours)
        and (request.get("bytes") == "" or "is not iterable" in theirs)
    ),
    "JSON that is no object is told of by what it lacks": lambda request, theirs, ours: (
        request.get("bytes") in ("[1, 2]", "3")
    ),
    "a body's version is that of the model that it names": lambda request, theirs, ours: (
        "version" in (request.get("body") or {})
        and theirs.startswith("ValueError: model m3 doesnt")
    ),
    "a Response is an answer of its own: no result_path puts it into a body": lambda request, theirs, ours: (
        request["path"].endswith("/paths/created") and "Response" in theirs and ours == "made"
    ),
    "an ensemble whose models all fail says why": lambda request, theirs, ours: (
        ours.startswith("RuntimeError: all models of") or "have no prediction" in ours
    ),
}


@needs_oracle
def test_every_answer_is_that_of_mlrun_or_differs_for_a_reason(
    ours: list[dict[str, Any]], tmp_path: Path
) -> None:
    calls = requests()
    theirs = ask(ORACLE, tmp_path, "", calls)
    unexplained = []
    for call, answer, our_answer in zip(calls, theirs["answers"], ours, strict=True):
        if compared(answer) == compared(our_answer):
            continue
        texts = _text_of(answer), _text_of(our_answer)
        if not any(is_it(call, *texts) for is_it in DIFFERENCES.values()):
            unexplained.append(f"{call}\n  theirs {answer}\n  ours {our_answer}")
    assert not unexplained, f"mlrun {theirs['version']}\n" + "\n".join(unexplained)


def _text_of(answer: dict[str, Any]) -> str:
    return str(answer.get("body", answer.get("raised")))


def test_every_request_has_an_answer_and_every_error_a_text(ours: list[dict[str, Any]]) -> None:
    for call, answer in zip(requests(), ours, strict=True):
        assert "raised" not in answer, f"{call} {answer}"
        assert answer["status"] in (200, 201, 400, 500), f"{call} {answer}"
        if answer["status"] == 500:
            assert answer["body"].endswith("is not JSON serializable"), f"{call} {answer}"
        if answer["status"] >= 400:
            assert answer["content_type"] == "text/plain"
            kind, colon, text = answer["body"].partition(": ")
            assert (kind.isidentifier() or answer["body"].startswith("failed to json decode")) and (
                text or not colon
            ), f"{call} {answer}"
