"""Every hook in every form, beside Seldon's own wrapper: status, body, content type and metrics, in strict mode.

SELDON_ORACLE_PYTHON names a Python that has seldon-core 1.17.1; without it only our side runs.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from mms.interfaces.seldon.codec.messages import CLASSES

ORACLE = os.environ.get("SELDON_ORACLE_PYTHON", "")
FOLDER = Path(__file__).parent
_NAMES = re.findall(r"^class (\w+)", (FOLDER / "seldon_models.py").read_text(), re.MULTILINE)
NAMES = [name for name in _NAMES if name != "UserError"]

META = {
    "puid": "p",
    "tags": {"shared": "request", "theirs": 1},
    "metrics": [{"key": "m", "type": "GAUGE", "value": 1.0}],
    "requestPath": {"before": "i:1"},
    "routing": {"r": 1},
}
MESSAGES: list[Any] = [
    {"data": {"names": ["a", "b"], "ndarray": [[1, 2.5]]}},
    {"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}, "meta": META},
    {"strData": "text", "meta": {}},
]
FEEDBACKS: list[Any] = [
    {},
    {
        "request": {"data": {"ndarray": [[1, 2]]}, "meta": {"puid": "p"}},
        "response": {"meta": {"routing": {"0": 2}}},
        "truth": {"data": {"ndarray": [[3]]}},
        "reward": 0.7,
    },
]
BODIES: dict[str, list[Any]] = {
    "predict": MESSAGES,
    "transform-input": MESSAGES,
    "transform-output": MESSAGES[1:],
    "route": MESSAGES,
    "aggregate": [MESSAGES, {"seldonMessages": MESSAGES[1:]}, {"wrong": 1}],
    "send-feedback": FEEDBACKS,
    "health/status": [None],
    "metadata": [None],
}
METHODS = {
    "Predict": MESSAGES,
    "TransformInput": MESSAGES,
    "TransformOutput": MESSAGES[1:],
    "Route": MESSAGES,
    "Aggregate": [{"seldonMessages": MESSAGES}],
    "SendFeedback": FEEDBACKS,
    "Metadata": [{}],
}
#: Python's errors for what is no method or no message; ours name the hook.
OTHER_WORDS = ("RawOfTheOtherKind", "TagsAreADict")
REQUESTS = {"Aggregate": "SeldonMessageList", "SendFeedback": "Feedback"}


def serialized(method: str, content: Any) -> str:
    message = CLASSES[REQUESTS.get(method, "SeldonMessage")]()
    json_format.ParseDict(content, message)
    return base64.b64encode(message.SerializeToString()).decode()


def calls() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in NAMES:
        for path, contents in BODIES.items():
            found += ({"component": name, "path": path, "content": c} for c in contents)
        for method, contents in METHODS.items():
            found += (
                {"component": name, "method": method, "body": serialized(method, content)}
                for content in contents
            )
    return found


@cache
def answers(side: str) -> list[dict[str, Any]]:
    python = sys.executable if side == "worker" else ORACLE
    finished = subprocess.run(
        [python, "-W", "ignore", str(FOLDER / "seldon_sides.py"), side],
        input=json.dumps(calls()),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    found: list[dict[str, Any]] = json.loads(finished.stdout)
    return found


def comparable(call: dict[str, Any], answer: dict[str, Any]) -> Any:
    """What clients can tell."""
    metrics = answer["metrics"]
    if "status" in answer:
        body = answer["body"]
        if answer["type"] == "application/json":
            body = json.loads(re.sub("<[^>]* object at [^>]*>", "an object", body))
            if answer["status"] == 500 and call["component"] in OTHER_WORDS:
                del body["status"]["info"]
        return answer["status"], answer["type"], body, metrics
    if "error" in answer:
        return "error", metrics
    answer_class = "SeldonModelMetadata" if call["method"] == "Metadata" else "SeldonMessage"
    # Parsed, as maps have no order.
    message = CLASSES[answer_class].FromString(base64.b64decode(answer["body"]))
    return json_format.MessageToDict(message), metrics


def test_every_call_is_answered_by_a_whole_message_or_an_error() -> None:
    for call, answer in zip(calls(), answers("worker"), strict=True):
        if answer.get("type") == "application/json":
            content = json.loads(answer["body"])
            if answer["status"] == 500 and call["component"] != "OwnHandler":
                assert sorted(content["status"]) == ["code", "info", "reason", "status"], call


@pytest.mark.skipif(
    not ORACLE, reason="SELDON_ORACLE_PYTHON names no Python with seldon-core 1.17.1"
)
def test_every_hook_is_answered_as_by_seldons_wrapper() -> None:
    different = []
    for call, ours, theirs in zip(calls(), answers("worker"), answers("wrapper"), strict=True):
        one, other = comparable(call, ours), comparable(call, theirs)
        if one != other:
            different.append(f"{call}\n  theirs {other}\n  ours   {one}")
    assert not different, f"{len(different)} differ\n" + "\n".join(different)
