"""Where the server listens, and what its connections may take."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import (
    FRONTS,
    GRPC_ADDRESS,
    INFERENCE_ADDRESS,
    MANAGEMENT_ADDRESS,
    NUMBER,
    POSITIVE,
    POSITIVE_NUMBER,
    SWITCH,
    option,
)
from mms.text.address import Address

_LISTENERS = "Listeners"


@dataclass
class ListenerOptions:
    """Where the server listens, and what its connections may take."""

    inference_address: Address = option(
        INFERENCE_ADDRESS, _LISTENERS, "Where the inference API listens.", "http://127.0.0.1:8080"
    )
    management_address: Address = option(
        MANAGEMENT_ADDRESS,
        _LISTENERS,
        "Where the management API listens; the same address as the inference API's makes one listener for both.",
        "http://127.0.0.1:8081",
    )
    grpc_address: Address | None = option(
        GRPC_ADDRESS,
        _LISTENERS,
        "Where gRPC listens; needs the extra `grpc`. Without it there is no gRPC.",
        is_own=True,
    )
    lane: bool = option(
        SWITCH,
        _LISTENERS,
        "The fast path for predictions; it changes only the speed.",
        "on",
        is_own=True,
    )
    fronts: int = option(
        FRONTS,
        _LISTENERS,
        "Processes that hold the connections of clients who ask models, over HTTP and gRPC: they read, write and do "
        "TLS for the server's own process, which does all else. 0: it holds them itself. auto: one for each four CPUs "
        "that the server may use.",
        "0",
        is_own=True,
    )
    keep_alive_timeout_s: float = option(
        NUMBER,
        _LISTENERS,
        "A connection without a request is closed after this time; 0: after each answer.",
        "75",
        unit="seconds",
        is_own=True,
    )
    head_timeout_s: float = option(
        POSITIVE_NUMBER,
        _LISTENERS,
        "Time for a request's line and headers, from their first byte.",
        "30",
        unit="seconds",
        is_own=True,
    )
    body_timeout_s: float = option(
        POSITIVE_NUMBER,
        _LISTENERS,
        "Time for a request's body, besides a second for each 16 KiB that have come.",
        "60",
        unit="seconds",
        is_own=True,
    )
    max_connections: int = option(
        POSITIVE,
        _LISTENERS,
        "Open connections of all listeners; more are closed at once.",
        "20000",
        is_own=True,
    )
    max_connection_memory: int = option(
        POSITIVE,
        _LISTENERS,
        "What a connection may hold in memory, of requests and of answers that its client has not taken, before no "
        "more of it is read. One request with its answer may always be larger.",
        str(32 * 2**20),
        unit="bytes",
        is_own=True,
    )
    max_buffered_memory: int = option(
        POSITIVE,
        _LISTENERS,
        "What all connections may hold together. Beyond it the server reads no more of what they have begun until some "
        "of it is free, but for one of them at a time.",
        str(512 * 2**20),
        unit="bytes",
        is_own=True,
    )
