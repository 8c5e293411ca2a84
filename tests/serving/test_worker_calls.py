"""Models that ask other models of the server, with real workers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

from support.waiting import until

#: Asks what its body says and answers with what it was told.
CALLER = """
import json
from mms.worker.calls import caller
def handle(data, context):
    if data is None:
        return None
    answers = []
    for item in data:
        asked = json.loads(item["body"])
        answer = caller.call(asked["key"], asked.get("body", "").encode() * asked.get("times", 1),
                             content_type="text/plain", timeout_s=asked.get("timeout_s"))
        answers.append(json.dumps([answer.status, answer.error, len(answer.body), answer.body[:200].decode()]))
    return answers
"""
ECHO = """
def handle(data, context):
    return None if data is None else [item["body"] for item in data]
"""
#: Does not answer before there is a file `free` beside the one that it makes.
STUCK = """
import pathlib, time
def handle(data, context):
    if data is None:
        return None
    marker = pathlib.Path(data[0]["body"])
    marker.touch()
    while not marker.with_name("free").exists():
        time.sleep(0.01)
    return ["free"]
"""
CALLS = {"e": ["echo", None], "v": ["echo", "9"], "s": ["stuck", None]}


async def ask(bench: Any, **asked: Any) -> list[Any]:
    status, body = await bench.predict("caller", json.dumps(asked).encode())
    assert status == 200, bench.events.output
    return list(json.loads(body))


async def test_a_model_gets_the_answer_of_the_model_it_calls(bench: Any) -> None:
    await bench.register("echo", ECHO)
    await bench.register("caller", CALLER, calls=CALLS)
    assert await ask(bench, key="e", body="hello") == [200, "", 5, "hello"]


async def test_a_called_body_of_megabytes_comes_whole(bench: Any) -> None:
    await bench.register("echo", ECHO)
    await bench.register("caller", CALLER, calls=CALLS)
    answer = await ask(bench, key="e", body="0123456789", times=300_000)
    assert answer[:3] == [200, "", 3_000_000]


async def test_a_body_above_the_limit_of_requests_is_refused_and_costs_no_worker(
    bench: Any,
) -> None:
    await bench.register("echo", ECHO)
    await bench.register("caller", CALLER, calls=CALLS)
    before = bench.pids("caller")
    status, error, _, text = await ask(bench, key="e", body="0123456789", times=2_000_000)
    assert (status, error) == (413, "PayloadTooLarge")
    assert text == "The body for model e has 20000000 bytes, max_request_size is 6553500 bytes."
    limit = bench.settings.max_request_size
    assert (await ask(bench, key="e", body="x", times=limit))[:3] == [200, "", limit]
    assert bench.pids("caller") == before


async def test_bodies_and_answers_of_calls_are_as_large_as_the_limits_say(make_bench: Any) -> None:
    limit = 24_000_000
    bench = await make_bench(max_request_size=limit, max_response_size=limit)
    await bench.register("echo", ECHO)
    await bench.register("caller", CALLER, calls=CALLS)
    before = bench.pids("caller")
    for _ in range(2):
        assert (await ask(bench, key="e", body="x", times=limit))[:3] == [200, "", limit]
    assert bench.pids("caller") == before


#: Asks as often as its body says, at the same time.
AT_ONCE = """
import json, threading
from mms.worker.calls import caller
def handle(data, context):
    if data is None:
        return None
    statuses = []
    def ask():
        statuses.append(caller.call("e", bytes(8_000_000), content_type="text/plain").status)
    threads = [threading.Thread(target=ask) for _ in range(int(data[0]["body"]))]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return [json.dumps(statuses)]
"""


async def test_signs_of_life_wait_for_no_large_bodies_of_calls(make_bench: Any) -> None:
    limit = 8_000_000
    bench = await make_bench(max_request_size=limit, max_response_size=limit)
    await bench.register("echo", ECHO)
    await bench.register("caller", AT_ONCE, calls=CALLS)
    [worker] = bench.host.registry.get("caller", None).model.workers
    _, reply = bench.submit("caller", b"12")
    while not reply.done.done():
        worker.link.ask_for_answers()
        await asyncio.wait((reply.done,), timeout=0.005)
    status, body = reply.done.result()
    assert (status, json.loads(body)) == (200, [200] * 12)


async def test_a_key_that_was_not_given_cannot_be_called(bench: Any) -> None:
    await bench.register("caller", CALLER, calls=CALLS)
    answer = await ask(bench, key="caller")
    assert answer[:2] == [404, "ModelNotFound"]
    assert "e | v | s" in answer[3]


async def test_a_called_model_that_is_not_registered_is_reported_to_the_caller(bench: Any) -> None:
    await bench.register("echo", ECHO)
    await bench.register("caller", CALLER, calls=CALLS)
    assert (await ask(bench, key="v"))[:2] == [404, "ModelVersionNotFound"]


async def test_a_call_ends_with_its_own_timeout(bench: Any) -> None:
    await bench.register("stuck", STUCK)
    await bench.register("caller", CALLER, calls=CALLS)
    marker = str(bench.folder / "begun")
    answer = await ask(bench, key="s", body=marker, timeout_s=0.2)
    assert answer[:2] == [408, "RequestTimeout"]
    await until((bench.folder / "begun").exists)
    (bench.folder / "free").touch()


async def test_a_preloaded_caller_calls_too(bench: Any) -> None:
    await bench.register("echo", ECHO)
    await bench.register("caller", CALLER, calls=CALLS, preload_model=True)
    assert (await ask(bench, key="e", body="x"))[:2] == [200, ""]


async def test_the_call_of_a_worker_that_died_is_given_up(bench: Any) -> None:
    await bench.register("stuck", STUCK)
    await bench.register("echo", ECHO)
    await bench.register("caller", CALLER, calls=CALLS)
    marker = bench.folder / "begun"
    body = json.dumps({"key": "s", "body": str(marker)}).encode()
    bench.submit("caller", body)
    await until(marker.exists)
    # Queued behind the one that is stuck: it must not stay there for a caller that is gone.
    stuck = bench.host.registry.get("stuck", None).model
    os.kill(bench.pids("caller")[0], signal.SIGKILL)
    runner = next(iter(bench.host.registry.get("caller", None).runners.values()))
    await until(lambda: not runner._calls._under_way)
    assert all(request.is_done for request in stuck.queue)
    (bench.folder / "free").touch()


async def test_a_frame_that_is_no_call_ends_the_worker_and_not_the_server(bench: Any) -> None:
    await bench.register("echo", ECHO)
    await bench.register(
        "caller",
        CALLER.replace(
            "    for item in data:",
            "    from mms.wire import encode_frame\n"
            "    if data[0]['body'] == 'break': caller._send(encode_frame(15, 0, b'x'))\n"
            "    for item in data:",
        ),
        calls=CALLS,
    )
    before = bench.pids("caller")[0]
    _, reply = bench.submit("caller", b"break")
    await asyncio.wait_for(reply.done, 30)
    await until(lambda: bench.pids("caller")[0] not in (0, before))

    async def answered() -> None:
        # The broken request was tried on a second worker, which may just be ending, too.
        while (await bench.predict("caller", b'{"key": "e", "body": "x"}'))[0] != 200:
            await asyncio.sleep(0.05)

    await asyncio.wait_for(answered(), 20)
