"""The examples of MLRun's serving specs, served as their READMEs say."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from example_server import COMMANDS, ROOT, START_LIMIT_S, STOP_LIMIT_S
from support.waiting import eventually

Ask = Callable[[str, Any], Any]


def listens(address: Path) -> bool:
    """Whether somebody does; the file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


@contextmanager
def serving(example: str) -> Iterator[Ask]:
    """Runs `mms mlrun` on an example's spec; asks by POST, without a body by GET."""
    # Short, for the sockets: their paths have room for about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="mms-example-"))
    address = folder / "i.sock"
    process = subprocess.Popen(
        [
            *(str(COMMANDS / "mms"), "mlrun"),
            str(ROOT / "examples" / example / "serving_spec.json"),
            f"--set=inference_address=unix:{address}",
            f"--set=management_address=unix:{folder / 'm.sock'}",
        ],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder), "LOG_LOCATION": str(folder / "logs")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )

    def ask(path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(address))
        try:
            if body is None:
                connection.request("GET", path)
            else:
                connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return json.loads(text)
        finally:
            connection.close()

    try:
        eventually(
            "it listens or ends",
            lambda: listens(address) or process.poll() is not None,
            START_LIMIT_S,
        )
        assert process.poll() is None, process.communicate()[0].decode()
        yield ask
    finally:
        process.terminate()
        process.communicate(timeout=STOP_LIMIT_S)
        shutil.rmtree(folder)


def test_the_canary_shares_requests_out_to_two_versions() -> None:
    with serving("mlrun_router") as ask:
        asked = {"inputs": [[5, 1]]}
        assert ask("/v2/models/delivery/versions/v2/infer", asked)["outputs"] == [30.0]
        minutes = Counter(
            ask("/v2/models/delivery_time/infer", asked)["outputs"][0] for _ in range(100)
        )
        assert set(minutes) <= {20.0, 30.0}
        assert minutes[20.0] > 70
        assert ask("/v2/models", None)["weights"] == {"delivery:v1": 90, "delivery:v2": 10}


def test_the_judges_vote() -> None:
    with serving("mlrun_ensemble") as ask:
        asked = {"inputs": ["Dear winner, free money", "HELLO!!!", "hello"]}
        assert ask("/v2/models/infer", asked)["outputs"] == [0, 1, 0]
        assert ask("/v2/models/words/infer", {"inputs": ["Dear winner"]})["outputs"] == [1]


def test_the_flow_puts_moods_into_words() -> None:
    with serving("mlrun_flow") as ask:
        asked = {"inputs": ["What a GREAT day", "poor me"]}
        assert ask("/v2/models/mood/infer", asked) == {"moods": ["happy", "not amused"]}
