"""Models that come and go under traffic leave nothing behind: processes, descriptors, threads, folders, memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support.server import Server
from support.waiting import eventually

from mms.serving.state.state_file import StateFile

from .load import Load, Target
from .models import write_archive, write_echo

#: One after the other; the first ones only warm up what grows once.
_QUICK, _FULL, _WARM_UP = 8, 1000, 6
_AT_ONCE = 4
#: The processes of a server with one worker: that one and what it is forked from, their keepers, the supervisor, and
#: what writes the log.
_STEADY = 6
#: Pools of threads fill up, to so many in all, as they are used.
_POOL_THREADS = 12
#: What the front may grow by in all, besides so much for each cycle: its caches are not full yet after the warm-up.
_GROWTH_BYTES, _GROWTH_PER_CYCLE_BYTES = 16 << 20, 8 << 10


@dataclass(frozen=True)
class Holdings:
    """What a front has."""

    processes: int
    descriptors: int
    threads: int
    folders: int
    memory_bytes: int


def holdings(server: Server) -> Holdings:
    front = psutil.Process(server.pid)
    return Holdings(
        processes=len(front.children(recursive=True)),
        descriptors=front.num_fds(),
        threads=front.num_threads(),
        folders=len(list(server.temporary.glob(".mms-*/models/*"))),
        memory_bytes=front.memory_info().rss,
    )


def settled(server: Server, most: int | None = None) -> Holdings:
    """What the front has once the steady model's worker is left alone, with what it is forked from and their keepers.

    Not more descriptors than `most`: connections that their clients have closed are closed here a moment later.
    """

    def find() -> Holdings | None:
        found = holdings(server)
        is_quiet = found.processes == _STEADY and not found.folders
        return found if is_quiet and (most is None or found.descriptors <= most) else None

    found = eventually("the server is quiet", find)
    assert found is not None
    return found


def cycle(server: Server, url: str, name: str) -> None:
    """The life of a model."""
    preload = "true" if name.endswith("0") else "false"
    reply = server.register(
        url, model_name=name, initial_workers=1, synchronous="true", preload_model=preload
    )
    assert reply.status == 200, reply
    for count in (2, 1):
        reply = server.management.put(f"/models/{name}?min_worker={count}&synchronous=true")
        assert reply.status == 200, reply
        answer = server.inference.post(f"/predictions/{name}", name, content_type="text/plain")
        assert (answer.status, answer.text) == (200, name), answer
    reply = server.unregister(name)
    assert reply.status == 200, reply


def churn(server: Server, url: str, numbers: range) -> None:
    """Run so many cycles, several at a time. Raises what the first that failed raised."""
    names = (f"churned-{number}" for number in numbers)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        while not failures:
            with lock:
                name = next(names, None)
            if name is None:
                return
            try:
                cycle(server, url, name)
            except BaseException as failure:
                failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.timeout(900)  # of --full; eight cycles take some seconds
def test_models_that_come_and_go_leave_nothing_behind(
    start_server: Callable[..., Server], is_full: bool
) -> None:
    server = start_server({"state_file": "state"})
    steady = write_echo(server, "steady")
    reply = server.register(steady, model_name="m", initial_workers=1, synchronous="true")
    assert reply.status == 200, reply
    url = write_archive(server, "churned")
    count = _FULL if is_full else _QUICK
    with Load(
        server.inference.address.port, [Target("/predictions/m", fails_with={})], connections=2
    ) as load:
        churn(server, url, range(_WARM_UP))
        before = settled(server)
        churn(server, url, range(_WARM_UP, _WARM_UP + count))
        after = settled(server, before.descriptors)
        load.wait_for_right(10)
    load.count.check(failures=0)
    assert load.count.right > count
    print(f"{count} cycles: {before} -> {after}; {load.count}")
    assert after.processes == before.processes
    assert after.folders == before.folders == 0
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads + _POOL_THREADS
    growth = after.memory_bytes - before.memory_bytes
    assert growth < _GROWTH_BYTES + count * _GROWTH_PER_CYCLE_BYTES
    names = [line["modelName"] for line in server.management.get("/models").json()["models"]]
    assert names == ["m"]
    kept = StateFile(server.directory / "state").read().entries
    assert [entry["model"] for _, entry in kept] == ["m"]


def test_failed_registrations_leave_nothing_behind(
    start_server: Callable[..., Server], is_full: bool
) -> None:
    server = start_server()
    steady = write_echo(server, "steady")
    server.register(steady, model_name="m", initial_workers=1, synchronous="true")
    broken = Path(write_archive(server, "churned"))
    (server.store / "torn.tar.gz").write_bytes((server.store / broken).read_bytes()[:-40])
    server.write_model("fails", "raise ImportError('no such library')\n")
    before: Holdings | None = None
    for number in range(100 if is_full else 5):
        for url, status in (("torn.tar.gz", 400), ("nowhere.mar", 404), ("fails", 500)):
            reply = server.register(
                url,
                model_name=f"x-{number}",
                handler="service:handle",
                initial_workers=1,
                synchronous="true",
            )
            assert reply.status == status, reply
        if number == 2:
            before = settled(server)
    assert before is not None
    after = settled(server, before.descriptors)
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads + _POOL_THREADS


def test_connections_that_come_and_go_leave_nothing_behind(
    start_server: Callable[..., Server], is_full: bool
) -> None:
    server = start_server({"load_models": "noop", "default_workers_per_model": "1"})
    eventually("its worker is ready", lambda: server.inference.get("/readyz").status == 200)
    before = holdings(server)
    for number in itertools.count():
        with server.inference.wire() as wire:
            if number % 3:
                wire.socket.sendall(
                    b"POST /predictions/noop HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"
                )
            elif number % 2:
                wire.socket.sendall(b"GET /ping HTTP/1.1\r\n")
        if number == (20_000 if is_full else 600):
            break
    eventually(
        "the connections are gone", lambda: holdings(server).descriptors <= before.descriptors
    )
    assert holdings(server).memory_bytes - before.memory_bytes < 32 << 20
    assert server.inference.get("/ping").status == 200
