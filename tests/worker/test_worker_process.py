"""The worker process, seen from the front."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from support.waiting import eventually

from mms.wire import BATCH, HEARTBEAT, encode_frame
from mms.wire.log_records import decode_record

from .conftest import ModelWriter, WorkerStarter
from .front import DEADLINE_S, ROOT, Front, Request

OK = "def handle(data, context):\n    return ['OK'] * len(data or [1])\n"
#: Answers with its process id, or does what the text of the body says.
OBEDIENT = """
    import os, sys, time
    def handle(data, context):
        if data is None:
            return None
        orders = [bytes(item["body"]).decode() for item in data]
        for order in orders:
            exec(order, {"os": os, "sys": sys, "time": time, "context": context})
        return [str(os.getpid())] * len(data)
"""


def load_arguments(folder: str, **members: object) -> dict[str, object]:
    return {
        "model_name": "m",
        "model_version": None,
        "model_dir": folder,
        "handler": "service:handle",
        **members,
    }


def test_it_says_hello_on_two_connections_with_its_secret(front: Front) -> None:
    process = front.spawn(secret="the secret")
    worker = front.accept_worker()
    assert worker.hello.secret == "the secret"
    assert worker.pid == process.pid
    assert worker.hello.runtime.startswith("cpython 3.")


def test_it_loads_answers_and_leaves(start_worker: WorkerStarter, front: Front) -> None:
    worker = start_worker(OK)
    assert worker.loaded is not None
    assert worker.loaded.interface == "mms"
    outcome = worker.run(Request(b"one"), Request(b"two"))
    assert [(answer.status, answer.body) for answer in outcome.answers] == [(200, b"OK")] * 2
    assert outcome.is_succeeded
    assert 0 < outcome.entry_point_ns < DEADLINE_S * 1e9
    worker.drain()
    assert front.wait_exit() == 0


def test_without_a_front_it_says_so_and_ends(front: Front, tmp_path: Path) -> None:
    front.address = f"unix:{tmp_path}/absent"
    process = front.spawn()
    assert front.wait_exit(process) == 1
    assert "absent failed" in front.output()


@pytest.mark.parametrize("options", [["--connect"], ["--name", "x", "--color"]])
def test_a_wrong_call_is_answered_with_the_right_one(front: Front, options: list[str]) -> None:
    process = front.spawn(*options)
    assert front.wait_exit(process) == 2
    assert "usage: python -m mms.worker --connect" in front.output()


def test_the_secret_is_not_shown_to_the_handler(start_worker: WorkerStarter) -> None:
    worker = start_worker(
        "import os\n"
        "def handle(data, context):\n"
        "    return ['MMS_WORKER_SECRET' in os.environ] if data else None\n"
    )
    assert worker.predict().body == b"false"


def test_it_runs_in_the_folder_of_its_model(start_worker: WorkerStarter) -> None:
    worker = start_worker(
        """
        import os, sys
        def handle(data, context):
            folder = context.system_properties["model_dir"]
            return [[os.getcwd() == folder, folder in sys.path, os.environ["OMP_NUM_THREADS"],
                     os.environ["MXNET_USE_OPERATOR_TUNING"]]] if data else None
        """
    )
    assert json.loads(worker.predict().body) == [True, True, "1", "0"]


def test_variables_that_are_set_are_kept(front: Front, write_model: ModelWriter) -> None:
    worker = front.start(OMP_NUM_THREADS="3", PYTHONPATH=f"/given{os.pathsep}{ROOT}")
    folder = write_model(
        "import os, sys\n"
        "def handle(data, context):\n"
        "    return [[os.environ['OMP_NUM_THREADS'], *sys.path]] if data else None\n"
    )
    worker.load(**load_arguments(folder))
    threads, *path = json.loads(worker.predict().body)
    assert threads == "3"
    assert "/given" in path
    assert path[-1] == str(ROOT), "the server's folder hides nothing"
    assert str(ROOT / "mms") not in path


def test_logging_goes_to_standard_output_as_records_among_what_is_printed(
    start_worker: WorkerStarter, front: Front
) -> None:
    worker = start_worker(
        """
        import logging, sys
        logging.info("at import")
        def handle(data, context):
            logging.getLogger("own").info("in handle %s", data is None)
            logging.debug("not shown")
            print("grün")
            return ["OK"]
        """
    )
    worker.predict()
    worker.drain()
    lines = [decode_record(line) for line in front.output().split("\n") if line]
    assert lines == [
        ("", (20, "", "at import")),
        ("", (20, "own", "in handle True")),
        ("grün", None),
        ("", (20, "own", "in handle False")),
        ("grün", None),
    ]


def test_output_is_passed_on_by_lines_at_once(
    start_worker: WorkerStarter, front: Front, tmp_path: Path
) -> None:
    worker = start_worker(OBEDIENT)
    # A crash would lose what stands in a buffer.
    worker.send_batches([Request(b"print('last words'); os._exit(3)")])
    assert front.wait_exit() == 3
    assert front.output() == "last words\n"


def test_many_batches_of_one_read_are_answered_in_order(start_worker: WorkerStarter) -> None:
    worker = start_worker(
        """
        def handle(data, context):
            return [bytes(item["body"]) for item in data or []]
        """
    )
    batches = [[Request(b"%d-%d" % (n, i)) for i in range(n % 3 + 1)] for n in range(40)]
    for sequence, batch in zip(worker.send_batches(*batches), batches, strict=True):
        outcome = worker.read_outcome(sequence, len(batch))
        assert [answer.body for answer in outcome.answers] == [r.body for r in batch]


def test_a_large_body_comes_and_goes_whole(start_worker: WorkerStarter) -> None:
    worker = start_worker(
        """
        def handle(data, context):
            return [item["body"] for item in data] if data else None
        """
    )
    large = bytes(range(256)) * 8000
    outcome = worker.run(Request(large), Request(b"small"), Request(large[::-1]))
    assert [answer.body for answer in outcome.answers] == [large, b"small", large[::-1]]


def test_an_answer_does_not_wait_for_the_batches_behind_it(
    start_worker: WorkerStarter, tmp_path: Path
) -> None:
    worker = start_worker(OBEDIENT)
    gate = tmp_path / "gate"
    slow = b"time.sleep(0.002)"
    waits = f"\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.001)".encode()
    first, second = worker.send_batches([Request(slow)], [Request(waits)])
    assert worker.read_outcome(first, 1).is_succeeded
    gate.touch()
    assert worker.read_outcome(second, 1).is_succeeded


def test_an_answer_that_is_held_back_comes_when_the_front_asks_for_a_sign_of_life(
    start_worker: WorkerStarter, tmp_path: Path
) -> None:
    worker = start_worker(OBEDIENT)
    gate, reached = tmp_path / "gate", tmp_path / "reached"
    waits = (
        f"open({str(reached)!r}, 'w').close()\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.001)"
    )
    first, second, third = worker.send_batches(
        [Request(b"pass")], [Request(waits.encode())], [Request(b"pass")]
    )
    eventually("the handler has reached", reached.exists)
    # What is behind it took next to no time, and so will this, the worker thinks.
    worker.heartbeat(1, b"")
    assert worker.read_outcome(first, 1).is_succeeded
    worker.heartbeat(2, b"")
    gate.touch()
    assert worker.read_outcome(second, 1).is_succeeded
    assert worker.read_outcome(third, 1).is_succeeded


def test_a_heartbeat_is_answered_while_the_handler_runs(
    start_worker: WorkerStarter, tmp_path: Path
) -> None:
    worker = start_worker(OBEDIENT)
    gate = tmp_path / "gate"
    order = f"while not os.path.exists({str(gate)!r}): time.sleep(0.001)"
    (sequence,) = worker.send_batches([Request(order.encode())])
    assert worker.heartbeat(17, b"beat") == (HEARTBEAT, 17, b"beat", ())
    gate.touch()
    assert worker.read_outcome(sequence, 1).is_succeeded


def test_a_running_handler_sees_that_its_client_is_gone(
    start_worker: WorkerStarter, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    worker = start_worker(
        """
        import time
        def handle(data, context):
            if data is None:
                return None
            open(data[0]["body"], "w").close()
            deadline = time.monotonic() + 10
            while not context.cancelled and time.monotonic() < deadline:
                time.sleep(0.001)
            return [[context.cancelled, context.is_cancelled(i)] for i in range(2)]
        """
    )
    request = Request(id=b"a" * 36)
    path = str(begun).encode()
    first = Request(path, b"text/plain", id=b"b" * 36)
    (sequence,) = worker.send_batches([first, request])
    eventually("the handler has begun", begun.exists)
    worker.cancel(request.id)
    answers = worker.read_outcome(sequence, 2).answers
    assert json.loads(answers[0].body) == [True, False]
    assert json.loads(answers[1].body) == [True, True]


def test_what_nobody_waits_for_any_more_is_not_run(start_worker: WorkerStarter) -> None:
    worker = start_worker(
        """
        seen = []
        def handle(data, context):
            if data is None:
                return None
            seen.extend(item["body"] for item in data)
            return [seen] * len(data)
        """
    )
    worker.cancel(b"a" * 36, b"c" * 36)
    # Answered in order, so that the cancellation has come.
    worker.heartbeat(1, b"")
    asked = [Request(name, b"text/plain", id=name * 36) for name in (b"a", b"b", b"c")]
    outcome = worker.run(*asked)
    assert [answer.is_failed for answer in outcome.answers] == [True, False, True]
    assert json.loads(outcome.answers[1].body) == ["b"]
    assert worker.run(asked[2]).answers[0].is_failed


def test_it_ends_when_the_front_is_gone_whatever_the_handler_does(
    start_worker: WorkerStarter, front: Front, tmp_path: Path
) -> None:
    worker = start_worker(OBEDIENT)
    started = tmp_path / "started"
    order = f"open({str(started)!r}, 'w'); time.sleep(600)"
    worker.send_batches([Request(order.encode())])
    eventually("the handler has started", started.exists)
    worker.close()
    assert front.wait_exit() == -signal.SIGKILL


def test_it_ends_when_the_front_is_gone_while_it_loads(
    front: Front, write_model: ModelWriter
) -> None:
    worker = front.start()
    worker.close()
    assert front.wait_exit() in (0, -signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_does_not_end_it(
    start_worker: WorkerStarter, front: Front, number: signal.Signals
) -> None:
    worker = start_worker(OBEDIENT)
    os.kill(front.processes[-1].pid, number)
    answer = worker.predict(b"pass")
    assert answer.body == str(front.processes[-1].pid).encode()


def test_programs_and_forks_of_the_handler_obey_signals_as_usual(
    start_worker: WorkerStarter,
) -> None:
    worker = start_worker(
        """
        import multiprocessing, os, signal, subprocess, sys, time
        def sleep():
            time.sleep(600)
        def handle(data, context):
            if data is None:
                return None
            program = subprocess.Popen(["sleep", "600"])
            fork = multiprocessing.get_context("fork").Process(target=sleep)
            fork.start()
            program.terminate()
            fork.terminate()
            fork.join(10)
            return [[program.wait(10), fork.exitcode]]
        """
    )
    assert json.loads(worker.predict().body) == [-signal.SIGTERM, -signal.SIGTERM]


def test_a_process_that_the_handler_forked_does_not_hold_its_connections(
    start_worker: WorkerStarter, front: Front, tmp_path: Path
) -> None:
    worker = start_worker(OBEDIENT)
    order = (
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    time.sleep(600)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(pid))\n"
    )
    worker.predict(order.encode())
    left = int((tmp_path / "pid").read_text())
    try:
        front.processes[-1].kill()
        assert worker.work.receive() is None
    finally:
        os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize("code", [0, 3])
def test_a_handler_that_exits_ends_the_worker_after_earlier_answers_are_out(
    start_worker: WorkerStarter, front: Front, code: int
) -> None:
    worker = start_worker(OBEDIENT)
    first, _ = worker.send_batches([Request(b"pass")], [Request(b"sys.exit(%d)" % code)])
    assert worker.read_outcome(first, 1).is_succeeded
    assert worker.work.receive() is None
    assert front.wait_exit() == code


def test_a_frame_that_does_not_belong_ends_the_worker_with_a_reason(
    start_worker: WorkerStarter, front: Front
) -> None:
    worker = start_worker(OK)
    worker.work.send(encode_frame(HEARTBEAT, 1))
    assert front.wait_exit() == 1
    assert "ProtocolError" in front.output()


def test_a_malformed_batch_ends_the_worker_with_a_reason(
    start_worker: WorkerStarter, front: Front
) -> None:
    worker = start_worker(OK)
    worker.work.send(encode_frame(BATCH, 1, b"too short"))
    assert front.wait_exit() == 1
    assert "ends within an item" in front.output()


def test_a_crash_in_native_code_leaves_a_python_traceback(
    start_worker: WorkerStarter, front: Front
) -> None:
    worker = start_worker(OBEDIENT)
    worker.send_batches([Request(b"import ctypes; ctypes.string_at(0)")])
    assert front.wait_exit() == -signal.SIGSEGV
    assert "Segmentation fault" in front.output()
    assert "service.py" in front.output()


def test_a_worker_of_one_function_is_small(start_worker: WorkerStarter, front: Front) -> None:
    worker = start_worker(OK)
    for _ in range(100):
        worker.run(*[Request(b"x" * 1024) for _ in range(8)])
    status = Path(f"/proc/{front.processes[-1].pid}/status").read_text()
    resident_kb = int(status.partition("VmRSS:")[2].split()[0])
    assert resident_kb < 25 * 1024


def test_little_is_imported_at_the_start(start_worker: WorkerStarter) -> None:
    worker = start_worker(
        "import sys\n"
        "def handle(data, context):\n"
        "    return [sorted(sys.modules)] if data else None\n"
    )
    modules = set(json.loads(worker.predict().body))
    assert not modules & {"asyncio", "argparse", "email", "subprocess", "unittest", "numpy"}
