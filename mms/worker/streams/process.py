"""The streams of this process, for models that answer items themselves."""

from __future__ import annotations

from mms.worker.streams.pump import StreamPump

_pump: StreamPump | None = None


def serve_streams(pump: StreamPump) -> None:
    """Have models open their streams in it from now on."""
    global _pump
    _pump = pump


def streams_of_process() -> StreamPump | None:
    """Return what has them; None where the process does not serve."""
    return _pump
