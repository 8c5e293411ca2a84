"""Who may talk to the front, and what becomes of those who may not."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mms.launch import LaunchFailed, ProcessLauncher, WorkerSpec
from mms.launch.connection import Link
from mms.processes.exits import describe_exit
from mms.wire import (
    CALL,
    DRAIN,
    HEARTBEAT,
    HELLO,
    LOADED,
    METRIC,
    READINESS,
    RECORDS,
    RESULT,
    Hello,
    Load,
    Loaded,
    Metric,
    ProtocolError,
    Readiness,
    encode_frame,
)
from mms.wire.calls import decode_call
from mms.wire.messages import MAX_MESSAGE_BYTES


class Listener:
    def __init__(self) -> None:
        self.output: list[str] = []

    def on_result(self, *_: object) -> None:
        return

    def on_read(self) -> None:
        return

    def on_series(self, series: list[dict[str, Any]]) -> None:
        return

    def on_metrics(self, lines: list[str]) -> None:
        return

    def on_records(self, *_: object) -> None:
        raise AssertionError("no records were sent")

    def on_imported(self) -> None:
        return

    def on_readiness(self, *_: object) -> None:
        return

    def on_call(self, *_: object) -> None:
        return

    def on_output(self, stream: str, text: str) -> None:
        self.output.append(f"{stream}: {text}")


@pytest.fixture
async def launcher() -> AsyncIterator[ProcessLauncher]:
    with tempfile.TemporaryDirectory(prefix="mmsl-") as folder:
        launcher = ProcessLauncher(Path(folder), hello_timeout_s=5)
        await launcher.start()
        yield launcher
        await launcher.close()


def spec(runtime: str) -> WorkerSpec:
    return WorkerSpec("W", "key", runtime, Load("m", None, "/", "h"), dict(os.environ))


async def dial(launcher: ProcessLauncher, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(launcher.address.removeprefix("unix:"))
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        encode_frame(HELLO, 0, Hello("guessed").to_payload()),
        encode_frame(RESULT, 0, b""),
        encode_frame(HELLO, 0, b"x" * 100_000),
    ],
    ids=["no frame", "a wrong secret", "no hello", "a hello too large"],
)
async def test_a_stranger_is_hung_up_on(launcher, data):
    assert await dial(launcher, data) == b""


async def test_connections_that_say_nothing_do_not_pile_up_or_keep_workers_out(launcher):
    path = launcher.address.removeprefix("unix:")
    silent = [await asyncio.open_unix_connection(path) for _ in range(300)]
    # The oldest ones are hung up on.
    for reader, _ in silent[:44]:
        assert await asyncio.wait_for(reader.read(), 10) == b""
    link = await launcher.launch(spec("python"), Listener(), 30)
    assert not link.closed.done()
    assert not silent[-1][0].at_eof()
    link.kill("seen")
    for _, writer in silent:
        writer.close()


async def test_a_connection_that_says_nothing_is_hung_up_on_in_time():
    with tempfile.TemporaryDirectory(prefix="mmsl-") as folder:
        launcher = ProcessLauncher(Path(folder), hello_timeout_s=0.2)
        await launcher.start()
        assert await dial(launcher, b"") == b""
        await launcher.close()


async def test_what_a_worker_says_begins_no_line_of_its_own():
    link = Link("W", Load("m", None, "/", "h"), Listener(), 1 << 20)
    link.on_frame(LOADED, 0, Loaded(500, error="a\n2026-01-01 [ERROR] b").to_payload())
    assert link.loaded.result().error == "a\\n2026-01-01 [ERROR] b"


async def test_the_socket_is_its_owners_alone(launcher):
    mode = os.stat(launcher.address.removeprefix("unix:")).st_mode
    assert mode & 0o077 == 0


async def test_a_process_that_ends_before_it_is_up_is_told_with_its_exit_code(launcher, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho cannot go on >&2\nexit 7\n")
    broken.chmod(0o755)
    listener = Listener()
    with pytest.raises(LaunchFailed, match="worker ended before it was up: exit code 7"):
        await launcher.launch(spec(str(broken)), listener, 10)
    assert listener.output == ["stderr: cannot go on"]


async def test_a_process_that_never_says_hello_is_given_up_and_killed(launcher, tmp_path):
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\necho $$\nexec sleep 600\n")
    silent.chmod(0o755)
    listener = Listener()
    with pytest.raises(LaunchFailed, match="worker was not up within 0.5 seconds"):
        await launcher.launch(spec(str(silent)), listener, 0.5)
    await launcher.close()
    pid = int(listener.output[0].removeprefix("stdout: "))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_an_endless_line_is_passed_on_in_pieces(launcher, tmp_path):
    talker = tmp_path / "python"
    talker.write_text("#!/bin/sh\nhead -c 100000 /dev/zero | tr '\\0' x\nexit 0\n")
    talker.chmod(0o755)
    listener = Listener()
    with pytest.raises(LaunchFailed):
        await launcher.launch(spec(str(talker)), listener, 10)
    pieces = [line.removeprefix("stdout: ") for line in listener.output]
    assert "".join(pieces) == "x" * 100_000
    assert max(map(len, pieces)) <= 32 * 1024


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99"), (None, "ended")],
)
def test_an_exit_is_told_in_words(code, words):
    assert describe_exit(code) == words


class Transport:
    """What a link uses of one."""

    is_reading = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def is_closing(self) -> bool:
        return False


async def test_no_more_is_read_of_a_worker_that_reads_nothing() -> None:
    """Else answers to its calls of other models would pile up here."""
    link = Link("W", Load("m", None, "/", "h"), Listener(), 1 << 20)
    work, control = Transport(), Transport()
    for role, transport in (("work", work), ("control", control)):
        assert link.on_connected(role, None, transport)  # type: ignore[arg-type]  # what is used of one
    link.on_behind(True)
    assert not work.is_reading
    assert not control.is_reading
    link.on_behind(False)
    assert work.is_reading
    assert control.is_reading


async def test_a_frame_of_thousands_of_metrics_is_passed_on_in_several_turns() -> None:
    class SlowListener(Listener):
        def on_metrics(self, lines: list[str]) -> None:
            until = time.monotonic() + 0.001 * len(lines)
            while time.monotonic() < until:
                continue
            self.output += lines

    listener = SlowListener()
    link = Link("W", Load("m", None, "/", "h"), listener, 1 << 20)
    work = Transport()
    assert link.on_connected("work", None, work)  # type: ignore[arg-type]  # what is used of one
    lines = [str(n) for n in range(300)]
    link.on_frame(METRIC, 0, Metric(lines).to_payload())
    assert len(listener.output) < 100
    while not work.is_reading:
        await asyncio.sleep(0.001)
    assert listener.output == lines


#: What a worker may say at once, at most, and what it may not say at all.
_REFUSED = {
    "a message that is too large": (METRIC, Metric(["x" * MAX_MESSAGE_BYTES]).to_payload()),
    "nested lists": (METRIC, b'{"lines":[],"series":[' + b"[]," * (1 << 20) + b"[]]}"),
    "series of nothing": (METRIC, b'{"lines":[],"series":[' + b"{}," * (1 << 20) + b"{}]}"),
    "a frame that is the front's": (DRAIN, b""),
    "a frame that nobody knows": (77, b""),
    "empty records": (RECORDS, b"\n" * 1_000_000),
    "a call's head": (CALL, (1 << 20).to_bytes(4, "big") + b"[" * (1 << 20)),
}


class CallListener(Listener):
    def on_call(self, sequence: int, payload: bytes) -> None:
        decode_call(payload)


@pytest.mark.parametrize("what", _REFUSED)
async def test_what_no_worker_sends_is_refused_before_it_is_read(what: str) -> None:
    link = Link("W", Load("m", None, "/", "h"), CallListener(), 1 << 30)
    began = time.process_time()
    with pytest.raises(ProtocolError):
        link.on_frame(*(_REFUSED[what][0], 0, _REFUSED[what][1]))
    assert time.process_time() - began < 0.02


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (HEARTBEAT, b""),
        (METRIC, Metric([], [{}] * 80).to_payload()),
        (READINESS, Readiness(True).to_payload()),
    ],
)
async def test_a_flood_of_frames_leaves_the_loop_to_others_and_is_taken_in_its_order(
    kind: int, payload: bytes
) -> None:
    taken = []

    class SlowLink(Link):
        def _take_frame(self, kind: int, sequence: int, payload: bytes | bytearray) -> None:
            until = time.monotonic() + 0.001
            while time.monotonic() < until:
                continue
            super()._take_frame(kind, sequence, payload)
            taken.append(sequence)

    link = SlowLink("W", Load("m", None, "/", "h"), Listener(), 1 << 20)
    work = Transport()
    assert link.on_connected("work", None, work)  # type: ignore[arg-type]  # what is used of one
    count = 150
    for sequence in range(count):
        link.on_frame(kind, sequence, payload)
    assert not work.is_reading
    assert len(taken) < 50
    while not work.is_reading:
        await asyncio.sleep(0.001)
    assert taken == list(range(count))


async def test_a_waiting_frame_that_no_worker_sends_ends_that_worker() -> None:
    class SlowLink(Link):
        def _take_frame(self, kind: int, sequence: int, payload: bytes | bytearray) -> None:
            until = time.monotonic() + 0.2
            while kind == HEARTBEAT and time.monotonic() < until:
                continue
            super()._take_frame(kind, sequence, payload)

    link = SlowLink("W", Load("m", None, "/", "h"), Listener(), 1 << 20)
    link.on_frame(HEARTBEAT, 0, b"")
    link.on_frame(HEARTBEAT, 0, b"")
    link.on_frame(DRAIN, 0, b"")
    assert "drain frame, which no worker sends" in await asyncio.wait_for(link.closed, 20)


async def test_a_load_that_has_no_time_fails_though_the_front_looks_late() -> None:
    link = Link("W", Load("m", None, "/", "h"), Listener(), 1 << 20)
    link.loaded.set_result(Loaded(200))
    with pytest.raises(LaunchFailed, match="did not load within 0 seconds"):
        await link.load(1e-9)
