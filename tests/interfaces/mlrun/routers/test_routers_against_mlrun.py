"""Models and ensembles beside MLRun's own, in its mock server, on some seventy requests.

MLRUN_ORACLE_PYTHON names a Python that has mlrun 1.7 or later; without it only our side runs. Answers of 1.12 have no
versions, and bodies that its models see have a member of its own: both are as in 1.7 here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mlrun_scenarios import answers, documents

ORACLE = os.environ.get("MLRUN_ORACLE_PYTHON", "")
SCRIPT = Path(__file__).with_name("mlrun_scenarios.py")
#: Of one of the two dialects alone; ours is that of 1.7.
_OF_ONE_DIALECT = ("model_version", "version", "model_endpoint_uid", "background_task_state")
_CHANGING = re.compile(r"[0-9a-f]{32}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")


def comparable(value: Any, left_out: tuple[str, ...]) -> Any:
    """The same with what is random and those members left out; members keep their order."""
    if isinstance(value, float):
        # Sums in another order.
        return round(value, 12)
    if isinstance(value, dict):
        return [
            [key, comparable(own, left_out)] for key, own in value.items() if key not in left_out
        ]
    if isinstance(value, list | tuple):
        return [comparable(own, left_out) for own in value]
    return _CHANGING.sub("...", value) if isinstance(value, str) else value


@pytest.mark.skipif(not ORACLE, reason="MLRUN_ORACLE_PYTHON names no Python with mlrun")
def test_every_answer_is_that_of_mlruns_own_classes(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    environment = {**os.environ, "MLRUN_DBPATH": "", "PYTHONPATH": ""}
    subprocess.run(
        [ORACLE, "-W", "ignore", str(SCRIPT), str(file)],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=tmp_path,
        env=environment,
        timeout=100,
    )
    theirs = json.loads(file.read_text())
    left_out = () if theirs["version"].startswith("1.7.") else _OF_ONE_DIALECT
    different = [
        f"{asked}\n  theirs {their_answer}\n  ours   {our_answer}"
        for (asked, their_answer), (_, our_answer) in zip(theirs["answers"], answers(), strict=True)
        if comparable(their_answer, left_out) != comparable(our_answer, left_out)
        # Of a missing body MLRun says what Python says of None.
        and not ("has no body" in str(our_answer) and "is not iterable" in str(their_answer))
    ]
    assert not different, "\n".join(different)
    assert theirs["documents"] == documents()


def test_the_same_requests_are_answered_without_mlrun() -> None:
    found = dict(answers())
    failed = [
        asked for asked, answer in found.items() if isinstance(answer, list) and answer[0] == 500
    ]
    assert failed == []
    assert len(found) > 60
