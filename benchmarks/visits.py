"""One turn of one peer in one cell: what is done to the server, and which figures come of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from benchmarks import grpc_load
from benchmarks.cells import MILLION, Cell
from benchmarks.deployment import PeerRequest
from benchmarks.idle_connections import idle_connections
from benchmarks.load import Figures, drive
from benchmarks.machine import foreign_cores, memory_mib, read_usage
from benchmarks.seldon_requests import grpc_call
from benchmarks.server import Server
from benchmarks.tensor_requests import TENSORS, tensor_call

_SETTLING_S = 1.0
# A window of the run over a million requests: the first and the last are compared.
WINDOW_REQUESTS = 100_000
_SLICE_S = 1.0
SCALE_TO = 8


@dataclass(frozen=True)
class Timing:
    """How long is measured, in seconds."""

    duration_s: float = 4.0
    warm_up_s: float = 1.0
    # After a start, for compilers that learn while they run.
    first_warm_up_s: float = 4.0


class NotMeasured(Exception):
    """The server gave no answer in time, or another than the model's: its figures would mean nothing."""


def visit_with_load(server: Server, cell: Cell, timing: Timing, is_first: bool) -> dict[str, float]:
    """Check, warm up, measure, check. The server has to be running."""
    load = cell.load
    request = server.peer.request(cell.deployment, load.body_bytes)
    check(server, request)
    warm_up_s = timing.first_warm_up_s if is_first else timing.warm_up_s
    with idle_connections(server.site.port, request, load.idle_connections) as idle:
        _drive(server, cell, request, warm_up_s)
        with with_usage(server) as usage:
            figures = _drive(server, cell, request, max(timing.duration_s, load.least_s))
        lost = idle.lost()
    if figures.requests == 0:
        title = server.peer.title
        raise NotMeasured(f"{title} answered no request in {usage.wall_s:.0f} s of load")
    check(server, request)
    values = figure_values(figures)
    values["errors"] += lost
    values["foreign_cores"] = usage.foreign_cores
    return {**values, **processor_us(usage, figures.requests)}


@dataclass
class TurnUsage:
    """What a turn has cost: processor seconds of the server by role, and how many cores others kept busy."""

    wall_s: float = 0.0
    foreign_cores: float = 0.0
    by_role: dict[str, float] = field(default_factory=dict)


@contextmanager
def with_usage(server: Server) -> Iterator[TurnUsage]:
    """Measure what the server uses; the object has its values at the end."""
    usage = TurnUsage()
    before, started_at_s = read_usage(_with_roles(server)), time.monotonic()
    yield usage
    usage.wall_s = time.monotonic() - started_at_s
    after = read_usage(_with_roles(server))
    usage.foreign_cores = foreign_cores(before, after, usage.wall_s)
    usage.by_role = {
        role: seconds - before.by_role.get(role, 0.0) for role, seconds in after.by_role.items()
    }


def processor_us(usage: TurnUsage, requests: float) -> dict[str, float]:
    """Return the figures of the processor time for one of so many requests, by role."""
    return {
        f"processor_us_{role}": seconds / requests * 1e6
        for role, seconds in usage.by_role.items()
        if requests
    }


def _drive(server: Server, cell: Cell, request: PeerRequest, duration_s: float) -> Figures:
    site, connections = server.site, cell.load.connections
    if cell.load.transport == "grpc":
        work = cell.deployment.work
        call = tensor_call() if work.kind in TENSORS else grpc_call(work.rows)
        return grpc_load.drive(site.grpc_port, call, connections, duration_s, site.folder)
    return drive(site.port, request, connections, duration_s, site.folder)


def figure_values(figures: Figures) -> dict[str, float]:
    return {
        "requests_per_s": figures.requests_per_s,
        "p50_ms": figures.p50_us / 1000,
        "p90_ms": figures.p90_us / 1000,
        "p99_ms": figures.p99_us / 1000,
        "max_ms": figures.max_us / 1000,
        "requests": figures.requests,
        "received_bytes": figures.received_bytes,
        "errors": sum(figures.errors().values()),
    }


def visit_start(server: Server) -> dict[str, float]:
    """Measure from the command to the first right answer, then the memory of all its processes at rest."""
    server.start()
    start_s = time.monotonic() - server.started_at_s
    time.sleep(_SETTLING_S)
    processes = server.processes()
    rss, pss = memory_mib(processes)
    values = {"start_s": start_s, "rss_mib": rss, "pss_mib": pss, "processes": len(processes)}
    for role in {server.peer.role(process) for process in processes} - {"server"}:
        of_role = [process for process in processes if server.peer.role(process) == role]
        values[f"rss_mib_{role}"] = memory_mib(of_role)[0] / len(of_role)
    return values


def visit_scale(server: Server) -> dict[str, float]:
    """Measure from one worker to eight, until the server says that they run."""
    server.start()
    started_at_s = time.monotonic()
    server.peer.scale(SCALE_TO, server.site)
    scale_s = time.monotonic() - started_at_s
    check(server, server.peer.request(server.deployment, server.peer.check_body_bytes))
    return {"scale_s": scale_s}


def visit_million(
    server: Server, cell: Cell, on_progress: Callable[[int], None]
) -> dict[str, float]:
    """Measure the front's RSS after a million answers, against the first hundred thousand."""
    server.start()
    request = server.peer.request(cell.deployment, cell.load.body_bytes)
    readings: list[tuple[int, float]] = []
    answered = errors = 0
    while answered < MILLION:
        figures = drive(
            server.site.port, request, cell.load.connections, _SLICE_S, server.site.folder
        )
        answered += figures.requests
        errors += sum(figures.errors().values())
        readings.append((answered, _front_rss_mib(server)))
        on_progress(answered)
        if figures.requests == 0:
            raise NotMeasured(f"{server.peer.title} stopped answering after {answered} requests")
    check(server, request)
    return {**memory_growth(readings), "requests": answered, "errors": errors}


def memory_growth(readings: list[tuple[int, float]]) -> dict[str, float]:
    """Compare the ends of the windows of `readings`: (requests answered so far, RSS in MiB), in order."""
    total = readings[-1][0]
    first = next(rss for answered, rss in readings if answered >= min(WINDOW_REQUESTS, total))
    last = readings[-1][1]
    return {
        "first_mib": first,
        "last_mib": last,
        "growth_mib": last - first,
        "highest_mib": max(rss for _, rss in readings),
    }


def _front_rss_mib(server: Server) -> float:
    fronts = [
        process
        for process in server.processes()
        if server.peer.role(process) in ("front", "server")
    ]
    return memory_mib(fronts)[0]


def check(server: Server, request: PeerRequest) -> None:
    """Raise NotMeasured unless the server answers rightly."""
    if not server.answers_rightly(request):
        answer = server.try_ask(request)
        raise NotMeasured(f"{server.peer.title} gave a wrong answer: {answer}")


def _with_roles(server: Server) -> list[tuple[str, psutil.Process]]:
    pairs = []
    for process in server.processes():
        try:
            pairs.append((server.peer.role(process), process))
        except psutil.NoSuchProcess:
            continue
    return pairs
