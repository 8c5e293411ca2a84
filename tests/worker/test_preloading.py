"""Workers that are forked from a parent which has loaded the model."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from .conftest import ModelWriter
from .front import Front, Request, Worker

SOURCE = """
    import os, sys, time
    loaded_in = os.getpid()
    class Handler:
        def initialize(self, context):
            self.loaded_gpu = context.system_properties["gpu_id"]
            self.context = context
        def handle(self, data, context):
            order = bytes(data[0]["body"]).decode()
            exec(order)
            properties = context.system_properties
            return [[os.getpid(), loaded_in, properties["gpu_id"], properties["batch_size"],
                     context is self.context]] * len(data)
"""


def start_parent(front: Front, folder: str, **members: Any) -> Worker:
    parent = front.start_parent()
    parent.load(
        model_name="m",
        model_version=None,
        model_dir=folder,
        handler="service:handle",
        batch_size=4,
        gpu_id=9,
        **members,
    )
    return parent


def shown(worker: Worker, order: bytes = b"pass") -> Any:
    return json.loads(worker.predict(order).body)


def test_forks_share_one_load_and_have_their_own_gpu(
    front: Front, write_model: ModelWriter
) -> None:
    parent = start_parent(front, write_model(SOURCE))
    assert parent.hello.role == "parent"
    first = front.fork(parent, "one", gpu_id=0)
    second = front.fork(parent, "two", gpu_id=1)
    assert first.loaded is not None
    assert first.loaded.code == 200
    process_id = front.processes[0].pid
    assert shown(first) == [first.pid, process_id, 0, 4, True]
    assert shown(second) == [second.pid, process_id, 1, 4, True]
    assert len({first.pid, second.pid, process_id}) == 3


def test_a_fork_leads_a_group_of_its_own(front: Front, write_model: ModelWriter) -> None:
    worker = front.fork(start_parent(front, write_model(SOURCE)), "one")
    assert os.getpgid(worker.pid) == worker.pid


def test_each_fork_writes_to_outputs_of_its_own(front: Front, write_model: ModelWriter) -> None:
    parent = start_parent(front, write_model(SOURCE))
    one, two = front.fork(parent, "one"), front.fork(parent, "two")
    for worker, word in ((one, "one"), (two, "two")):
        order = f"print('out of {word}'); sys.stderr.write('error of {word}\\n')"
        worker.predict(order.encode())
        assert worker.outputs is not None
        lines = [output.readline().decode() for output in worker.outputs]
        assert lines == [f"out of {word}\n", f"error of {word}\n"]


def test_a_fork_drains_and_the_last_of_its_output_is_not_lost(
    front: Front, write_model: ModelWriter
) -> None:
    worker = front.fork(start_parent(front, write_model(SOURCE)), "one")
    worker.predict(b"sys.stdout.write('without an end of line')")
    worker.drain()
    assert worker.outputs is not None
    assert worker.outputs[0].read() == b"without an end of line"
    assert worker.work.receive() is None


def test_a_parent_with_threads_of_native_code_says_that_it_cannot_be_forked(
    front: Front, write_model: ModelWriter
) -> None:
    """They are not in its forks, whose code would wait for them for ever."""
    source = """
        import ctypes, time
        library = ctypes.CDLL(None)
        thread = ctypes.c_ulong()
        library.pthread_create(ctypes.byref(thread), None, library.pause, None)
        def handle(data, context):
            return ["OK"] * len(data or ())
    """
    parent = start_parent(front, write_model(source))
    assert parent.loaded is not None
    assert parent.loaded.fork_problem == "it has 1 thread besides its main one"


@pytest.mark.parametrize("order", ["sys.exit(3)", "os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_the_end_of_a_fork_is_seen_and_leaves_the_parent_alone(
    front: Front, write_model: ModelWriter, order: str
) -> None:
    parent = start_parent(front, write_model(SOURCE))
    worker = front.fork(parent, "one")
    worker.send_batches([Request(order.encode())])
    assert worker.work.receive() is None
    assert shown(front.fork(parent, "two"))[1] == front.processes[0].pid


def test_forks_end_with_the_front_and_not_with_the_parent(
    front: Front, write_model: ModelWriter
) -> None:
    parent = start_parent(front, write_model(SOURCE))
    worker = front.fork(parent, "one")
    parent.close()
    assert front.wait_exit() in (0, -signal.SIGKILL)
    assert shown(worker)[0] == worker.pid


def test_a_fork_answers_heartbeats_and_hears_of_cancelled_requests(
    front: Front, write_model: ModelWriter, tmp_path: Path
) -> None:
    worker = front.fork(start_parent(front, write_model(SOURCE)), "one")
    assert worker.heartbeat(3, b"")[1] == 3
    begun = tmp_path / "begun"
    order = f"open({str(begun)!r}, 'w').close()\nwhile not context.cancelled: time.sleep(0.001)"
    (sequence,) = worker.send_batches([Request(order.encode(), id=b"i" * 36)])
    eventually("the handler has begun", begun.exists)
    worker.cancel(b"i" * 36)
    assert worker.read_outcome(sequence, 1).is_succeeded


def test_a_fork_ignores_signals_that_are_meant_for_the_front(
    front: Front, write_model: ModelWriter
) -> None:
    worker = front.fork(start_parent(front, write_model(SOURCE)), "one")
    os.kill(worker.pid, signal.SIGTERM)
    assert shown(worker)[0] == worker.pid


def test_programs_of_a_fork_have_exit_codes(front: Front, write_model: ModelWriter) -> None:
    worker = front.fork(start_parent(front, write_model(SOURCE)), "one")
    order = b"import subprocess\nassert subprocess.run(['false']).returncode == 1"
    assert worker.predict(order).status == 200


def test_a_parent_that_cannot_load_says_why_and_ends(
    front: Front, write_model: ModelWriter
) -> None:
    parent = start_parent(front, write_model("1 / 0\n"))
    assert parent.loaded is not None
    assert (parent.loaded.code, parent.loaded.error) == (
        500,
        "ZeroDivisionError: division by zero",
    )
    assert front.wait_exit() == 1


def test_an_error_that_was_let_pass_is_told_by_every_fork(
    front: Front, write_model: ModelWriter
) -> None:
    source = SOURCE.replace("self.context = context", "raise ValueError('not today')")
    parent = start_parent(front, write_model(source), initialize_errors="ignore")
    worker = front.fork(parent, "one")
    assert worker.loaded is not None
    assert (worker.loaded.code, worker.loaded.error) == (200, "ValueError: not today")


def test_coroutines_of_forks_run_on_loops_of_their_own(
    front: Front, write_model: ModelWriter
) -> None:
    source = """
        import asyncio
        loops = []
        async def handle(data, context):
            await asyncio.to_thread(lambda: None)
            loops.append(asyncio.get_running_loop())
            return [[loop is loops[0] for loop in loops]]
    """
    parent = start_parent(front, write_model(source))
    for name in ("one", "two"):
        worker = front.fork(parent, name)
        # The parent's loop polls what it shares with all forks.
        assert json.loads(worker.predict().body) == [True, False]
        assert json.loads(worker.predict().body) == [True, False, False]
