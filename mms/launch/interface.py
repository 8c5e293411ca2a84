"""What starts workers, and what a started worker is to the rest of the front.

A worker is reached by frames alone: nothing here depends on where its process runs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from mms.core import Batch
from mms.wire import Load, Loaded, Readiness

#: How a process has ended that the kernel has killed for want of memory.
OUT_OF_MEMORY: Final = (
    "out of memory: the OOM killer has ended it, as the memory of the server's cgroup is used up"
)


@dataclass(slots=True)
class WorkerSpec:
    """What a worker's process is to be."""

    name: str
    #: Names the model version; workers of one key with `preload` are forked from one loaded process.
    key: str
    runtime: str
    load: Load
    environment: dict[str, str] = field(default_factory=dict)
    #: Names of those variables that only this model's workers have. All others are there before anything is imported.
    own_variables: frozenset[str] = frozenset()
    #: Whether its runtime or its folder of packages were made for this model's requirements.
    has_own_packages: bool = False
    preload: bool = False
    #: The parameters of its model that no running process takes over, by their names.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    load_timeout_s: float = 7200.0
    #: Where it runs: `process`, beside the front, or `ray`, where Ray finds a node for it.
    launcher: str = "process"
    #: What its node has to have, as `ray_resources` says it, and how Ray makes its surroundings.
    resources: Mapping[str, Any] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    #: Which nodes Ray takes of those that have room: `pack` or `spread`.
    strategy: str = "pack"
    #: Patterns for names of variables of its node that it gets, and gets not; None: all, and none.
    allowed_variables: re.Pattern[str] | None = None
    hidden_variables: re.Pattern[str] | None = None
    #: Bytes of the largest frame that is believed.
    max_frame_bytes: int = 1 << 30


class LinkListener(Protocol):
    """Told what comes from a worker, on the event loop."""

    def on_result(
        self,
        sequence: int,
        payload: bytes | bytearray,
        attachments: Sequence[bytes | bytearray],
    ) -> None:
        """Take a RESULT frame. Raises ProtocolError where it cannot be; the connection is closed then."""

    def on_chunks(
        self, payload: bytes | bytearray, attachments: Sequence[bytes | bytearray]
    ) -> None:
        """Take a CHUNK frame. Raises ProtocolError where it cannot be."""

    def on_read(self) -> None:
        """All frames of one read have been passed on."""

    def on_metrics(self, lines: list[str]) -> None:
        """Take metrics of the handler, as lines."""

    def on_series(self, series: list[dict[str, Any]]) -> None:
        """Take updates of Prometheus series, as `Metric.series`."""

    def on_imported(self) -> None:
        """Learn that the model's code has been imported, and the model loads now."""

    def on_readiness(self, readiness: Readiness) -> None:
        """Learn how a load ended that went on after LOADED. It may come before that, on the other connection."""

    def on_call(self, sequence: int, payload: bytes | bytearray) -> None:
        """Take a CALL frame: the worker asks another model. Raises ProtocolError where it cannot be."""

    def on_records(self, stream: int, records: list[bytes]) -> None:
        """Take a RECORDS frame: JSON texts for one of the model's streams, as `mms.wire.records` numbers them."""

    def on_output(self, stream: str, text: str) -> None:
        """Take a line that the worker wrote to `stdout` or `stderr`."""

    def on_waiting(self, reason: str) -> None:
        """Learn what the start of the process waits for, in words; empty: for nothing any more."""


class WorkerLink(Protocol):
    """A started worker."""

    #: On this machine; 0: it is not there.
    pid: int
    #: The node that it runs on; empty: this machine.
    node: str
    #: What its process holds, as its node says; 0 where this machine can see.
    memory_bytes: int
    #: Done with the reason when the worker can no longer be reached.
    closed: asyncio.Future[str]

    @property
    def is_oom_killed(self) -> bool:
        """Whether the kernel has killed it for want of memory."""

    async def load(self, timeout_s: float) -> Loaded:
        """Have the model loaded. Raises LaunchFailed where the worker ends or the time does."""

    async def end_reason(self) -> str:
        """Return why it can no longer be reached, in words for people; returns once that is so."""

    def send(self, batches: Sequence[Batch], now: float) -> None:
        """Send batches. Raises Unsendable where a request does not fit into a frame; nothing was sent then."""

    def cancel(self, request_ids: list[str]) -> None: ...

    def answer_call(self, frame: bytes) -> None:
        """Send a CALLED frame."""

    def ask_for_answers(self) -> None:
        """Have it send what it has answered and holds back for one write."""

    def grant(self, number: int, more_bytes: int) -> None:
        """Give a stream more credit, in bytes; 0: have it end."""

    def drain(self) -> None:
        """Have it finish what it was sent, and end."""

    def kill(self, reason: str) -> None:
        """End its process and all that it started, at once."""


class Launcher(Protocol):
    """Starts workers."""

    async def launch(
        self, spec: WorkerSpec, listener: LinkListener, timeout_s: float
    ) -> WorkerLink:
        """Start a process; return when it can be reached, its model not yet loaded. Raises LaunchFailed."""

    def process_ids(self) -> list[int]:
        """Return the processes that it keeps to make workers of many models from."""

    async def forget(self, key: str) -> None:
        """End what is kept to fork workers of this key from: no more of them come."""

    async def close(self) -> None:
        """End everything that was started."""


class Unsendable(Exception):
    """A batch that no frame can carry."""


class LaunchFailed(Exception):
    """A worker could not be started or did not come up. The message is one line for people.

    `code`: 507 where memory was short, else 500.
    """

    def __init__(self, message: str, code: int = 500) -> None:
        super().__init__(message)
        self.code = code


def server_home() -> Path:
    """Return the folder that contains the `mms` package."""
    return Path(__file__).resolve().parents[2]
