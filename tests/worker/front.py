"""A front that speaks the wire to real worker processes, with plain blocking sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from support.batches import WithHead, encode_batch

from mms.processes.messages import MessageReader, encode_message
from mms.wire import (
    BYE,
    CANCEL,
    DRAIN,
    FAILED,
    HEARTBEAT,
    HELLO,
    IMPORTED,
    LAST,
    LOAD,
    LOADED,
    METRIC,
    RESULT,
    ROLE_CONTROL,
    ROLE_LIFELINE,
    SUCCEEDED,
    UNFILLED,
    Buffer,
    Cancel,
    Frame,
    FrameDecoder,
    Hello,
    Load,
    Loaded,
    Metric,
    ModelOperation,
    decode_result,
    encode_frame,
)

ROOT = Path(__file__).resolve().parents[2]
#: Until a test gives up on a worker.
DEADLINE_S = 20.0


@dataclass
class Request(WithHead):
    """What a client sent."""

    body: Buffer = b""
    content_type: bytes = b""
    query: bytes = b""
    headers: bytes = b""
    passes_query: bool = False
    id: bytes = b""
    deadline: float = 0.0
    operation: ModelOperation | None = None


@dataclass
class Answer:
    """What a client would get. `type_name` is that of an error, "" for the default one."""

    status: int
    body: bytes
    headers: str = ""
    phrase: str = ""
    is_failed: bool = False
    type_name: str = ""


@dataclass
class BatchOutcome:
    answers: list[Answer]
    is_succeeded: bool
    metrics: list[str] = field(default_factory=list)
    entry_point_ns: int = 0


class Connection:
    """One accepted connection, read by frames."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.settimeout(DEADLINE_S)
        self.socket = accepted
        self._decoder = FrameDecoder(1 << 40)
        self._frames: list[Frame] = []

    def receive(self) -> Frame | None:
        """The next frame; None at the end of the connection."""
        while not self._frames:
            try:
                size = self.socket.recv_into(self._decoder.get_buffer())
            except ConnectionResetError:
                return None
            if not size:
                return None
            self._frames += self._decoder.received(size)
        return self._frames.pop(0)

    def peer_pid(self) -> int:
        credentials = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", credentials)[0])

    def expect(self, kind: int) -> Frame:
        frame = self.receive()
        assert frame is not None, "the worker closed the connection"
        assert frame[0] == kind, frame
        return frame

    def send(self, *buffers: Any) -> None:
        self.socket.sendall(b"".join(bytes(buffer) for buffer in buffers))


class Worker:
    """A worker as the front sees it."""

    def __init__(self, work: Connection, control: Connection | None, hello: Hello) -> None:
        self.work = work
        self.control = control
        self.hello = hello
        self.loaded: Loaded | None = None
        self.load_metrics: list[str] = []
        #: It has said that the code of its model is imported.
        self.has_imported = False
        self.lifeline: Connection | None = None
        #: Of a parent: where it is asked for forks. Of a fork: what it writes to standard output and error.
        self.channel: socket.socket | None = None
        self.outputs: tuple[BinaryIO, BinaryIO] | None = None
        self._sequence = 0

    @property
    def pid(self) -> int:
        """As the kernel tells."""
        return self.work.peer_pid()

    def load(self, **members: Any) -> Loaded:
        self.work.send(encode_frame(LOAD, 0, Load(**members).to_payload()))
        return self.wait_loaded()

    def wait_loaded(self) -> Loaded:
        while True:
            frame = self.work.receive()
            assert frame is not None, "the worker ended while it loaded"
            if frame[0] == METRIC:
                self.load_metrics += Metric.from_payload(frame[2]).lines
                continue
            if frame[0] == IMPORTED:
                self.has_imported = True
                continue
            assert frame[0] == LOADED, frame
            self.loaded = Loaded.from_payload(frame[2])
            return self.loaded

    def send_batches(self, *batches: Sequence[Request]) -> list[int]:
        """Several batches in one write; returns their sequences."""
        buffers = []
        sequences = []
        for batch in batches:
            self._sequence += 1
            sequences.append(self._sequence)
            for index, request in enumerate(batch):
                request.id = request.id or b"%018d%018d" % (self._sequence, index)
            buffers += encode_batch(self._sequence, batch, 0.0)
        self.work.send(*buffers)
        return sequences

    def read_outcome(self, sequence: int, count: int) -> BatchOutcome:
        answers: dict[int, Answer] = {}
        metrics: list[str] = []
        while True:
            frame = self.work.receive()
            assert frame is not None, "the worker ended"
            kind, its_sequence, payload, attachments = frame
            if kind == METRIC:
                metrics += Metric.from_payload(payload).lines
                continue
            assert (kind, its_sequence) == (RESULT, sequence)
            flags, entry_point_ns, items = decode_result(payload, attachments)
            if flags & UNFILLED:
                self.size_problem = bytes(items.pop()[5]).decode()
            for index, item_flags, status, phrase, headers, body in items:
                assert index not in answers
                is_failed = bool(item_flags & FAILED)
                text = phrase.decode("latin-1")
                answers[index] = Answer(
                    status,
                    bytes(body),
                    headers.decode("latin-1"),
                    "" if is_failed else text,
                    is_failed,
                    text if is_failed else "",
                )
            if flags & LAST:
                assert sorted(answers) == list(range(count))
                ordered = [answers[index] for index in range(count)]
                return BatchOutcome(ordered, bool(flags & SUCCEEDED), metrics, entry_point_ns)

    def run(self, *requests: Request) -> BatchOutcome:
        (sequence,) = self.send_batches(requests)
        return self.read_outcome(sequence, len(requests))

    def predict(self, body: bytes = b"", content_type: bytes = b"", **members: Any) -> Answer:
        return self.run(Request(body, content_type, **members)).answers[0]

    def cancel(self, *request_ids: bytes) -> None:
        assert self.control is not None
        message = Cancel([request_id.decode() for request_id in request_ids])
        self.control.send(encode_frame(CANCEL, 0, message.to_payload()))

    def heartbeat(self, sequence: int, payload: bytes) -> Frame:
        assert self.control is not None
        self.control.send(encode_frame(HEARTBEAT, sequence, payload))
        return self.control.expect(HEARTBEAT)

    def drain(self) -> None:
        self.work.send(encode_frame(DRAIN, 0))
        self.work.expect(BYE)

    def close(self) -> None:
        for connection in (self.work, self.control, self.lifeline):
            if connection is not None:
                connection.socket.close()
        for open_end in (self.channel, *(self.outputs or ())):
            if open_end is not None:
                open_end.close()


class ForkServer:
    """Forks workers as a front's do by default: most of a worker's start is to import what is imported here once."""

    def __init__(self) -> None:
        self._channel, its_end = socket.socketpair()
        self._channel.settimeout(DEADLINE_S)
        command = [sys.executable, "-m", "mms.worker", "--fork-server", "--name", "W-forks"]
        with its_end:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=_environment(), stdin=its_end, start_new_session=True
            )
        modules = [
            "numpy",
            "mms.interfaces.seldon.worker.interface",
            "mms.interfaces.legacy.worker",
        ]
        first = {"environment": {}, "user": None, "packages": None, "learned": [], "most_bytes": 0}
        self._channel.sendall(encode_message({**first, "modules": modules}))
        assert not self._ready(MessageReader(self._channel))["failed"]

    @staticmethod
    def _ready(reader: MessageReader) -> Any:
        """Wait for what it says once it has imported its modules, each of which it names first."""
        while (messages := reader.receive()) is not None:
            for message in messages:
                if "importing" not in message:
                    return message["ready"]
        raise AssertionError("the fork server has ended")

    def fork(self, address: str, secret: str, variables: dict[str, str]) -> None:
        command = [sys.executable, "-c", "", str(ROOT), "mms.worker", "--connect", address]
        asked = {"fork": 1, "descriptors": 2, "is_parent": False, "folders": []}
        asked |= {"command": [*command, "--name", "W-test"]}
        asked |= {"variables": {"MMS_WORKER_SECRET": secret, **variables}}
        with open(os.devnull, "wb") as nowhere:
            socket.send_fds(self._channel, [encode_message(asked)], [nowhere.fileno(), 2])

    def close(self) -> None:
        self._channel.close()
        self._process.wait(DEADLINE_S)


def _environment() -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return environment | {"PYTHONPATH": str(ROOT)}


class Front:
    """Starts workers and listens to them. `output` of a process is complete once it has ended."""

    def __init__(self, folder: Path, fork_server: Callable[[], ForkServer]) -> None:
        self._fork_server = fork_server
        self.address = f"unix:{folder / 'front.sock'}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[Worker] = []
        self._forked: list[int] = []
        self._lifelines: dict[str, Connection] = {}
        self._output: dict[int, bytearray] = {}
        self._readers: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "front.sock"))
        self._listener.listen()
        self._listener.settimeout(DEADLINE_S)

    def spawn(
        self,
        *options: str,
        secret: str = "secret",
        stdin: int | socket.socket = subprocess.DEVNULL,
        **variables: str,
    ) -> subprocess.Popen[bytes]:
        environment = {**_environment(), "MMS_WORKER_SECRET": secret, **variables}
        command = [sys.executable, "-m", "mms.worker", "--connect", self.address]
        process = subprocess.Popen(
            [*command, "--name", "W-test", *options],
            cwd=ROOT,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        output = self._output[process.pid] = bytearray()
        stream = process.stdout
        assert stream is not None
        reader = threading.Thread(target=lambda: output.extend(stream.read()))
        reader.start()
        self._readers.append(reader)
        return process

    def accept(self) -> tuple[Connection, Hello]:
        """The next connection that is no lifeline."""
        while True:
            accepted, _ = self._listener.accept()
            connection = Connection(accepted)
            hello = Hello.from_payload(connection.expect(HELLO)[2])
            if hello.role != ROLE_LIFELINE:
                return connection, hello
            self._lifelines[hello.secret] = connection

    def accept_worker(self) -> Worker:
        """A worker that dials in by its two connections."""
        found = [self.accept() for _ in range(2)]
        by_role = {hello.role: connection for connection, hello in found}
        control = by_role.pop(ROLE_CONTROL)
        (work,) = by_role.values()
        assert found[0][1].secret == found[1][1].secret
        hello = next(hello for _, hello in found if hello.role != ROLE_CONTROL)
        worker = Worker(work, control, hello)
        worker.lifeline = self._lifelines.pop(hello.secret, None)
        self.workers.append(worker)
        return worker

    def start(self, **variables: str) -> Worker:
        """A process of its own, whose output and exit code are kept."""
        self.spawn(**variables)
        return self.accept_worker()

    def start_forked(self, **variables: str) -> Worker:
        """What most workers are: quicker to start."""
        self._fork_server().fork(self.address, "secret", variables)
        worker = self.accept_worker()
        self._forked.append(worker.pid)
        return worker

    def start_parent(self) -> Worker:
        channel, its_end = socket.socketpair()
        with its_end:
            self.spawn("--parent", stdin=its_end)
        connection, hello = self.accept()
        parent = Worker(connection, None, hello)
        parent.channel = channel
        parent.lifeline = self._lifelines.pop(hello.secret, None)
        self.workers.append(parent)
        return parent

    def fork(self, parent: Worker, secret: str, gpu_id: int | None = None) -> Worker:
        assert parent.channel is not None
        pipes = [os.pipe() for _ in range(2)]
        asked = {"fork": 1, "descriptors": 2, "is_parent": False, "secret": secret}
        asked |= {"gpu_id": gpu_id, "command": [sys.executable, "-c", "", "", "mms.worker"]}
        socket.send_fds(parent.channel, [encode_message(asked)], [sink for _, sink in pipes])
        for _, sink in pipes:
            os.close(sink)
        worker = self.accept_worker()
        worker.outputs = os.fdopen(pipes[0][0], "rb"), os.fdopen(pipes[1][0], "rb")
        assert worker.hello.secret == secret
        worker.wait_loaded()
        return worker

    def wait_exit(self, process: subprocess.Popen[bytes] | None = None) -> int:
        return (process or self.processes[-1]).wait(DEADLINE_S)

    def output(self, process: subprocess.Popen[bytes] | None = None) -> str:
        """All that a process wrote; it has to have ended."""
        self.wait_exit(process)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return self._output[(process or self.processes[-1]).pid].decode()

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self._listener.close()
        for pid in self._forked:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        for process in self.processes:
            # Also what a handler started and left behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        for process in self.processes:
            if process.stdout is not None:
                process.stdout.close()
