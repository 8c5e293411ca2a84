"""A model whose `model-config.yaml` has `torchrun` runs in a group of processes; the first one answers.

`torch.distributed.run` is played by a few lines, which start processes as it does.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from handler_cases import Call, Case
from support.server import Server
from support.waiting import eventually
from torchserve_answers import ask, write_archive

from mms.interfaces.torchserve.worker.group.options import GroupOptions, group_options

TORCHRUN = """
import os, subprocess, sys

size = int(next(a for a in sys.argv if a.startswith("--nproc-per-node=")).partition("=")[2])
module = sys.argv[sys.argv.index("-m") + 1]
processes = [
    subprocess.Popen(
        [sys.executable, "-m", module],
        env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)},
    )
    for rank in range(size)
]
while all(process.poll() is None for process in processes):
    try:
        processes[0].wait(0.1)
    except subprocess.TimeoutExpired:
        continue
for process in processes:
    process.kill()
sys.exit(1)
"""
HANDLER = """
import os
from pathlib import Path
from ts.utils.util import PredictionException

class Service:
    def initialize(self, context):
        self.rank = os.environ["RANK"]
        if "broken" in context.model_name:
            raise RuntimeError("this one cannot load")

    def handle(self, data, context):
        context.metrics.add_counter("Asked", 1)
        word = bytes(data[0]["body"]).decode()
        Path(f"seen-{self.rank}").write_text(word)
        if word == "refused":
            raise PredictionException("not today", 409)
        if word == "wrong":
            raise ValueError("wrong")
        context.set_response_status(201, "Made", 0)
        context.set_response_header(0, "X-Own", word)
        said = [self.rank, os.environ["WORLD_SIZE"], os.getpid(), os.getcwd()]
        return [said if word != "odd" else object()]
"""
CONFIG = "parallelType: tp\nresponseTimeout: 30\ntorchrun: {nproc-per-node: 2}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    packages = tmp_path_factory.mktemp("packages")
    (packages / "torch" / "distributed").mkdir(parents=True)
    (packages / "torch" / "__init__.py").touch()
    (packages / "torch" / "distributed" / "__init__.py").touch()
    (packages / "torch" / "distributed" / "run.py").write_text(TORCHRUN)
    server = Server(
        tmp_path_factory.mktemp("groups"), environment={"PYTHONPATH": str(packages)}
    ).start()
    yield server
    server.stop()


def serve(server: Server, name: str) -> Any:
    write_archive(server.store, name, Case(HANDLER, (), (("model-config.yaml", CONFIG),)))
    return server.register(f"{name}.mar", initial_workers=1, synchronous="true")


def told(server: Server, name: str, word: str) -> dict[str, Any]:
    return ask(server.inference.address.port, name, Call(word.encode()))


def test_all_processes_run_a_batch_and_the_first_one_answers(server: Server) -> None:
    assert serve(server, "group").status == 200
    answer = told(server, "group", "hello")
    assert (answer["status"], answer["headers"]["x-own"]) == (201, "hello")
    rank, size, _, folder = json.loads(answer["body"])
    assert (rank, size) == ("0", "2")
    seen = [Path(folder) / f"seen-{place}" for place in range(2)]
    assert [file.read_text() for file in seen] == ["hello", "hello"]
    refused = told(server, "group", "refused")
    assert (refused["status"], "not today" in refused["body"]) == (409, True)
    for word, message in (("wrong", "Prediction failed"), ("odd", "Unsupported model output")):
        failed = told(server, "group", word)
        assert (failed["status"], message in failed["body"]) == (503, True)
    assert told(server, "group", "again")["status"] == 201


def test_a_process_that_is_gone_takes_its_group_along_and_another_one_comes(
    server: Server,
) -> None:
    assert serve(server, "mortal").status == 200
    _, _, pid, _ = json.loads(told(server, "mortal", "first")["body"])
    os.kill(pid, signal.SIGKILL)

    def asked_again() -> bool:
        answer = told(server, "mortal", "second")
        return answer["status"] == 201 and json.loads(answer["body"])[2] != pid

    eventually("another group answers", asked_again, 30)


def test_a_load_that_fails_in_a_process_fails_with_its_reason(server: Server) -> None:
    assert serve(server, "broken").status == 500
    server.wait_for_log("mms_log.log", "this one cannot load")


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({}, None),
        ({"parallelType": "custom", "torchrun": {"nproc-per-node": 2}}, None),
        ({"torchrun": {"nproc-per-node": 2}}, GroupOptions(2)),
        (
            {"parallelType": "pp", "torchrun": {"nproc-per-node": 4, "OMP_NUMBER_THREADS": 3}},
            GroupOptions(4, is_pipeline=True, threads=3),
        ),
    ],
)
def test_a_group_is_what_the_file_says(
    config: dict[str, Any], options: GroupOptions | None
) -> None:
    assert group_options(config) == options


@pytest.mark.parametrize(
    ("torchrun", "named"),
    [
        ("2", "torchrun is '2'"),
        ({"nproc-per-node": "gpu"}, "nproc-per-node is 'gpu'"),
        ({"nproc-per-node": 0}, "nproc-per-node is 0"),
        ({"nproc-per-node": 1000}, "at most 64"),
        ({"nnodes": 2}, "a group is started on one machine"),
    ],
)
def test_a_group_that_cannot_be_started_is_refused(torchrun: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        group_options({"torchrun": torchrun})
