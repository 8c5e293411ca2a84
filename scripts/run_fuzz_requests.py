"""Sends mutated requests to a real server, and counts what comes of them.

Started by `scripts/fuzz_requests`. The exit code is 1 where an answer is no HTTP or has a status that is not
documented, where a connection has neither an answer nor an end, or where a process of the server was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import tensor_requests
from request_mutations import INFERENCE, Mutations, pieces_of
from stress_server import Sample, ServerFailed, StressServer
from tensor_requests import TensorRequests

#: aiohttp refuses other versions of HTTP in their own name.
_STATUS_LINE = re.compile(rb"HTTP/(?:1\.[01]|\d\.\d(?= 4\d\d )) (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
#: A connection that has neither an answer nor an end by then hangs.
_END_LIMIT_S = 30.0
_TOLD_EVERY = 10_000
_MAX_EXAMPLES = 20
#: What 5xx look like that models answer themselves: of Seldon's wrapper and of MLRun's events.
_OF_MODELS = re.compile(rb'"reason": ?"MICROSERVICE_|^[A-Za-z_.]*(Error|Exception): |^{"error"')
#: What must come of a request that says so.
_WANTED = re.compile(rb"\r\nX-Fuzz: (\w+)\r\n")
_MIB = 1024 * 1024


@dataclass
class Outcome:
    """Counts of a run."""

    sent: int = 0
    aborted: int = 0
    #: By listener and status.
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    without_answer: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def complain(self, what: str, data: bytes, answer: bytes) -> None:
        self.problems[what] += 1
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append(f"{what}\n  sent: {data[:1500]!r}\n  got: {answer[-600:]!r}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz_requests", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same (1)")
    parser.add_argument("--connections", type=int, default=16, help="at a time (16)")
    parser.add_argument("--lane", choices=("on", "off"), default="on")
    parser.add_argument(
        "--tensors",
        action="store_true",
        help="requests of the Open Inference Protocol alone, of which no one may be answered with 5xx, good ones "
        "are answered with 200 and wrong ones with 4xx",
    )
    options = parser.parse_args()
    server = StressServer(
        {"default_workers_per_model": 1, "lane": options.lane, "load_models": "noop,echo"}
    )
    try:
        server.wait_until_started()
        server.register("seldon", model_name="seldon", handler="components:Plain")
        _add_mlrun_model(server.store / "m1")
        server.register("m1", model_name="m1")
        _add_model(server.store / "tensors", "tensors", tensor_requests.HANDLER)
        server.register("tensors", model_name="tensors", batch_size=8)
        make = TensorRequests if options.tensors else Mutations
        return run(server, make, options.count, options.seed, options.connections)
    except ServerFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        server.remove()


def _add_model(folder: Path, name: str, source: str) -> None:
    (folder / "MAR-INF").mkdir(parents=True)
    model = {"modelName": name, "handler": "service:handle"}
    manifest = json.dumps({"runtime": "python", "model": model})
    (folder / "MAR-INF" / "MANIFEST.json").write_text(manifest)
    (folder / "service.py").write_text(source)


def _add_mlrun_model(folder: Path) -> None:
    """Add a model of MLRun's contract that multiplies."""
    (folder / "MAR-INF").mkdir(parents=True)
    (folder / "MAR-INF" / "MANIFEST.json").write_text(
        '{"runtime": "python", "model": {"modelName": "m1", "handler": "models:Mul",'
        ' "extensions": {"interface": "mlrun"}}}'
    )
    (folder / "models.py").write_text(
        "from mlrun.serving import V2ModelServer\n\n\n"
        "class Mul(V2ModelServer):\n"
        "    def load(self):\n        pass\n\n"
        "    def predict(self, request):\n"
        "        return [value * 3 for value in request['inputs']]\n"
    )


def run(
    server: StressServer,
    make: Callable[[int], Mutations | TensorRequests],
    count: int,
    seed: int,
    connections: int,
) -> int:
    """`make`: returns the requests of a seed."""
    outcome = Outcome()
    started_at = time.monotonic()
    # The first requests make what stays: caches, buffers, thread pools.
    first = min(1000, count)
    asyncio.run(_send_all(server, outcome, make(seed - 1), first, connections, seed - 1))
    workers = {worker.pid for worker in server.workers()}
    before = server.sample()
    asyncio.run(_send_all(server, outcome, make(seed), count, connections, seed))
    lost = workers - {worker.pid for worker in server.workers()}
    if lost:
        outcome.problems["workers that were lost"] = len(lost)
    if not server.is_running():
        outcome.problems["the front was lost"] = 1
    log = server.log("mms_log.log") + server.output()
    for lines in re.findall(r"^.*(?:Unexpected error|never retrieved)(?:.*\n){40}", log, re.M):
        outcome.problems["errors in the log"] += 1
        outcome.examples.append(lines)
    after = server.sample() if server.is_running() else before
    _report(outcome, before, after, time.monotonic() - started_at)
    if server.is_running() and server.stop() != 0:
        outcome.problems["the server's exit code is not 0"] = 1
    return 1 if outcome.problems else 0


async def _send_all(
    server: StressServer,
    outcome: Outcome,
    mutations: Mutations | TensorRequests,
    count: int,
    connections: int,
    seed: int,
) -> None:
    numbers = iter(range(count))

    async def send() -> None:
        for number in numbers:
            listener, data = mutations.next()
            chance = random.Random(seed * 1_000_003 + number)
            port = server.inference_port if listener == INFERENCE else server.management_port
            try:
                await asyncio.wait_for(
                    _send_one(outcome, listener, port, data, chance), _END_LIMIT_S
                )
            except asyncio.TimeoutError:
                outcome.complain("neither an answer nor an end", data, b"")
            except ConnectionRefusedError:
                outcome.complain("refused to connect", data, b"")
                return
            outcome.sent += 1
            if number and number % _TOLD_EVERY == 0:
                print(f"{number} sent", flush=True)

    await asyncio.gather(*itertools.starmap(send, [()] * connections))


async def _send_one(
    outcome: Outcome, listener: str, port: int, data: bytes, chance: random.Random
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces_of(data, chance):
            writer.write(piece)
            await asyncio.sleep(0)
        if chance.random() < 0.05:
            outcome.aborted += 1
            return
        writer.write_eof()
        try:
            answer = await reader.read(-1)
        except OSError:
            answer = b""
        _count_answers(outcome, listener, data, answer)
    except OSError:
        outcome.without_answer += 1
    finally:
        # A reset, so that no port waits.
        writer.transport.abort()


def _count_answers(outcome: Outcome, listener: str, data: bytes, answer: bytes) -> None:
    if not answer:
        outcome.without_answer += 1
    at = 0
    while at < len(answer):
        matched = _STATUS_LINE.match(answer, at)
        end = answer.find(b"\r\n\r\n", at) + 4
        if matched is None or end < 4:
            outcome.complain("an answer that is no HTTP", data, answer[at:])
            return
        status = int(matched[1])
        head = answer[at:end]
        at = end
        if status < 200:
            continue
        length = _LENGTH.search(head)
        size = int(length[1]) if length is not None else 0
        # The answer of a HEAD has a length and no body.
        if size and not (
            b"HEAD " in data and (at == len(answer) or _STATUS_LINE.match(answer, at))
        ):
            if at + size > len(answer):
                outcome.complain("an answer that is cut off", data, answer)
                return
            at += size
        outcome.statuses[listener, status] += 1
        wanted = _WANTED.search(data)
        if wanted is not None:
            _check_status(outcome, wanted[1].decode(), status, data, answer[:at])
        elif status >= 500 and not (status == 500 and _is_of_model(answer[end:at])):
            outcome.complain(f"status {status}", data, answer[:at])


def _check_status(outcome: Outcome, wanted: str, status: int, data: bytes, answer: bytes) -> None:
    is_right = {"good": status == 200, "bad": 400 <= status < 500, "any": status < 500}[wanted]
    if not is_right:
        outcome.complain(f"status {status} for a request that is {wanted}", data, answer)


def _is_of_model(body: bytes) -> bool:
    return _OF_MODELS.search(body) is not None and b"InternalServer" not in body


def _report(outcome: Outcome, before: Sample, after: Sample, took_s: float) -> None:
    print(f"{outcome.sent} requests in {took_s:.0f} s, {outcome.aborted} broken off by the client")
    for (listener, status), count in sorted(outcome.statuses.items()):
        print(f"  {listener:10} {status}  {count}")
    print(f"  ended without an answer  {outcome.without_answer}")
    print(f"front: {before.front_bytes / _MIB:.1f} -> {after.front_bytes / _MIB:.1f} MiB")
    print(f"workers: {before.worker_bytes / _MIB:.1f} -> {after.worker_bytes / _MIB:.1f} MiB")
    print(f"descriptors of the front: {before.front_descriptors} -> {after.front_descriptors}")
    for problem, count in outcome.problems.items():
        print(f"PROBLEM: {problem}: {count}")
    for example in outcome.examples:
        print(example)
    print("no problem" if not outcome.problems else "there are problems")


if __name__ == "__main__":
    sys.exit(main())
