"""Registering, scaling and unregistering with real workers."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from support.waiting import until

from mms.errors import (
    BadRequest,
    Conflict,
    InvalidVersion,
    ModelNotFound,
    RequestTimeout,
    ServiceUnavailable,
    WorkerStartFailed,
)
from mms.serving import RegisterOptions

OK = "def handle(data, context):\n    return data and ['OK'] * len(data)\n"
ECHO = "def handle(data, context):\n    return data and [d['body'] for d in data]\n"
PID = "import os\ndef handle(data, context):\n    return data and [str(os.getpid())] * len(data)\n"
SLEEP = """
import time
def handle(data, context):
    if data is None:
        return None
    time.sleep(max(float(d['body']) for d in data))
    return ['OK'] * len(data)
"""
BROKEN = "def handle(data, context):\n    raise RuntimeError('no such weights')\n"
STARVED = "def handle(data, context):\n    raise MemoryError\n"
CRASH = """
import os
def handle(data, context):
    if data and any(d['body'] == 'die' for d in data):
        os._exit(3)
    return data and ['OK'] * len(data)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_model_without_workers_is_registered_and_answers_503(bench):
    outcome = await bench.register("m", OK, initial_workers=0)
    assert (outcome.status, outcome.text) == (200, 'Model "m" registered')
    with pytest.raises(ServiceUnavailable, match="No worker is available"):
        await bench.predict("m")


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ({"model_name": "a\n[ERROR] forged"}, "name 'a\\n[ERROR] forged'"),
        ({"model_name": "a\x1b[31m"}, "name"),
        ({"model_version": "1\u2028"}, "version"),
    ],
)
async def test_a_name_that_would_break_a_line_of_the_log_is_refused(bench, named, what):
    bench.write("m", OK)
    with pytest.raises(BadRequest, match=r"has a control character") as caught:
        await bench.host.register(RegisterOptions("m", initial_workers=1, **named))
    assert what in caught.value.message
    assert not bench.host.registry.all()


@pytest.mark.parametrize("name", [".", ".."])
async def test_a_name_that_clients_take_out_of_a_path_is_refused(bench, name):
    bench.write("m", OK)
    with pytest.raises(BadRequest, match="take out of a path"):
        await bench.host.register(RegisterOptions("m", model_name=name))
    assert not bench.host.registry.all()


async def test_a_registered_model_predicts(bench):
    outcome = await bench.register("m", ECHO)
    assert (outcome.status, outcome.text) == (200, "Workers scaled")
    assert await bench.predict("m", b"hello") == (200, b"hello")


async def test_a_registration_that_does_not_wait_says_so_and_comes_up(bench):
    outcome = await bench.register("m", OK, synchronous=False)
    assert (outcome.status, outcome.text) == (202, "Processing worker updates...")
    await until(lambda: bench.described("m")["workers"][0]["status"] == "READY")
    assert await bench.predict("m") == (200, b"OK")


async def test_a_model_whose_workers_cannot_load_is_gone_again(bench):
    with pytest.raises(WorkerStartFailed, match="Failed to start workers") as caught:
        await bench.register("m", BROKEN)
    assert caught.value.http_status == 500
    with pytest.raises(ModelNotFound):
        bench.described("m")


async def test_a_model_that_is_short_of_memory_is_gone_and_can_come_again(bench):
    with pytest.raises(WorkerStartFailed) as caught:
        await bench.register("m", STARVED)
    assert caught.value.http_status == 507
    (bench.store / "m" / "service.py").write_text(OK)
    from mms.serving import RegisterOptions

    outcome = await bench.host.register(RegisterOptions("m", initial_workers=1))
    assert outcome.status == 200


async def test_a_failed_load_shows_its_traceback_in_describe_and_in_the_log(bench):
    await bench.register("m", BROKEN, synchronous=False)
    await until(lambda: bench.described("m").get("loadError"))
    assert "no such weights" in bench.described("m")["loadError"]
    assert "Traceback" in bench.described("m")["loadTraceback"]
    assert any("no such weights" in text for _, text in bench.events.output)


async def test_a_worker_that_cannot_load_is_tried_again_and_says_when(bench):
    await bench.register("m", BROKEN, synchronous=False)
    worker = await until(
        lambda: [w for w in bench.described("m")["workers"] if w["state"] == "BACKOFF"]
    )
    assert worker[0]["status"] == "LOADING"
    assert "next start in 1 seconds" in worker[0]["reason"]


async def test_the_same_name_again_is_a_conflict_and_harms_nobody(bench):
    await bench.register("m", OK)
    from mms.serving import RegisterOptions

    with pytest.raises(Conflict, match="Model m is already registered."):
        await bench.host.register(RegisterOptions("m", initial_workers=1))
    assert await bench.predict("m") == (200, b"OK")


async def test_versions_stand_side_by_side_and_the_first_is_the_default(bench):
    await bench.register("m", "def handle(d, c):\n    return d and ['one']*len(d)", version="1")
    await bench.register("m", "def handle(d, c):\n    return d and ['two']*len(d)", version="2")
    assert (await bench.predict("m"))[1] == b"one"
    assert (await bench.predict("m", version="2"))[1] == b"two"
    outcome = await bench.host.set_default("m", "2")
    assert outcome.text == 'Default version successfully updated for model "m" to "2"'
    assert (await bench.predict("m"))[1] == b"two"
    with pytest.raises(InvalidVersion):
        await bench.host.unregister("m")
    await bench.host.unregister("m", "1")
    await bench.host.unregister("m")
    with pytest.raises(ModelNotFound):
        bench.described("m")


async def test_scaling_up_and_down_changes_the_number_of_processes(bench):
    await bench.register("m", PID)
    outcome = await bench.host.scale("m", None, 3, 3, True)
    assert outcome.text == "Workers scaled"
    pids = bench.pids("m")
    assert len(set(pids)) == 3
    await bench.host.scale("m", None, 1, 1, False)
    await until(lambda: len(bench.described("m")["workers"]) == 1)
    assert bench.pids("m") == pids[:1], "the newest go first"
    await until(lambda: not any(is_alive(pid) for pid in pids[1:]))


async def test_more_minimum_than_maximum_is_refused(bench):
    await bench.register("m", OK)
    with pytest.raises(BadRequest, match="max_worker cannot be less than min_worker."):
        await bench.host.scale("m", None, 2, 1, True)


async def test_no_workers_is_a_state_to_come_back_from(bench):
    await bench.register("m", OK)
    await bench.host.scale("m", None, 0, 0, True)
    with pytest.raises(ServiceUnavailable):
        await bench.predict("m")
    assert (await bench.host.scale("m", None, 1, 1, True)).text == "Workers scaled"
    assert await bench.predict("m") == (200, b"OK")


async def test_what_was_accepted_is_answered_when_the_model_is_scaled_to_nothing(bench):
    await bench.register("m", SLEEP)
    replies = [bench.submit("m", b"0.05")[1] for _ in range(5)]
    await bench.host.scale("m", None, 0, 0, False)
    answers = await asyncio.wait_for(asyncio.gather(*(r.done for r in replies)), 20)
    assert answers == [(200, b"OK")] * 5


async def test_what_was_accepted_is_answered_when_the_model_is_unregistered(bench):
    await bench.register("m", SLEEP)
    replies = [bench.submit("m", b"0.05")[1] for _ in range(5)]
    outcome = await bench.host.unregister("m")
    assert outcome.text == 'Model "m" unregistered'
    answers = await asyncio.wait_for(asyncio.gather(*(r.done for r in replies)), 20)
    assert answers == [(200, b"OK")] * 5


async def test_unregistering_leaves_no_process_and_no_folder(bench):
    await bench.register("m", OK, initial_workers=2)
    pids = bench.pids("m")
    await bench.host.unregister("m")
    await until(lambda: not any(is_alive(pid) for pid in pids))
    models = bench.folder / "models"
    assert not models.exists() or list(models.iterdir()) == []


async def test_an_unregistration_without_time_is_told_and_can_be_repeated(make_bench):
    bench = await make_bench(unregister_model_timeout=0)
    await bench.register("m", OK)
    with pytest.raises(RequestTimeout, match="Timed out while cleaning resources: m"):
        await bench.host.unregister("m")
    assert bench.described("m")["maxWorkers"] == 0
    bench.settings.unregister_model_timeout = 30
    assert (await bench.host.unregister("m")).status == 200


async def test_two_models_from_one_archive_do_not_share_a_fate(bench):
    from archiver import pack
    from mms.serving import RegisterOptions

    bench.write("m", OK)
    pack(bench.store / "m", model_name="both", handler="service:handle", export_path=bench.store)
    for name in ("a", "b"):
        await bench.host.register(RegisterOptions("both.mar", model_name=name, initial_workers=1))
    await bench.host.unregister("a")
    await bench.host.scale("b", None, 2, 2, True)
    assert await bench.predict("b") == (200, b"OK")


async def test_a_killed_worker_is_replaced_and_its_request_is_answered(bench):
    await bench.register("m", SLEEP)
    _, reply = bench.submit("m", b"0.3")
    await until(lambda: bench.described("m")["workers"][0]["state"] == "BUSY")
    (pid,) = bench.pids("m")
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(reply.done, 20) == (200, b"OK")
    assert bench.pids("m") != [pid]
    assert bench.described("m")["workers"][0]["restarts"] == 1


async def test_a_request_that_kills_its_worker_fails_and_the_next_is_served(bench):
    await bench.register("m", CRASH)
    assert await bench.predict("m", b"die") == (500, b"Worker died.")
    assert await bench.predict("m", b"live") == (200, b"OK")


async def test_a_request_over_the_response_timeout_fails_and_its_process_is_killed(bench):
    await bench.register("m", SLEEP, response_timeout_s=0.5)
    (pid,) = bench.pids("m")
    assert await bench.predict("m", b"60") == (500, b"Worker died.")
    await until(lambda: not is_alive(pid))
    assert await bench.predict("m", b"0") == (200, b"OK")


async def test_a_request_that_hangs_holds_up_no_answer_of_what_its_worker_did_before(bench):
    await bench.register("m", SLEEP, response_timeout_s=60)
    for _ in range(20):
        assert await bench.predict("m", b"0") == (200, b"OK")
    (pid,) = bench.pids("m")
    # It takes both with one read: its answer to the first is to go out with the second's.
    os.kill(pid, signal.SIGSTOP)
    (worker,) = bench.host.registry.get("m", None).model.workers
    worker.credits = 2  # a slow machine may take it for too slow to be sent two
    _, first = bench.submit("m", b"0")
    _, second = bench.submit("m", b"600")
    await until(lambda: len(worker.in_flight) == 2)
    os.kill(pid, signal.SIGCONT)
    assert await asyncio.wait_for(first.done, 30) == (200, b"OK")
    assert not second.done.done()
    os.kill(pid, signal.SIGKILL)


async def test_an_answer_that_came_while_the_process_was_held_up_is_in_time(bench):
    await bench.register("m", SLEEP, response_timeout_s=2, load_timeout_s=30)
    (pid,) = bench.pids("m")
    _, reply = bench.submit("m", b"0.01")
    await until(lambda: bench.described("m")["workers"][0]["state"] == "BUSY")
    time.sleep(2.5)  # noqa: ASYNC251 - holds up the loop
    # Its timers are due before it reads from workers: uvloop's order.
    bench.host.dispatcher._ticker.cancel()
    bench.host.dispatcher._tick()
    assert await asyncio.wait_for(reply.done, 20) == (200, b"OK")
    assert bench.pids("m") == [pid]


async def test_a_load_over_the_response_timeout_fails(bench):
    code = "import time\ntime.sleep(60)\ndef handle(d, c): pass"
    with pytest.raises(WorkerStartFailed):
        await bench.register("m", code, response_timeout_s=0.5)


async def test_what_a_worker_started_ends_with_it(bench):
    code = """
import subprocess
child = subprocess.Popen(["sleep", "600"])
def handle(data, context):
    return data and [str(child.pid)] * len(data)
"""
    await bench.register("m", code)
    child = int((await bench.predict("m"))[1])
    assert is_alive(child)
    await bench.host.unregister("m")
    await until(lambda: not is_alive(child))


async def test_workers_of_a_preloaded_model_share_one_load(bench):
    code = """
import os
loaded_in = os.getpid()
def handle(data, context):
    return data and [f"{loaded_in} {os.getpid()}"] * len(data)
"""
    await bench.register("m", code, initial_workers=2, preload_model=True)
    seen = set()
    for _ in range(50):
        seen.add((await bench.predict("m"))[1].split()[0])
        answers = await asyncio.gather(*(bench.predict("m") for _ in range(4)))
        workers = {answer[1].split()[1] for answer in answers}
        seen |= {answer[1].split()[0] for answer in answers}
        if len(workers) == 2:
            break
    assert len(seen) == 1
    assert seen.isdisjoint(workers)
    assert {int(pid) for pid in workers} == set(bench.pids("m"))


async def test_a_preloaded_model_that_cannot_load_says_so(bench):
    with pytest.raises(WorkerStartFailed):
        await bench.register("m", BROKEN, preload_model=True)


async def test_a_runtime_that_is_not_there_is_told(bench):
    with pytest.raises(WorkerStartFailed):
        await bench.register("m", OK, runtime="/no/such/python")


async def test_health_counts_workers_against_what_is_required(bench):
    assert bench.host.ping() == "Healthy"
    await bench.register("good", OK)
    assert bench.host.ping() == "Healthy"
    await bench.register("bad", BROKEN, synchronous=False)
    await until(lambda: bench.host.ping() == "Partial Healthy")
    await bench.host.unregister("good")
    assert bench.host.ping() == "Unhealthy"


async def test_a_draining_host_answers_what_it_has_and_refuses_the_rest(bench):
    await bench.register("m", SLEEP)
    replies = [bench.submit("m", b"0.05")[1] for _ in range(4)]
    draining = asyncio.ensure_future(bench.host.drain(20))
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        bench.submit("m", b"0")
    assert await draining
    assert [r.done.result() for r in replies] == [(200, b"OK")] * 4


async def test_a_drain_out_of_time_answers_all_the_same(bench):
    await bench.register("m", SLEEP)
    replies = [bench.submit("m", b"60")[1] for _ in range(3)]
    assert not await bench.host.drain(0.3)
    statuses = [(await asyncio.wait_for(r.done, 5))[0] for r in replies]
    assert statuses[0] in (500, 503) and statuses[1:] == [503, 503]


async def test_a_cancelled_request_is_not_run(bench):
    await bench.register("m", SLEEP)
    _, first = bench.submit("m", b"0.3")
    await until(lambda: bench.described("m")["workers"][0]["state"] == "BUSY")
    request, second = bench.submit("m", b"0.3")
    bench.host.cancel(request)
    await first.done
    await until(lambda: bench.described("m")["jobQueueStatus"]["pendingRequests"] == 0)
    assert not second.done.done()


async def test_a_full_queue_refuses(make_bench):
    bench = await make_bench(job_queue_size=2)
    await bench.register("m", SLEEP)
    replies = [bench.submit("m", b"0.2")[1] for _ in range(3)]
    with pytest.raises(ServiceUnavailable):
        bench.submit("m", b"0.2")
    for reply in replies:
        assert (await asyncio.wait_for(reply.done, 20))[0] == 200


SLOW_LOAD = """
import time
time.sleep(0.5)
def handle(data, context):
    return data and ['OK'] * len(data)
"""


async def test_a_registration_whose_model_was_replaced_meanwhile_leaves_the_new_one_alone(bench):
    first = asyncio.create_task(bench.register("m", SLOW_LOAD))
    await until(lambda: bench.host.has_model("m"))
    assert (await bench.host.unregister("m")).status == 200
    second = await bench.host.register(RegisterOptions("m", initial_workers=1))
    assert second.text == "Workers scaled"
    with pytest.raises(Conflict, match="m was unregistered while its workers were starting"):
        await first
    assert await bench.predict("m") == (200, b"OK")


async def test_workers_that_are_scaled_away_while_they_load_are_no_failed_registration(bench):
    registration = asyncio.create_task(bench.register("m", SLOW_LOAD, initial_workers=2))
    await until(lambda: bench.host.has_model("m"))
    await bench.host.scale("m", None, 1, 1, False)
    assert (await registration).status == 200
    assert await bench.predict("m") == (200, b"OK")


async def test_a_client_that_goes_takes_its_request_from_the_model_that_has_it(bench):
    await bench.register("m", SLEEP)
    _, running = bench.submit("m", b"0.5")
    waiting, _ = bench.submit("m", b"0.5")
    old = bench.host.registry.get("m")
    removal = asyncio.create_task(bench.host.unregister("m"))
    await until(lambda: not bench.host.registry.all())
    await bench.host.register(RegisterOptions("m", initial_workers=0))
    bench.host.cancel(waiting)
    assert not old.has(waiting)
    assert (await removal).status == 200
    assert await running.done == (200, b"OK")
