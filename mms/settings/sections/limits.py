"""What requests and answers may take."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import COUNT, HEADER_NAME, NUMBER, POSITIVE, option

_LIMITS = "Limits"


@dataclass
class LimitOptions:
    """What requests and answers may take."""

    job_queue_size: int | None = option(
        POSITIVE,
        _LIMITS,
        "Requests that may wait for each model. Without it: 1,000, and job_queue_bytes.",
    )
    job_queue_bytes: int | None = option(
        COUNT,
        _LIMITS,
        "What the bodies of requests that wait for one model may hold together; more get 503. 0: no limit. Without it: "
        "268,435,456 (256 MiB), and no limit where job_queue_size is set.",
        unit="bytes",
        is_own=True,
    )
    request_timeout_s: float = option(
        NUMBER,
        _LIMITS,
        "Time for a request in queue and worker where its model's registration names none; 0: no limit.",
        "0",
        unit="seconds",
        is_own=True,
    )
    max_queue_time_ms: int = option(
        COUNT,
        _LIMITS,
        "Requests that would wait longer than this for a worker, or have done so, get 503 at once. 0: no limit.",
        "0",
        unit="milliseconds",
        is_own=True,
    )
    max_request_size: int = option(
        COUNT, _LIMITS, "Size of a request's body.", "6553500", unit="bytes"
    )
    grpc_max_request_size: int | None = option(
        POSITIVE,
        _LIMITS,
        "Size of a message that a gRPC client sends; most clients take no answer over 4 MiB by default. Without it: as "
        "`max_request_size`, and 4 MiB at least.",
        unit="bytes",
        is_own=True,
    )
    max_request_ratio: float = option(
        NUMBER,
        _LIMITS,
        "How many bytes a compressed body may have after decompression for each byte that was sent, if it has more "
        "than 1 MiB then; 0: no limit. max_request_size holds as well.",
        "100",
        is_own=True,
    )
    max_response_size: int = option(
        POSITIVE, _LIMITS, "Size of one answer of a handler.", "6553500", unit="bytes"
    )
    sequence_id_header: str = option(
        HEADER_NAME,
        _LIMITS,
        "The header that names the sequence of a request, where its model has sequences.",
        "ts_request_sequence_id",
        is_own=True,
    )
    sequence_start_header: str = option(
        HEADER_NAME,
        _LIMITS,
        "The header by which a handler finds that a request begins a sequence.",
        "ts_request_sequence_start",
        is_own=True,
    )
    sequence_end_header: str = option(
        HEADER_NAME,
        _LIMITS,
        "The header that ends a sequence: true in a request, or ids with ; between them in an answer.",
        "ts_request_sequence_end",
        is_own=True,
    )
