"""The payload functions beside Seldon's own wrapper, on some six hundred calls.

SELDON_ORACLE_PYTHON names a Python that has seldon-core 1.17.1; without it only our side runs.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from oracle_components import COMPONENTS
from payload_cases import HARMLESS, grpc_cases, rest_call, rest_cases
from payload_server import grpc_answer, rest_answer

from mms.interfaces.seldon.codec.messages import SeldonMessage

ORACLE = os.environ.get("SELDON_ORACLE_PYTHON", "")
FOLDER = Path(__file__).parent

needs_oracle = pytest.mark.skipif(
    not ORACLE, reason="SELDON_ORACLE_PYTHON names no Python with seldon-core 1.17.1"
)


#: What Seldon's wrapper says of numpy's values within lists and dicts, which are written here.
CANNOT_WRITE = "is not JSON serializable"


def is_better_here(component: str) -> bool:
    """Whether Seldon's wrapper fails over gRPC with a result that is answered here, or tells what is masked."""
    return component in (
        "bytearray",  # against what the wrapper says of results
        *("structured", "record array", "nested structure"),
        *("dict of a tuple", "type F empty", "type D empty"),
    ) or any(word in component for word in ("masked", "dict of", "type <g", "type >g", "G"))


def ask_oracle(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    command = [ORACLE, "-W", "ignore", str(FOLDER / "oracle_answers.py")]
    finished = subprocess.run(
        command, input=json.dumps(calls), stdout=subprocess.PIPE, text=True, check=True
    )
    answers: list[dict[str, Any]] = json.loads(finished.stdout)
    return answers


def described(call: dict[str, Any]) -> str:
    shown = {name: value for name, value in call.items() if name != "body"}
    return f"{shown} {base64.b64decode(call['body'])!r}"


def values_of(answer: dict[str, Any]) -> Any:
    """The answer with its JSON parsed: 1e-05 and 0.00001 are the same number. NaN is as good as NaN."""
    return repr((answer["status"], json.loads(answer["body"])))


@needs_oracle
def test_every_http_answer_in_strict_mode_is_that_of_seldons_wrapper() -> None:
    calls = rest_cases()
    different = []
    for call, theirs in zip(calls, ask_oracle(calls), strict=True):
        ours = rest_answer(call, COMPONENTS[call["component"]](None), strict=True)
        if values_of(ours) != values_of(theirs) and not (
            CANNOT_WRITE in theirs["body"] or call["component"] == "list of masked arrays"
        ):
            different.append(f"{described(call)}\n  theirs {theirs}\n  ours {ours}")
    assert not different, "\n".join(different)


@needs_oracle
def test_every_grpc_answer_in_strict_mode_is_that_of_seldons_wrapper() -> None:
    calls = [call for call in grpc_cases() if not is_better_here(call["component"])]
    different = []
    for call, theirs in zip(calls, ask_oracle(calls), strict=True):
        ours = grpc_answer(call, COMPONENTS[call["component"]](None), strict=True)
        if ("body" in ours) != ("body" in theirs) or (
            "body" in ours and message_of(ours) != message_of(theirs)
        ):
            different.append(f"{described(call)}\n  theirs {theirs}\n  ours {ours}")
    assert not different, "\n".join(different)


def message_of(answer: dict[str, Any]) -> str:
    return str(SeldonMessage.FromString(base64.b64decode(answer["body"])))


def test_every_http_call_has_a_json_answer_in_either_mode() -> None:
    for strict in (False, True):
        for call in rest_cases():
            answer = rest_answer(call, COMPONENTS[call["component"]](None), strict)
            assert answer["body"].isascii(), described(call)
            assert answer["body"].endswith("}\n"), described(call)
            content = json.loads(answer["body"])
            assert (answer["status"] == 200) == ("status" not in content), described(call)


def test_what_seldons_wrapper_drops_or_fails_with_is_the_clients_error_unless_strict() -> None:
    changed = set()
    for call in rest_cases():
        component = COMPONENTS[call["component"]](None)
        default, strict = (rest_answer(call, component, mode) for mode in (False, True))
        if default["status"] != strict["status"]:
            # A null for meta says nothing, as in protobuf's JSON.
            is_null = b'"meta": null' in base64.b64decode(call["body"])
            assert default["status"] == (200 if is_null else 400), described(call)
            assert is_null or "MICROSERVICE_BAD_DATA" in default["body"]
            changed.add(strict["status"])
    assert changed == {200, 500}


@pytest.mark.parametrize("message", HARMLESS, ids=json.dumps)
def test_what_seldons_wrapper_takes_without_harm_is_taken_as_it_takes_it(message: Any) -> None:
    call = rest_call("identity", "/predict", message)
    answers = [rest_answer(call, COMPONENTS["identity"](None), strict) for strict in (False, True)]
    assert answers[0] == answers[1]
    assert answers[0]["status"] == 200
