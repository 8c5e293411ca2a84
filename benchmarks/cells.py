"""The matrix: every cell by name, with the deployment and load it needs.

Cells of one group are measured in the same rounds, so their figures can be set against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Literal

from benchmarks.deployment import STREAM_PART, STREAM_PARTS, Deployment, Load, Work, WorkKind

KIB = 1024
MIB = 1024 * 1024
# Peers whose figures are far below the others' are only asked in the cells that matter most.
FAST = ("ours", "mms", "torchserve", "triton", "mosec")
ARCHIVES = ("ours", "mms", "torchserve")
ALL = ("*",)
QUIET_OPTIONS = (("access_log", "false"), ("metrics", "false"), ("log_to_stdout", "false"))
MILLION = 1_000_000

ON_DEMAND = ("ours", "mms", "torchserve", "mlserver")

Kind = Literal["load", "start", "scale", "million", "cold", "memory", "traffic", "goals"]
#: What p99 is to keep to where real models are loaded, in milliseconds.
GOALS_MS = (50, 200)
#: Where `./scripts/bench --goals` looks: the groups of real models.
GOALS_PATTERN = "real model: *"
#: Batch sizes of the fixed policy that the adaptive one is held against.
FIXED_SIZES = (1, 8, 32)
REAL_MODELS: tuple[tuple[WorkKind, str], ...] = (
    ("forest", "forest of 100 trees (scikit-learn)"),
    ("vision", "image network (ONNX, 64 x 64)"),
    ("encoder", "text encoder (ONNX, 4 to 128 tokens)"),
    ("photo", "photographs (JPEG decoded by Pillow, ONNX)"),
)


@dataclass(frozen=True)
class Traffic:
    """Requests that do not wait for each other's answers, to models whose popularity falls with their rank."""

    requests_per_s: float
    duration_s: float
    # Of Zipf's law.
    exponent: float = 1.1


@dataclass(frozen=True)
class Cell:
    name: str
    group: str
    title: str
    deployment: Deployment
    load: Load = field(default_factory=Load)
    peers: tuple[str, ...] = ALL
    kind: Kind = "load"
    # Fewer rounds than the others, for what takes long and varies little.
    most_rounds: int | None = None
    traffic: Traffic | None = None

    def asks(self, peer: str) -> bool:
        return self.peers == ALL or peer in self.peers


def _load_cell(
    name: str,
    group: str,
    title: str,
    deployment: Deployment,
    connections: int = 64,
    body_bytes: int = KIB,
    peers: tuple[str, ...] = ALL,
) -> Cell:
    return Cell(name, group, title, deployment, Load(connections, body_bytes), peers)


def _connections(batch_size: int) -> list[Cell]:
    deployment = Deployment(batch_size=batch_size)
    group = f"batch {batch_size}"
    cells = []
    for connections in (1, 8, 64, 256, 1000):
        plural = "s" if connections > 1 else ""
        title = f"batch {batch_size}, {connections:,} connection{plural}"
        peers = ALL if connections in (1, 64) else FAST
        name = f"b{batch_size}-c{connections}"
        cells.append(_load_cell(name, group, title, deployment, connections, peers=peers))
    quiet = Deployment(batch_size=batch_size, options=QUIET_OPTIONS)
    title = f"batch {batch_size}, 64 connections, logs and metrics off"
    cells.append(_load_cell(f"b{batch_size}-quiet", group, title, quiet, peers=("ours",)))
    return cells


def _bodies() -> list[Cell]:
    cells = []
    for label, connections, size in (
        ("64 B", 64, 64),
        ("64 KiB", 64, 64 * KIB),
        ("1 MiB", 8, MIB),
        ("8 MiB", 8, 8 * MIB),
    ):
        title = f"batch 1, {label} bodies, {connections} connections"
        deployment = Deployment()
        name = "body-" + label.replace(" ", "")
        cells.append(_load_cell(name, "bodies", title, deployment, connections, size, FAST))
    return cells


def _idle() -> list[Cell]:
    return [
        Cell(
            f"idle-b{batch_size}",
            "10,000 connections",
            f"batch {batch_size}, 100 connections, 9,900 idle ones besides",
            Deployment(batch_size=batch_size),
            Load(100, idle_connections=9_900),
            FAST,
        )
        for batch_size in (1, 32)
    ]


def _two_workers() -> list[Cell]:
    return [
        _load_cell(
            f"b{batch_size}-w2",
            f"batch {batch_size}, 2 workers",
            f"batch {batch_size}, 2 workers, 64 connections",
            Deployment(batch_size=batch_size, workers=2),
        )
        for batch_size in (1, 32)
    ]


def _handler_times() -> list[Cell]:
    cells = []
    for kind, word in (("sleep", "sleeps"), ("busy", "computes")):
        for duration_ms in (1, 10):
            for batch_size in (1, 32):
                name = f"{kind}{duration_ms}-b{batch_size}"
                title = f"handler {word} {duration_ms} ms a batch, batch {batch_size}"
                work = Work("sleep" if kind == "sleep" else "busy", duration_ms)
                deployment = Deployment(work=work, batch_size=batch_size)
                cells.append(_load_cell(name, name, title, deployment, peers=FAST))
    return cells


def _digits() -> list[Cell]:
    return [
        _load_cell(
            f"digits-b{batch_size}",
            f"digits, batch {batch_size}",
            f"digits classifier (scikit-learn SVC), batch {batch_size}, 64 connections",
            Deployment(work=Work("digits"), batch_size=batch_size),
        )
        for batch_size in (1, 32)
    ]


def _seldon() -> list[Cell]:
    """Return a Seldon component that gives back what it gets, with two workers, beside Seldon's own wrapper."""
    cells = []
    for rows, label in ((1, "1 x 64"), (1000, "1,000 x 64")):
        deployment = Deployment(work=Work("identity", rows=rows), workers=2)
        for transport, word in (("http", "REST"), ("grpc", "gRPC")):
            if transport == "grpc" and rows > 1:
                # Seldon's wrapper takes seconds for one such call.
                continue
            for connections in (1, 64):
                name = f"seldon-{word.lower()}-{rows}x64-c{connections}"
                plural = "s" if connections > 1 else ""
                title = (
                    f"Seldon {word}, {label} ndarray, 2 workers, {connections} connection{plural}"
                )
                load = Load(connections, transport="grpc" if transport == "grpc" else "http")
                cells.append(
                    Cell(name, f"seldon {label}", title, deployment, load, ("ours", "seldon"))
                )
    return cells


def _mlrun() -> list[Cell]:
    """Return a model of MLRun's contract that gives back a row of 4, beside MLRun and the same as a handler of MMS."""
    cells = []
    for connections in (1, 64):
        plural = "s" if connections > 1 else ""
        for name, work, word, peers in (
            ("mlrun-infer", Work("infer-class"), "MLRun class", ("ours", "mlrun")),
            ("mlrun-handler", Work("infer-handler"), "the same as handler", ("ours",)),
        ):
            deployment = Deployment(work=work)
            title = f"{word}, 1 x 4 inputs, {connections} connection{plural}"
            cell = _load_cell(
                f"{name}-c{connections}",
                "mlrun 1 x 4",
                title,
                deployment,
                connections,
                peers=peers,
            )
            cells.append(cell)
    return cells


def _votes() -> list[Cell]:
    """Return an ensemble of three models of MLRun's contract, beside the slowest of them alone, on one server."""
    cells = []
    for duration_ms, word in (
        (0, "three models that take no time"),
        (1, "models of 0.25, 0.5 and 1 ms"),
        (10, "models of 2.5, 5 and 10 ms"),
    ):
        for name, work, asked in (
            ("mlrun-ensemble", Work("infer-ensemble", duration_ms), "MLRun ensemble"),
            ("mlrun-child", Work("infer-child", duration_ms), "its slowest model alone"),
        ):
            cells.append(
                _load_cell(
                    f"{name}-{duration_ms}ms",
                    f"mlrun ensemble {duration_ms} ms",
                    f"{asked}, {word}, 1 connection",
                    Deployment(work=work),
                    connections=1,
                    peers=("ours",),
                )
            )
    return cells


def _open_inference() -> list[Cell]:
    """Return a model that gives back its tensor, by the Open Inference Protocol, with two workers."""
    cells = []
    for name, work, size, label in (
        ("oip-json-1x64", Work("tensor-json"), 64 * 4, "1 x 64 FP32 in JSON"),
        ("oip-binary-1x64", Work("tensor-binary"), 64 * 4, "1 x 64 FP32 in binary form"),
        ("oip-binary-4MiB", Work("tensor-binary"), 4 * MIB, "4 MiB of FP32 in binary form"),
        ("oip-grpc-1x64", Work("tensor-grpc"), 64 * 4, "1 x 64 FP32 over gRPC"),
    ):
        # MLServer has no binary form over REST.
        is_binary = work.kind == "tensor-binary"
        peers = ("ours", "triton") if is_binary else ("ours", "triton", "mlserver")
        transport: Literal["http", "grpc"] = "grpc" if work.kind == "tensor-grpc" else "http"
        for connections in (1, 64):
            plural = "s" if connections > 1 else ""
            title = f"Open Inference, {label}, 2 workers, {connections} connection{plural}"
            cells.append(
                Cell(
                    f"{name}-c{connections}",
                    f"open inference {label}",
                    title,
                    Deployment(work=work, workers=2),
                    Load(connections, size, transport, least_s=4 if size >= MIB else 0),
                    peers,
                )
            )
    return cells


def _streams() -> list[Cell]:
    """Return streams of small parts, as many at a time as a batch holds; a request is a whole stream."""
    title = f"64 streams at a time of {STREAM_PARTS} parts of {len(STREAM_PART)} bytes; requests are streams"
    deployment = Deployment(work=Work("stream"), batch_size=64)
    peers = ("ours", "torchserve", "litserve")
    return [Cell("stream-64", "streams", title, deployment, Load(64, least_s=4), peers)]


def _many_models() -> list[Cell]:
    few = Deployment(registered_models=10, used_models=10)
    many = Deployment(registered_models=1000, used_models=10)
    title = "batch 1, 64 connections, "
    return [
        _load_cell("models-10", "many models", title + "10 models", few, peers=ARCHIVES),
        _load_cell(
            "models-1000",
            "many models",
            title + "1,000 registered models, 10 in use",
            many,
            peers=ARCHIVES,
        ),
    ]


def _on_demand() -> list[Cell]:
    """Return classifiers of scikit-learn that are registered, and loaded when they are asked for."""
    work = Work("classifier")
    few = Deployment(work=work, registered_models=30, used_models=30, on_demand=True)
    spawned = replace(few, options=(("fork_server", "off"),))
    many = Deployment(
        work=work, registered_models=1000, used_models=1000, on_demand=True, memory_mib=2048
    )
    group = "models on demand"
    cold = "a model that is registered and not loaded: from the request to its answer"
    cells = [
        Cell("cold-first-answer", group, cold, few, peers=ON_DEMAND, kind="cold"),
        Cell(
            "cold-first-answer-spawned",
            group,
            f"{cold}, without fork servers",
            spawned,
            peers=("ours",),
            kind="cold",
        ),
        Cell(
            "memory-per-model",
            group,
            "memory over loaded models",
            few,
            peers=ON_DEMAND,
            kind="memory",
            most_rounds=1,
        ),
    ]
    for rate in (10, 50):
        cell = Cell(
            f"zipf-1000-{rate}",
            group,
            f"1,000 registered models of Zipf's popularity (1.1), {rate} requests/s, 2 GB",
            many,
            peers=ON_DEMAND,
            kind="traffic",
            most_rounds=1,
            traffic=Traffic(rate, 60.0),
        )
        cells.append(cell)
    return cells


def _lives() -> list[Cell]:
    one = Deployment()
    batch = Deployment(batch_size=32)
    return [
        Cell("start", "start", "start-up to the first answer; memory idle", one, kind="start"),
        Cell("scale", "scale", "scale from 1 to 8 workers", one, peers=ARCHIVES, kind="scale"),
        Cell(
            "million",
            "million",
            "memory over a million requests, batch 32",
            batch,
            peers=("ours",),
            kind="million",
            most_rounds=1,
        ),
    ]


def _real_models() -> list[Cell]:
    """Return real models under a latency goal, and the fixed policy on the same server beside its own choice."""
    cells = []
    for kind, what in REAL_MODELS:
        group = f"real model: {what}"
        deployment = Deployment(work=Work(kind), batch_size=32, workers=2)
        cells.append(Cell(f"real-{kind}", group, f"{what}, 2 workers", deployment, kind="goals"))
        for batch_size in FIXED_SIZES:
            title = f"{what}, 2 workers, batch_policy=fixed, batch {batch_size}"
            fixed = replace(deployment, batch_size=batch_size, options=(("batch_policy", "fixed"),))
            name = fixed_cell(kind, batch_size)
            cells.append(Cell(name, group, title, fixed, peers=("ours",), kind="goals"))
    return cells


def fixed_cell(kind: str, batch_size: int) -> str:
    """Return the name of the cell of a real model under `batch_policy=fixed`."""
    return f"fixed-{kind}-b{batch_size}"


def all_cells() -> list[Cell]:
    return [
        *_real_models(),
        *_lives()[:2],
        *_connections(1),
        *_connections(32),
        *_two_workers(),
        *_bodies(),
        *_idle(),
        *_handler_times(),
        *_digits(),
        *_seldon(),
        *_mlrun(),
        *_votes(),
        *_open_inference(),
        *_streams(),
        *_many_models(),
        *_on_demand(),
        *_lives()[2:],
    ]


# One look at everything that is not far from the others in kind.
QUICK = ("start", "b1-c1", "b1-c64", "b32-c1", "b32-c64", "digits-b32")


def select_cells(patterns: Sequence[str]) -> list[Cell]:
    """Return the cells whose name or group one of the patterns fits. Raises ValueError for one that fits none."""
    cells = all_cells()
    for pattern in patterns:
        if not any(_fits(cell, pattern) for cell in cells):
            names = ", ".join(cell.name for cell in cells)
            raise ValueError(f"no cell or group is called {pattern!r}; the cells are: {names}")
    return [cell for cell in cells if any(_fits(cell, pattern) for pattern in patterns)]


def groups(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    by_group: dict[str, list[Cell]] = {}
    for cell in cells:
        by_group.setdefault(cell.group, []).append(cell)
    return by_group


def _fits(cell: Cell, pattern: str) -> bool:
    return fnmatch(cell.name, pattern) or fnmatch(cell.group, pattern)
