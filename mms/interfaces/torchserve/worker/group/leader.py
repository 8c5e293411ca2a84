"""The worker's side of a group: it starts torchrun, gives each batch to the processes, and answers as the first one."""

from __future__ import annotations

import atexit
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from mms.context import Context
from mms.interfaces.torchserve.metrics.emitted import EMITTED
from mms.interfaces.torchserve.worker.group.messages import (
    ADDRESS_VARIABLE,
    GroupAnswer,
    GroupBatch,
)
from mms.interfaces.torchserve.worker.group.options import GroupOptions
from mms.service import PredictionException
from mms.wire import Load
from mms.worker.log_records.log_lines import write_log

_RANK_MODULE = "mms.interfaces.torchserve.worker.group.rank"
#: How often a start looks whether torchrun has ended, in seconds.
_LOOK_S = 0.5
#: How long the first process may go on when another one has failed, which it may wait for in vain.
_GRACE_S = 10.0


class Group:
    """The processes of one model. Ends with this process, or when one of them does."""

    def __init__(self, options: GroupOptions, load: Load) -> None:
        """Start them and have each load the model. Raises ValueError without torch, RuntimeError for a failed load."""
        if importlib.util.find_spec("torch") is None:
            raise ValueError("model-config.yaml has torchrun, and torch is not installed here")
        self._options = options
        self._pid = os.getpid()
        # For this user alone, and gone once all have come.
        with (
            tempfile.TemporaryDirectory(prefix="mms-group-") as folder,
            socket.socket(socket.AF_UNIX) as listener,
        ):
            address = os.path.join(folder, "s")
            listener.bind(address)
            listener.listen(options.size)
            listener.settimeout(_LOOK_S)
            self._process = _start(options, address)
            atexit.register(self._process.terminate)
            self._connections = self._accept(listener)
        for connection in self._connections:
            connection.send_bytes(load.to_payload())
        for rank, answer in self._answers(self._connections).items():
            for metric in answer.metrics:
                EMITTED.add(metric)
            if answer.failure:
                raise RuntimeError(f"process {rank} of the group did not load:\n{answer.failure}")

    def __repr__(self) -> str:
        return f"<Group of {self._options.size}>"

    def handle(self, data: list[dict[str, Any]], context: Context) -> Any:
        """Return what the entry point of the first process does. Raises what it has raised, as the worker knows it."""
        if os.getpid() != self._pid:
            raise RuntimeError(
                "forks share no group: a model with torchrun needs preload_model=false"
            )
        batch = GroupBatch(
            list(context._ids), list(context._types), list(map(bytes, context._blocks)), data
        )
        asked = self._connections[:1] if self._options.is_pipeline else self._connections
        try:
            for connection in asked:
                connection.send(batch)
        except OSError as error:
            self._end(f"a process is gone: {error}")
        answer = self._answers(asked)[0]
        for metric in answer.metrics:
            EMITTED.add(metric)
        if answer.failure or answer.kind:
            raise _exception(answer)
        for processor, head in zip(
            (context.request_processor or ()) if answer.heads else (),
            answer.heads or (),
            strict=False,
        ):
            status, phrase, headers = head
            processor.report_status(status, phrase)
            for name, value in headers.items():
                processor.add_response_property(name, value)
        return answer.values

    def _accept(self, listener: socket.socket) -> list[Connection]:
        found: dict[int, Connection] = {}
        while len(found) < self._options.size:
            try:
                accepted, _ = listener.accept()
            except TimeoutError:
                if self._process.poll() is not None:
                    raise RuntimeError(
                        f"torchrun has ended with exit code {self._process.returncode}; its output is in the log"
                    ) from None
                continue
            accepted.setblocking(True)
            connection = Connection(accepted.detach())
            found[connection.recv()] = connection
        return [found[rank] for rank in sorted(found)]

    def _answers(self, asked: list[Connection]) -> dict[int, GroupAnswer]:
        """Return the answer of each process, by its place. Ends this process where one of them is gone."""
        answers: dict[int, GroupAnswer] = {}
        waiting = {connection: rank for rank, connection in enumerate(asked)}
        has_failed = False
        while waiting:
            ready = wait(list(waiting), _GRACE_S if has_failed else None)
            if not ready:
                self._end("a process has failed, and others wait for it")
            for connection in ready:
                assert isinstance(connection, Connection)
                rank = waiting.pop(connection)
                try:
                    answers[rank] = answer = connection.recv()
                except (EOFError, OSError):
                    self._end(f"process {rank} is gone")
                if answer.failure and rank:
                    write_log(f"Process {rank} of the group failed:\n{answer.failure}\n")
                has_failed = has_failed or bool(answer.failure)
        return answers

    def _end(self, why: str) -> NoReturn:
        """End this process, so that a new worker starts a new group."""
        write_log(f"The group of processes has ended: {why}.\n")
        self._process.terminate()
        raise SystemExit(1)


def _start(options: GroupOptions, address: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1"),
        *(f"--nproc-per-node={options.size}", "--max-restarts=0"),
        *(f"--monitor-interval={options.monitor_interval_s}", "-m", _RANK_MODULE),
    ]
    environment = {
        **os.environ,
        ADDRESS_VARIABLE: address,
        "OMP_NUM_THREADS": str(options.threads),
        # What this process imports, torchrun and the processes can: the model's own files they find by themselves.
        "PYTHONPATH": os.pathsep.join(_import_path()),
    }
    # Not in the model's folder, whose files would take the places of Python's own modules.
    return subprocess.Popen(command, env=environment, cwd="/", stdin=subprocess.DEVNULL)


def _import_path() -> list[str]:
    model_dir = os.getcwd()
    return [
        entry
        for entry in sys.path
        if entry and os.path.isabs(entry) and not entry.startswith(model_dir)
    ]


def _exception(answer: GroupAnswer) -> Exception:
    if answer.kind == "PredictionException":
        return PredictionException(answer.failure, answer.code)
    if answer.kind == "MemoryError":
        return MemoryError(answer.failure)
    return RuntimeError(answer.failure)
