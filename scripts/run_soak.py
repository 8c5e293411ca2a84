"""Mixed traffic on five models for a long time, with faults at random moments.

Started by `scripts/soak`. The exit code is 1 where a request was lost or answered wrongly, where memory or descriptors
grow, or where something outlives the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
from request_mutations import INFERENCE, Mutations
from stress_server import Sample, ServerFailed, StressServer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.faults.load import Load, Target  # found by the line before

_MIB = 1024 * 1024
_SAMPLE_S = 5.0
#: At rest, with as many workers as at first: what the front may have more, and how long it may take to get there.
_MAX_MORE_DESCRIPTORS = 8
_REST_LIMIT_S = 30.0
#: Of the time: what is not counted for slopes, while caches fill.
_WARM_UP = 0.25
#: What a slope may be at most, in MiB and descriptors a minute. Allocators settle slowly.
_MAX_FRONT_SLOPE = 1.0
_MAX_WORKER_SLOPE = 1.0
_MAX_DESCRIPTOR_SLOPE = 2.0


_PLAIN = """
import time
def handle(data, context):
    if data is None:
        return None
    texts = [str(row["body"]) for row in data]
    if context.manifest["model"]["modelName"] == "slow":
        time.sleep(0.02)
    if any("raise" in text for text in texts):
        raise ValueError("as asked")
    return texts
"""
_JSON = """
def handle(data, context):
    if data is None:
        return None
    return [{"echo": row["body"]["token"], "more": [1.5, None]} for row in data]
"""
_SELDON = """
class Echo:
    def predict(self, X, names, meta=None):
        return X
"""
_MLRUN = """
from mlrun.serving import V2ModelServer
class Echo(V2ModelServer):
    def load(self):
        pass
    def predict(self, request):
        return request["inputs"]
"""


def _json_body(make: Callable[[str], object]) -> Callable[[str], bytes]:
    return lambda token: json.dumps(make(token)).encode()


def _finds(find: Callable[[object], object]) -> Callable[[int, bytes, str], bool]:
    def is_right(status: int, body: bytes, token: str) -> bool:
        try:
            return status == 200 and find(json.loads(body)) == token
        except (ValueError, LookupError, TypeError):
            return False

    return is_right


_JSON_TYPE = {"Content-Type": "application/json"}
TARGETS = (
    Target("/predictions/plain"),
    Target("/predictions/slow"),
    Target("/models/plain/invoke", "PUT"),
    Target(
        "/predictions/json",
        headers=_JSON_TYPE,
        encode=_json_body(lambda token: {"token": token}),
        is_right=_finds(lambda answer: answer["echo"]),  # type: ignore[index]  # else it is wrong
    ),
    Target(
        "/seldon/component/api/v1.0/predictions",
        headers=_JSON_TYPE,
        encode=_json_body(lambda token: {"strData": token}),
        is_right=_finds(lambda answer: answer["strData"]),  # type: ignore[index]
    ),
    Target(
        "/v2/models/mlrun/infer",
        headers=_JSON_TYPE,
        encode=_json_body(lambda token: {"inputs": [token]}),
        is_right=_finds(lambda answer: answer["outputs"][0]),  # type: ignore[index]
    ),
)
MODELS = ("plain", "slow", "json", "component", "mlrun")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description="Mixed traffic on five models with random faults."
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (20)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults (1)")
    parser.add_argument("--connections", type=int, default=12, help="of the traffic (12)")
    options = parser.parse_args()
    server = StressServer(
        {
            "default_response_timeout_seconds": 5,
            "worker_heartbeat_timeout_s": 2,
            "unregister_model_timeout": 5,
        }
    )
    try:
        server.wait_until_started()
        _add_models(server)
        return run(server, options.minutes * 60, options.seed, options.connections)
    except ServerFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        server.remove()


def _add_models(server: StressServer) -> None:
    for name, source, handler, interface in (
        ("plain", _PLAIN, "service:handle", "mms"),
        ("slow", _PLAIN, "service:handle", "mms"),
        ("json", _JSON, "service:handle", "mms"),
        ("component", _SELDON, "service:Echo", "seldon"),
        ("mlrun", _MLRUN, "service:Echo", "mlrun"),
        ("guest", _PLAIN, "service:handle", "mms"),
    ):
        folder = server.store / name
        (folder / "MAR-INF").mkdir(parents=True, exist_ok=True)
        (folder / "service.py").write_text(source)
        model = {"modelName": name, "handler": handler, "extensions": {"interface": interface}}
        (folder / "MAR-INF" / "MANIFEST.json").write_text(
            json.dumps({"runtime": "python", "model": model})
        )
        if name == "guest":
            continue
        batch = {"batch_size": 8, "max_batch_delay": 5} if name in ("plain", "slow") else {}
        server.register(name, initial_workers=2, **batch)


class Faults:
    """Does something bad every now and then, in a thread of its own."""

    def __init__(self, server: StressServer, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self._server = server
        self._chance = random.Random(seed)
        self._mutations = Mutations(seed)
        self._stops = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)
        self._faults: dict[str, Callable[[], None]] = {
            "worker killed": self._kill,
            "worker stopped": self._freeze,
            "scaled": self._scale,
            "model came and went": self._churn,
            "100 mutated requests": self._mutate,
            "clients that went away": self._leave,
            "handler that raised": self._raise,
        }

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stops.set()
        self._thread.join(120)
        if self._thread.is_alive():
            self.problems.append("a fault does not end")

    def _run(self) -> None:
        while not self._stops.wait(self._chance.uniform(0.5, 2.0)):
            name = self._chance.choice(list(self._faults))
            try:
                self._faults[name]()
                self.done[name] += 1
            except Exception as error:
                self.problems.append(f"{name}: {error!r}")

    def _worker(self) -> psutil.Process | None:
        """Return a worker of any model that has loaded it."""
        name = self._chance.choice(MODELS)
        _, found = self._server.manage("GET", f"/models/{name}")
        pids = (
            [worker.get("pid") for worker in found[0]["workers"]]
            if isinstance(found, list)
            else [worker.get("pid") for worker in found["workers"]]
        )
        known = [pid for pid in pids if pid]
        if known:
            return psutil.Process(self._chance.choice(known))
        leaves = [worker for worker in self._server.workers() if not worker.children()]
        return self._chance.choice(leaves) if leaves else None

    def _kill(self) -> None:
        worker = self._worker()
        if worker is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()

    def _freeze(self) -> None:
        """Stop a worker's process; the server is to notice and to replace it."""
        worker = self._worker()
        if worker is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGSTOP)

    def _scale(self) -> None:
        name = self._chance.choice(MODELS)
        count = self._chance.randint(1, 3)
        path = f"/models/{name}?min_worker={count}&max_worker={count}&synchronous=true"
        status, answer = self._server.manage("PUT", path)
        # 409: another operation is under way; 500 and 210: one of its workers met a fault.
        if status not in (200, 202, 210, 409, 500):
            raise RuntimeError(f"{status} {answer}")

    def _churn(self) -> None:
        status, answer = self._server.manage(
            "POST", "/models?url=guest&initial_workers=1&synchronous=true"
        )
        if status not in (200, 210, 500):
            raise RuntimeError(f"register: {status} {answer}")
        status, answer = self._server.manage("DELETE", "/models/guest")
        if status not in (200, 404):
            raise RuntimeError(f"unregister: {status} {answer}")

    def _mutate(self) -> None:
        requests = [self._mutations.next() for _ in range(100)]
        asyncio.run(self._send(requests))

    async def _send(self, requests: Sequence[tuple[str, bytes]]) -> None:
        for listener, data in requests:
            ports = self._server.inference_port, self._server.management_port
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", ports[0] if listener == INFERENCE else ports[1]
            )
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                writer.write_eof()
                await asyncio.wait_for(reader.read(-1), 30)
            writer.transport.abort()

    def _leave(self) -> None:
        asyncio.run(self._send_and_leave())

    async def _send_and_leave(self) -> None:
        head = b"POST /predictions/slow HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
        for body in (b"gone!", b"gon", b""):
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", self._server.inference_port)
                writer.write(head + body)
                await asyncio.sleep(0.001)
                writer.transport.abort()

    def _raise(self) -> None:
        data = (
            b"POST /predictions/json HTTP/1.1\r\nContent-Type: application/json\r\n"
            b'Content-Length: 11\r\nConnection: close\r\n\r\n{"raise":1}'
        )
        asyncio.run(self._send([(INFERENCE, data)] * 5))


def run(server: StressServer, seconds: float, seed: int, connections: int) -> int:
    faults = Faults(server, seed)
    samples: list[tuple[float, Sample]] = []
    started_at = time.monotonic()
    rested = server.sample()
    with Load(
        server.inference_port, TARGETS, connections=connections, pause_s=0.02, answer_timeout_s=60.0
    ) as load:
        faults.start()
        while (passed := time.monotonic() - started_at) < seconds and server.is_running():
            time.sleep(min(_SAMPLE_S, max(0.1, seconds - passed)))
            with contextlib.suppress(psutil.Error):
                samples.append((time.monotonic() - started_at, server.sample()))
            if int(passed) // 60 != int(time.monotonic() - started_at) // 60:
                print(f"{(time.monotonic() - started_at) / 60:.0f} min: {load.count}", flush=True)
        faults.stop()
    count = load.count
    problems = [f"fault {problem}" for problem in faults.problems]
    problems += [f"traffic: {example}" for example in count.examples]
    if count.lost or count.wrong:
        problems.append(f"{count.lost} lost, {count.wrong} wrong")
    if not server.is_running():
        problems.append("the front was lost")
    print(f"traffic: {count}")
    print(f"faults: {', '.join(f'{n} x {name}' for name, n in sorted(faults.done.items()))}")
    problems += _judge(samples, seconds)
    if server.is_running():
        problems += _check_at_rest(server, rested)
        code = server.stop()
        if code != 0:
            problems.append(f"the server's exit code is {code}")
        left = [str(path) for path in (server.directory / "tmp").iterdir()]
        if left:
            problems.append(f"left behind: {left}")
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("there are problems" if problems else "zero lost, zero wrong, nothing grows")
    return 1 if problems else 0


def _check_at_rest(server: StressServer, before: Sample) -> list[str]:
    """Check that without traffic, and with the same workers, the front holds what it held at the start."""
    for name in MODELS:
        server.manage("PUT", f"/models/{name}?min_worker=2&max_worker=2&synchronous=true")
    deadline = time.monotonic() + _REST_LIMIT_S
    while True:
        after = server.sample()
        more = after.front_descriptors - before.front_descriptors
        is_as_before = more <= _MAX_MORE_DESCRIPTORS and after.processes <= before.processes
        if is_as_before or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    print(
        f"at rest: {before.front_descriptors} -> {after.front_descriptors} descriptors of the front, "
        f"{before.processes} -> {after.processes} processes"
    )
    return [] if is_as_before else ["descriptors or processes are left at rest"]


def _judge(samples: list[tuple[float, Sample]], seconds: float) -> list[str]:
    """Print how the server's memory and descriptors changed; return what grows."""
    late = [(at / 60, sample) for at, sample in samples if at >= _WARM_UP * seconds]
    if len(late) < 10:
        print("too short for slopes")
        return []
    each: list[tuple[str, Callable[[Sample], float], float]] = [
        ("memory of the front, MiB", lambda s: s.front_bytes / _MIB, _MAX_FRONT_SLOPE),
        (
            "memory of a worker, MiB",
            lambda s: s.worker_bytes / _MIB / max(1, s.processes),
            _MAX_WORKER_SLOPE,
        ),
        ("descriptors of the front", lambda s: float(s.front_descriptors), _MAX_DESCRIPTOR_SLOPE),
        ("threads of the front", lambda s: float(s.front_threads), _MAX_DESCRIPTOR_SLOPE),
        ("processes", lambda s: float(s.processes), _MAX_DESCRIPTOR_SLOPE),
    ]
    problems = []
    for name, value_of, limit in each:
        values = [value_of(sample) for _, sample in late]
        others = [float(sample.processes) if name != "processes" else 0.0 for _, sample in late]
        slope = _slope([at for at, _ in late], others, values)
        print(
            f"{name}: {values[0]:.1f} -> {values[-1]:.1f} (from {min(values):.1f} to {max(values):.1f}), "
            f"{slope:+.2f} a minute"
        )
        if slope > limit:
            problems.append(f"{name} grows by {slope:.2f} a minute, {limit} is allowed")
    return problems


def _slope(at: Sequence[float], others: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope by least squares, without the part that goes with the number of workers."""
    columns = np.column_stack([np.ones(len(at)), at, others])
    return float(np.linalg.lstsq(columns, np.array(values), rcond=None)[0][1])


if __name__ == "__main__":
    sys.exit(main())
