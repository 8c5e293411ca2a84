"""What a cell asks of a server, and what it sends to it. The words all peers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

WorkKind = Literal[
    "noop",
    "sleep",
    "busy",
    "digits",
    "classifier",
    "identity",
    "infer-class",
    "infer-handler",
    "infer-ensemble",
    "infer-child",
    "tensor-json",
    "tensor-binary",
    "tensor-grpc",
    "stream",
    "forest",
    "vision",
    "encoder",
    "photo",
]

# Raised alike wherever a server has such a limit: 1,000 connections must not be refused, nor 8 MiB bodies.
QUEUE_CAPACITY = 4096
BODY_LIMIT_BYTES = 16 * 1024 * 1024
REQUEST_TIMEOUT_S = 60
MODEL_NAME = "bench"
#: What `stream` answers each request with, and how many of them one after the other.
STREAM_PART = "fifteen letters\n"
STREAM_PARTS = 32


@dataclass(frozen=True)
class Work:
    """What the model does in one call, whatever the size of the batch."""

    kind: WorkKind = "noop"
    duration_ms: int = 0
    # Of `identity`, a Seldon component: rows of 64 numbers in a request.
    rows: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.duration_ms} ms" if self.duration_ms else self.kind


@dataclass(frozen=True)
class Deployment:
    """One server with one model (or many): everything that needs another start to change."""

    work: Work = field(default_factory=Work)
    batch_size: int = 1
    batch_delay_ms: int = 5
    workers: int = 1
    registered_models: int = 1
    # Only the first ones have workers and get traffic.
    used_models: int = 1
    # They are registered without workers, and loaded when they are asked for.
    on_demand: bool = False
    # What the server may hold with all models, where `on_demand`; 0: whatever it needs.
    memory_mib: int = 0
    # Options of our own server alone, as (key, value) of its properties file.
    options: tuple[tuple[str, str], ...] = ()

    def model_names(self) -> list[str]:
        if self.registered_models == 1:
            return [MODEL_NAME]
        return [f"{MODEL_NAME}{number:04}" for number in range(self.registered_models)]

    def used_model_names(self) -> list[str]:
        return self.model_names()[: self.used_models]


@dataclass(frozen=True)
class Load:
    connections: int = 64
    body_bytes: int = 1024
    transport: Literal["http", "grpc"] = "http"
    # Open besides, each after one request.
    idle_connections: int = 0
    # A turn takes as long at the least: where the first answers come late, a shorter one would count few or none.
    least_s: float = 0.0


@dataclass(frozen=True)
class PeerRequest:
    """A peer's spelling of one request. Several paths are asked in turn."""

    paths: tuple[str, ...]
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Call:
    """A unary call of gRPC. The message of a right answer holds `expected`."""

    path: str
    message: bytes
    expected: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
