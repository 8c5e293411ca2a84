"""Handlers of TorchServe's users answer here as they answer there, to the byte.

The answers of TorchServe 0.12.0 are recorded. With `--full` and TORCHSERVE_PYTHON, a Python that has torchserve and
torch (and Java 17), it is asked anew.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from handler_cases import CASES, Case
from support.server import Server
from torchserve_answers import RECORDED, ask_case, ask_real, write_archive

ORACLE = os.environ.get("TORCHSERVE_PYTHON", "")
#: Made by torch-model-archiver 0.12.0: `--archive-format` default, zip-store and tgz.
ARCHIVES = Path(__file__).parent / "archives"
ANSWERS: dict[str, list[dict[str, Any]]] = json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


def test_every_case_has_answers() -> None:
    assert list(CASES) == list(dict.fromkeys([*CASES, *ANSWERS]))
    assert {name: len(case.calls) for name, case in CASES.items()} == {
        name: len(answers) for name, answers in ANSWERS.items()
    }


@pytest.mark.parametrize("name", [name for name in CASES if not CASES[name].envelope])
def test_a_handler_answers_as_on_torchserve(server: Server, name: str) -> None:
    write_archive(server.store, name, CASES[name])
    ports = (server.inference.address.port, server.management.address.port)
    assert ask_case(*ports, name, CASES[name]) == ANSWERS[name]


@pytest.mark.parametrize("file", sorted(ARCHIVES.iterdir()), ids=lambda file: file.name)
def test_an_archive_of_torch_model_archiver_is_served(server: Server, file: Path) -> None:
    shutil.copy(file, server.store)
    reply = server.register(file.name, initial_workers=1, synchronous="true")
    assert reply.status == 200, reply.text
    name = file.name.partition(".")[0]
    assert server.inference.post(f"/predictions/{name}", b"x").text == "hello from beside 2.5"
    described = server.describe(name)
    assert (described["interface"], described["batchSize"]) == ("torchserve", 4)


STREAMED = """
from ts.handler_utils.utils import send_intermediate_predict_response

def handle(data, context):
    for part in range(3 if data else 0):
        texts = [f"part {part};" for _ in data]
        send_intermediate_predict_response(texts, context.request_ids, "Sent", 200, context)
    return ["the end"] * len(data or [])
"""


def test_parts_of_an_answer_are_sent_before_its_end(server: Server) -> None:
    write_archive(server.store, "streamed", Case(STREAMED, ()))
    assert server.register("streamed.mar", initial_workers=1, synchronous="true").status == 200
    reply = server.inference.post("/predictions/streamed", b"x")
    assert (reply.status, reply.text) == (200, "part 0;part 1;part 2;the end")
    assert reply.header("Transfer-Encoding") == "chunked"


@pytest.mark.timeout(900)
@pytest.mark.skipif(not ORACLE, reason="TORCHSERVE_PYTHON names no Python with torchserve 0.12.0")
def test_torchserve_still_answers_as_it_is_recorded(is_full: bool) -> None:
    if not is_full:
        pytest.skip("starts a worker of TorchServe for each case: four minutes, with --full alone")
    assert ask_real(ORACLE, list(CASES)) == ANSWERS
