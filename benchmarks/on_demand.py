"""Turns with models that are loaded when they are asked for: by the server, or by a client that scales and unloads."""

from __future__ import annotations

import contextlib
import random
import statistics
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass

import psutil

from benchmarks.cells import Traffic
from benchmarks.deployment import PeerRequest
from benchmarks.http_client import NOT_ANSWERED, ask
from benchmarks.machine import held_mib, processor_seconds
from benchmarks.server import Server, ServerFailed

#: Models that are loaded before anything is measured: what a server learns from the first ones counts as its start.
LEARNING_MODELS = 4
_LEARNING_S = 6.0
COLD_MODELS = 12
#: How many models are loaded when the memory is read. The first reading is the start of "one more model".
MEMORY_AT = (5, 10, 15, 20, 25)
_SETTLING_S = 2.0
_READ_EVERY_S = 15.0
#: Requests that wait when the traffic ends have so long.
_LAST_ANSWERS_S = 60.0
_MOST_THREADS = 256
_UNAVAILABLE = 503
#: Of a client that loads models itself: more would only share the processors.
_LOADS_AT_ONCE = 2
_SEED = 20


@dataclass(frozen=True)
class Outcome:
    """How one request went. `is_miss`: it came before its model was loaded."""

    latency_s: float
    is_miss: bool = False
    status: int = 200
    problem: str = ""


class Client:
    """Asks models by number. Where the server loads none by itself it does, as many as the memory has room for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._peer = server.peer
        self._names = server.deployment.used_model_names()
        self._request: PeerRequest = self._peer.request(server.deployment, 0)
        memory_mib = server.deployment.memory_mib
        room_mib = memory_mib - self._peer.client_leaves_mib
        per_model = self._peer.client_counts_mib
        self._capacity = room_mib // per_model if memory_mib and per_model else len(self._names)
        self._lock = threading.Lock()
        #: Loaded ones, the least recently used first, and how many requests each has.
        self._loaded: OrderedDict[int, None] = OrderedDict()
        self._busy: dict[int, int] = defaultdict(int)
        self._loads = threading.Semaphore(_LOADS_AT_ONCE)
        self._loading: dict[int, threading.Lock] = defaultdict(threading.Lock)

    def ask(self, number: int, sent_at_s: float) -> Outcome:
        """Ask the model; `sent_at_s`: when that was due, of `time.time()`."""
        path = self._request.paths[number]
        with self._lock:
            self._busy[number] += 1
        try:
            if not self._peer.loads_on_demand:
                self._have_loaded(number)
            answer = ask(
                self._server.site.port,
                "POST",
                path,
                self._request.body,
                self._request.headers,
                self._peer.ask_timeout_s,
            )
        except (*NOT_ANSWERED, ServerFailed) as error:
            return Outcome(time.time() - sent_at_s, status=0, problem=repr(error)[:200])
        finally:
            with self._lock:
                self._busy[number] -= 1
        latency_s = time.time() - sent_at_s
        if answer.status != 200 or not self._peer.is_right(self._server.deployment, answer):
            return Outcome(
                latency_s, status=answer.status, problem=answer.body[:200].decode(errors="replace")
            )
        return Outcome(latency_s, self._peer.loaded_at_s(answer) > sent_at_s)

    def hot_models(self) -> int:
        if not self._peer.loads_on_demand:
            return len(self._loaded)
        count = 0
        for process in self._server.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                count += self._peer.role(process) == "worker"
        return count

    def _have_loaded(self, number: int) -> None:
        with self._lock:
            loading = self._loading[number]
        with loading:
            if self._is_loaded(number):
                return
            with self._loads:
                with self._lock:
                    idle = [each for each in self._loaded if not self._busy[each]]
                    excess = idle[: max(0, len(self._loaded) + 1 - self._capacity)]
                    for each in excess:
                        del self._loaded[each]
                for each in excess:
                    self._peer.unload_model(self._names[each], self._server.site)
                self._peer.load_model(self._names[number], self._server.site)
                with self._lock:
                    self._loaded[number] = None

    def _is_loaded(self, number: int) -> bool:
        with self._lock:
            if number in self._loaded:
                self._loaded.move_to_end(number)
                return True
            return False


def visit_cold(server: Server) -> dict[str, float]:
    """Measure from the request to a model that is registered and not loaded to its answer, one after the other."""
    server.bring_up()
    client = Client(server)
    _learn(client)
    before_s = processor_seconds(server.processes())
    numbers = range(LEARNING_MODELS, LEARNING_MODELS + COLD_MODELS)
    latencies = [_right(client, number) * 1000 for number in numbers]
    spent_s = processor_seconds(server.processes()) - before_s
    return {
        "cold_p50_ms": statistics.median(latencies),
        "cold_max_ms": max(latencies),
        "processor_ms": spent_s * 1000 / COLD_MODELS,
    }


def visit_memory(server: Server) -> dict[str, float]:
    """Measure the memory of all processes, with so many models that have each answered once."""
    server.bring_up()
    client = Client(server)
    values = {"mib_at_0": held_mib(server.processes())}
    asked = 0
    for count in MEMORY_AT:
        while asked < count:
            _right(client, asked)
            asked += 1
            if asked == LEARNING_MODELS:
                time.sleep(_LEARNING_S)
        time.sleep(_SETTLING_S)
        values[f"mib_at_{count}"] = held_mib(server.processes())
    first, last = MEMORY_AT[0], MEMORY_AT[-1]
    grown = values[f"mib_at_{last}"] - values[f"mib_at_{first}"]
    return {**values, "mib_per_model": grown / (last - first)}


def visit_traffic(
    server: Server, traffic: Traffic, on_progress: Callable[[str], None]
) -> dict[str, float]:
    """Send requests at times that do not depend on the answers, to models of Zipf's popularity."""
    server.bring_up()
    client = Client(server)
    _learn(client)
    generator = random.Random(_SEED)
    count = len(server.deployment.used_model_names())
    weights = [1 / (rank + 1) ** traffic.exponent for rank in range(count)]
    readings: list[float] = []
    futures: list[Future[Outcome]] = []
    ended = threading.Event()

    def read_memory() -> None:
        while not ended.wait(_READ_EVERY_S):
            readings.append(held_mib(server.processes()))

    reader = threading.Thread(target=read_memory, daemon=True)
    reader.start()
    pool = ThreadPoolExecutor(_MOST_THREADS)
    try:
        due_s, end_s = time.time(), time.time() + traffic.duration_s
        while (due_s := due_s + generator.expovariate(traffic.requests_per_s)) < end_s:
            time.sleep(max(0.0, due_s - time.time()))
            number = generator.choices(range(count), weights)[0]
            futures.append(pool.submit(client.ask, number, due_s))
            on_progress(f"{len(futures):,} requests")
        done, late = wait_for(futures, _LAST_ANSWERS_S)
    finally:
        ended.set()
        pool.shutdown(wait=False, cancel_futures=True)
        reader.join()
    readings.append(held_mib(server.processes()))
    outcomes = [future.result() for future in done]
    return {
        **traffic_values(outcomes, len(late)),
        "peak_mib": max(readings),
        "hot_models": client.hot_models(),
    }


def traffic_values(outcomes: Sequence[Outcome], unanswered: int) -> dict[str, float]:
    """Return the figures of all requests; `unanswered` ones count as errors."""
    values: dict[str, float] = {}
    right = [outcome for outcome in outcomes if not outcome.problem]
    for kind, is_miss in (("hit", False), ("miss", True)):
        latencies = sorted(each.latency_s * 1000 for each in right if each.is_miss == is_miss)
        values[f"{kind}es" if is_miss else f"{kind}s"] = len(latencies)
        if latencies:
            values[f"{kind}_p50_ms"] = statistics.median(latencies)
            values[f"{kind}_p99_ms"] = latencies[
                min(len(latencies) - 1, len(latencies) * 99 // 100)
            ]
    values["errors"] = len(outcomes) - len(right) + unanswered
    values["unavailable"] = sum(outcome.status == _UNAVAILABLE for outcome in outcomes)
    return values


def _learn(client: Client) -> None:
    for number in range(LEARNING_MODELS):
        _right(client, number)
    time.sleep(_LEARNING_S)


def _right(client: Client, number: int) -> float:
    """Return the latency in seconds. Raises ServerFailed for anything but a right answer."""
    outcome = client.ask(number, time.time())
    if outcome.problem:
        raise ServerFailed(f"model {number}: {outcome.status} {outcome.problem}")
    return outcome.latency_s
