"""Handlers that misbehave under load: only the requests concerned fail, and the worker goes on as it was."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from support.processes import is_alive
from support.server import Server, manifest
from support.waiting import eventually

from .load import Load, Target

#: What a handler does when a text contains the word; else it echoes.
SOURCE = """
import os, subprocess, sys, time
from mms.service import PredictionException

def handle(data, context):
    if data is None:
        return None
    return [one(row, index, context) for index, row in enumerate(data)]

def one(row, index, context):
    text = str(row.get("body") or row.get("data") or "")
    order = text.partition(" ")[0]
    if order in ORDERS:
        answer = ORDERS[order](index, context)
        if answer is not None:
            return answer
    return text

def close_output(*_):
    os.close(1)
    os.close(2)
    print("nobody reads this")
    raise RuntimeError("after its output was closed")

def close_python_output(*_):
    sys.stdout.close()
    sys.stderr.close()
    raise RuntimeError("after its output was closed")

def take_output_away(*_):
    sys.stdout = sys.stderr = None
    raise RuntimeError("after its output was taken away")

def close_all(*_):
    os.closerange(3, 4096)

def flood(*_):
    line = "x" * 999 + "\\n"
    for _ in range(20):
        sys.stdout.write(line * 500)
        sys.stderr.write(line * 500)

def flood_bytes(*_):
    os.write(2, bytes(range(256)) * 256)

def breed(*_):
    for _ in range(40):
        subprocess.Popen(["sleep", "600"])

def fork(*_):
    for _ in range(5):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)

def recurse(*_):
    return recurse()

def starve(*_):
    raise MemoryError

def allocate(*_):
    bytearray(1 << 60)

def refuse_at_length(*_):
    raise PredictionException("refused, " + "x" * 20_000_000, 422)

def leave(*_):
    sys.exit(3)

def interrupt(*_):
    raise KeyboardInterrupt

def change_folder(*_):
    os.chdir("/")

def header_number(index, context):
    context.set_response_header(index, "x-count", 7)

def header_line(index, context):
    context.set_response_header(index, "x-count", "a\\r\\nb: c")

def header_huge(index, context):
    context.set_response_header(index, "x-much", "x" * 8_000_000)

def status_word(index, context):
    context.set_response_status(code="fine", phrase="OK", idx=index)

def status_huge(index, context):
    context.set_response_status(code=10 ** 30, phrase="OK", idx=index)

def unserialisable(*_):
    return {"an": object()}

def circular(*_):
    found = []
    found.append(found)
    return found

def surrogate(*_):
    return "\\ud800"

def too_much(*_):
    return b"x" * 3_000_000

class Hostile:
    def __str__(self):
        raise RuntimeError("no text for you")
    __repr__ = __str__

def hostile_error(*_):
    raise type("Odd", (Exception,), {"__str__": Hostile.__str__, "__repr__": Hostile.__str__})()

ORDERS = {name.replace("_", "-"): value for name, value in globals().items() if callable(value)}
"""

#: order -> (status, words of the answer); the whole batch fails with it.
BATCH_FAULTS = {
    "close-output": (503, "Prediction failed"),
    "close-python-output": (503, "Prediction failed"),
    "take-output-away": (503, "Prediction failed"),
    "recurse": (503, "Prediction failed"),
    "starve": (507, "Out of resources"),
    "allocate": (507, "Out of resources"),
    "interrupt": (503, "Prediction failed"),
    "refuse-at-length": (422, "refused, xxx"),
    "hostile-error": (503, "Prediction failed"),
}
#: Orders that end the worker.
FATAL = ("leave", "close-all")
#: order -> the same; the others of its batch succeed.
ITEM_FAULTS = {
    "header-number": (503, "Invalid model response"),
    "header-line": (503, "Invalid model response"),
    "header-huge": (503, "Invalid model response"),
    "status-word": (503, "Invalid model response"),
    "status-huge": (503, "Invalid model response"),
    "unserialisable": (503, "Unsupported model output data type."),
    "circular": (503, "Unsupported model output data type."),
    "surrogate": (503, "Unsupported model output data type."),
    "too-much": (500, "is larger than max_response_size"),
}
#: Orders that harm nobody: the text is echoed.
HARMLESS = ("flood", "flood-bytes", "breed", "fork", "change-folder")


def faulty(order: str, status: int = 0, words: str = "", path: str = "/predictions/m") -> Target:
    """Requests with an order; without a status they are to be echoed."""

    def is_right(got: int, body: bytes, token: str) -> bool:
        if not status:
            return got == 200 and body == f"{order} {token}".encode()
        return got == status and words.encode() in body and b"token-" not in body

    return Target(
        path, encode=lambda token: f"{order} {token}".encode(), is_right=is_right, fails_with={}
    )


def sound(path: str = "/predictions/m") -> Target:
    return Target(path, fails_with={})


SETTINGS = {"max_response_size": "1000000", "job_queue_size": "1000"}


def write(server: Server) -> Server:
    server.write_model("faulty", SOURCE, manifest("faulty"))
    return server


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    directory = Path(tempfile.mkdtemp(prefix="mmsf-"))
    server = write(Server(directory, SETTINGS).start())
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """Without models before and after."""
    yield shared
    shared.unregister("m")


def register(server: Server, **parameters: object) -> None:
    options = {"initial_workers": 2, "synchronous": "true", **parameters}
    assert server.register("faulty", model_name="m", **options).status == 200


def pids(server: Server) -> set[int]:
    return {worker["pid"] for worker in server.describe("m")["workers"]}


def check_that_others_succeed(server: Server, targets: Sequence[Target]) -> None:
    """While requests of `targets` get, one at a time and each twice, what they are to get."""
    port = server.inference.address.port
    with (
        Load(port, [sound()], connections=4) as load,
        Load(port, targets, connections=1, pause_s=0.05) as trouble,
    ):
        trouble.wait_for_right(2 * len(targets))
        load.wait_for_right(50)
    load.count.check(failures=0)
    trouble.count.check(failures=0)


def test_a_fault_fails_its_own_request_alone_and_costs_no_worker(server: Server) -> None:
    register(server)
    before = pids(server)
    check_that_others_succeed(
        server, [faulty(order, *BATCH_FAULTS[order]) for order in BATCH_FAULTS]
    )
    assert pids(server) == before


def test_an_end_of_the_worker_fails_its_own_request_alone(server: Server) -> None:
    register(server)
    check_that_others_succeed(server, [faulty(order, 500, "Worker died.") for order in FATAL])


def test_faults_of_items_fail_their_own_requests_in_shared_batches(server: Server) -> None:
    register(server, batch_size=8, max_batch_delay=20, batch_policy="fixed", initial_workers=1)
    before = pids(server)
    port = server.inference.address.port
    targets = [faulty(order, *found) for order, found in ITEM_FAULTS.items()] + [sound()] * 9
    with Load(port, targets, connections=16) as load:
        load.wait_for_right(400)
    load.count.check(failures=0)
    assert pids(server) == before


def test_what_a_handler_does_besides_harms_no_request(server: Server) -> None:
    register(server)
    before = pids(server)
    check_that_others_succeed(server, [faulty(order) for order in HARMLESS])
    assert pids(server) == before


def test_a_flood_of_output_holds_up_no_other_model(server: Server) -> None:
    register(server)
    port = server.inference.address.port
    with server.registered("echo", model_name="other"):
        other = Target(
            "/predictions/other", is_right=lambda status, *_: status == 200, fails_with={}
        )
        with (
            Load(port, [other], connections=2) as load,
            Load(port, [faulty("flood")], connections=2, pause_s=0) as trouble,
        ):
            trouble.wait_for_right(3, 60)
            load.wait_for_right(20)
        load.count.check(failures=0)
        trouble.count.check(failures=0)
        # A slow machine makes both slow.
        flooding_s = statistics.median(trouble.count.times_s)
        assert statistics.median(load.count.times_s) < max(0.1, flooding_s / 4), flooding_s


@pytest.mark.parametrize("end", ["unregister", "kill"])
def test_processes_that_a_handler_started_end_with_its_worker(server: Server, end: str) -> None:
    register(server, initial_workers=1)
    for order in ("breed", "fork"):
        reply = server.inference.post("/predictions/m", order.encode(), content_type="text/plain")
        assert reply.status == 200, reply
    [worker] = pids(server)
    children = psutil.Process(worker).children(recursive=True)
    assert len(children) >= 45
    if end == "unregister":
        assert server.unregister("m").status == 200
    else:
        psutil.Process(worker).kill()

    def left() -> list[psutil.Process]:
        _, alive = psutil.wait_procs(children, timeout=0)
        return [p for p in alive if is_alive(p.pid)]

    eventually("the handler's processes have ended", lambda: not left())
