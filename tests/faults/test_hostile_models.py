"""Models whose code tries to hurt others: by lies about who it is, by what it leaves running, by what it says."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.background import Background
from support.processes import is_alive
from support.server import Server, unique_name
from support.waiting import eventually

from .models import write_echo
from .users import WORKERS_OF_NOBODY, nobody, open_folders, python_for_all

__all__ = ["nobody"]

#: Runs the body; the answer is the value of `answer` as JSON.
_OBEDIENT = """
import json, os, subprocess, sys, time
def handle(data, context):
    if data is None:
        return None
    names = {}
    exec(data[0]["body"], names)
    return [json.dumps(names.get("answer"))]
"""
#: Processes that no worker is the parent of: each in a session of its own, its starter gone.
_DAEMONS = """
import os, subprocess, time
folder = {folder!r}
subprocess.run(["setsid", "--fork", "sh", "-c", "echo $$ > " + folder + "/session; exec sleep 600"])
double = "setsid sh -c 'setsid sleep 600 & echo $! > " + folder + "/double' & "
subprocess.run(["setsid", "--fork", "sh", "-c", double])
names = ("session", "double")
while not all(os.path.exists(folder + "/" + n) and open(folder + "/" + n).read().strip() for n in names):
    time.sleep(0.01)
answer = [int(open(folder + "/" + n).read()) for n in names]
"""


def _register(server: Server, source: str = _OBEDIENT, **options: object) -> str:
    name = write_echo(server, unique_name("hostile"), source)
    order = {"url": name, "initial_workers": 1, "synchronous": True, **options}
    reply = server.management.post_json("/models", order)
    assert reply.status == 200, reply
    return name


def _run(server: Server, name: str, code: str) -> Any:
    reply = server.inference.post(f"/predictions/{name}", code, content_type="text/plain")
    assert reply.status == 200, reply
    return reply.json()


def _pid(server: Server, name: str) -> int:
    return int(_run(server, name, "import os; answer = os.getpid()"))


def _start_daemons(server: Server, name: str, folder: Path) -> list[int]:
    folder.mkdir(exist_ok=True)
    daemons = _run(server, name, _DAEMONS.format(folder=str(folder)))
    assert all(map(is_alive, daemons))
    return list(daemons)


def _all_gone(pids: list[int]) -> None:
    for pid in pids:
        eventually(f"{pid} is gone", lambda pid=pid: not is_alive(pid))  # type: ignore[misc]


def _end(server: Server, name: str, how: str) -> None:
    if how == "unregister":
        assert server.unregister(name).status == 200
    elif how == "scale down":
        assert server.management.put(f"/models/{name}?min_worker=0&synchronous=true").status == 200
    elif how == "exit":
        code = "import os; os._exit(0)"
        server.inference.post(f"/predictions/{name}", code, content_type="text/plain")
    elif how == "kill":
        os.kill(_pid(server, name), signal.SIGKILL)
    elif how == "response timeout":
        code = "import time; time.sleep(600)"
        reply = server.inference.post(f"/predictions/{name}", code, content_type="text/plain")
        assert reply.status == 500


@pytest.mark.parametrize(
    ("how", "preload"),
    [
        ("unregister", "false"),
        ("unregister", "true"),
        ("scale down", "false"),
        ("exit", "true"),
        ("kill", "false"),
        ("kill", "true"),
        ("response timeout", "false"),
    ],
)
def test_nothing_that_a_model_started_outlives_its_worker(
    shared_server: Callable[..., Server], tmp_path: Path, how: str, preload: str
) -> None:
    server = shared_server()
    name = _register(server, preload_model=preload, response_timeout=4, load_timeout=60)
    daemons = _start_daemons(server, name, tmp_path)
    _end(server, name, how)
    _all_gone(daemons)


@pytest.mark.parametrize("preload", ["false", "true"])
def test_daemons_that_end_before_their_worker_leave_no_zombies(
    shared_server: Callable[..., Server], preload: str
) -> None:
    server = shared_server()
    name = _register(server, preload_model=preload)
    pid = _pid(server, name)
    for _ in range(3):
        _run(server, name, "import os; os.system('true & true & setsid --fork true')")
    keeper = psutil.Process(pid).parent()
    assert keeper is not None
    for process in (psutil.Process(pid), keeper):
        eventually(
            "no zombie is left",
            lambda process=process: (
                not any(  # type: ignore[misc]
                    child.status() == psutil.STATUS_ZOMBIE for child in process.children()
                )
            ),
        )
    assert _pid(server, name) == pid


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_nothing_that_a_model_started_outlives_the_server(
    start_server: Callable[..., Server], tmp_path: Path, how: str
) -> None:
    server = start_server()
    forked = _start_daemons(server, _register(server, preload_model="true"), tmp_path / "forked")
    own = _start_daemons(server, _register(server), tmp_path / "own")
    server.signal_main(signal.Signals[how])
    server.wait()
    _all_gone(forked + own)


def test_what_a_model_started_runs_on_while_other_workers_end(
    shared_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = shared_server()
    kept = _start_daemons(server, _register(server), tmp_path / "kept")
    forked = _start_daemons(server, _register(server, preload_model="true"), tmp_path / "forked")
    for preload in ("false", "true"):
        other = _register(server, preload_model=preload)
        ended = _start_daemons(server, other, tmp_path / f"other-{preload}")
        _end(server, other, "unregister")
        _all_gone(ended)
    assert all(map(is_alive, kept + forked))


@pytest.mark.parametrize("preload", ["false", "true"])
def test_what_a_model_started_ends_even_where_its_keeper_is_killed(
    shared_server: Callable[..., Server], tmp_path: Path, preload: str
) -> None:
    server = shared_server()
    name = _register(server, preload_model=preload)
    pid = _pid(server, name)
    daemons = _start_daemons(server, name, tmp_path)
    keeper = psutil.Process(pid).parent()
    assert keeper is not None
    keeper.kill()
    _all_gone([pid, *daemons])
    assert _pid(server, name) != pid


def test_a_model_that_would_adopt_itself_does_not_keep_what_it_started(
    shared_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = shared_server()
    name = _register(server)
    # In place of its keeper.
    _run(server, name, "import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)")
    daemons = _start_daemons(server, name, tmp_path)
    _end(server, name, "unregister")
    _all_gone(daemons)


def test_processes_that_go_on_starting_others_are_all_ended(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server()
    name = _register(server)
    mark = f"{600 + os.getpid() / 1e7:.7f}"
    breeder = f"while :; do setsid --fork sleep {mark}; sleep 0.01; done"
    _run(
        server,
        name,
        f"import subprocess; subprocess.Popen(['setsid', '--fork', 'sh', '-c', {breeder!r}])",
    )

    def bred() -> bool:
        return subprocess.run(["pgrep", "-f", mark], stdout=subprocess.DEVNULL).returncode == 0

    eventually("it breeds", bred)
    _end(server, name, "kill")
    server.unregister(name)
    eventually("all are gone", lambda: not bred())


#: Is nobody's child for long: it starts the next one and ends, each in a session of its own, for at most a minute.
#: What is left holds a lock on the file.
_HOPS = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(file, fcntl.LOCK_SH)
end = time.time() + 60
if os.fork():
    os._exit(0)
while time.time() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
"""


@pytest.mark.parametrize("how", ["kill", "unregister", "keeper", "SIGTERM", "SIGKILL"])
def test_a_process_that_starts_the_next_one_and_ends_over_and_over_is_ended(
    shared_server: Callable[..., Server],
    start_server: Callable[..., Server],
    tmp_path: Path,
    how: str,
) -> None:
    server = start_server() if how.startswith("SIG") else shared_server()
    name = _register(server)
    file = tmp_path / "held"
    file.touch()
    command = f"[sys.executable, '-c', {_HOPS!r}, {str(file)!r}]"
    _run(server, name, f"import subprocess, sys; subprocess.run({command})")

    def is_held() -> bool:
        with open(file, "rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    assert is_held()
    if how == "keeper":
        keeper = psutil.Process(_pid(server, name)).parent()
        assert keeper is not None
        keeper.kill()
    elif how.startswith("SIG"):
        server.signal_main(signal.Signals[how])
        server.wait()
    else:
        _end(server, name, how)
    eventually("it is gone", lambda: not is_held(), 10)


def test_a_thousand_processes_below_one_another_end_with_their_worker(
    shared_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = shared_server()
    name = _register(server, response_timeout=20, load_timeout=60)
    last, script = tmp_path / "last", tmp_path / "chain"
    script.write_text(
        'if [ "$1" -gt 0 ]; then sh "$0" $(($1-1)); wait\n'
        f"else setsid --fork sh -c 'echo $$ > {last}; exec sleep 600'; sleep 600; fi\n"
    )
    _run(server, name, f"import subprocess; subprocess.Popen(['sh', {str(script)!r}, '1100'])")
    eventually("all have started", lambda: last.exists() and last.read_text().strip(), 60)
    # Both at once: another model's worker that hangs is found while this one is ended.
    other = _register(server, response_timeout=2, load_timeout=60)
    asked = Background(lambda: _end(server, other, "response timeout"))
    _end(server, name, "unregister")
    _all_gone([int(last.read_text())])
    asked.result()


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody else's."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_the_front_does_not_go_by_what_a_worker_says_its_process_is(
    shared_server: Callable[..., Server],
    nobody: pwd.struct_passwd,
    victim: subprocess.Popen[bytes],
) -> None:
    """Root's front may kill anybody, its workers' user may not."""
    server = shared_server(WORKERS_OF_NOBODY, before=open_folders)
    source = f"{_OBEDIENT}\nreal_pid = os.getpid\nos.getpid = lambda: {victim.pid}\n"
    options = {"preload_model": "true", "response_timeout": 3, "load_timeout": 60}
    name = _register(server, source, runtime=python_for_all(), **options)
    pid = _run(server, name, "import service; answer = service.real_pid()")
    assert [worker["pid"] for worker in server.describe(name)["workers"]] == [pid]
    _end(server, name, "response timeout")
    _all_gone([pid])
    server.unregister(name)
    assert victim.poll() is None


#: Dials in with the secret that the worker was started with, as each role and with more than one claim.
_SECOND_CONNECTION = """
import socket, sys
from mms.wire import HELLO, Hello, encode_frame
secret = open("/proc/self/environ").read().partition("MMS_WORKER_SECRET=")[2].partition(chr(0))[0]
address = sys.argv[sys.argv.index("--connect") + 1].removeprefix("unix:")
answer = []
for role in ("work", "control", "lifeline", "parent", "other"):
    for word in (secret, "guessed"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.settimeout(20)
            connection.sendall(encode_frame(HELLO, 0, Hello(word, role).to_payload()))
            answer.append(connection.recv(1).decode())
"""


def test_a_workers_secret_opens_no_second_connection(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server()
    name = _register(server)
    assert _run(server, name, _SECOND_CONNECTION) == [""] * 10
    assert _pid(server, name)


def test_a_secret_is_good_for_the_process_that_it_was_made_for_alone(
    shared_server: Callable[..., Server], tmp_path: Path
) -> None:
    """A worker that starts has not used its secret yet; another one knows it and is quicker."""
    server = shared_server()
    thief = _register(server)
    secret, go = tmp_path / "secret", tmp_path / "go"
    runtime = tmp_path / "python"
    runtime.write_text(
        f"#!/bin/sh\necho $MMS_WORKER_SECRET > {secret}.new\nmv {secret}.new {secret}\n"
        f'while [ ! -e {go} ]; do sleep 0.02; done\nexec {shutil.which("python3")} "$@"\n'
    )
    runtime.chmod(0o755)
    name = write_echo(server, unique_name("robbed"), _OBEDIENT)
    assert (
        server.register(name, runtime=str(runtime), initial_workers=1, synchronous="false").status
        == 202
    )
    eventually("it starts", secret.exists)
    code = _SECOND_CONNECTION.replace(
        'open("/proc/self/environ").read().partition("MMS_WORKER_SECRET=")[2].partition(chr(0))[0]',
        repr(secret.read_text().strip()),
    )
    assert _run(server, thief, code) == [""] * 10
    go.touch()
    eventually("it serves", lambda: server.describe(name)["workers"][0]["status"] == "READY")
    assert _pid(server, name) != _pid(server, thief)


@pytest.mark.parametrize(
    "forgery",
    [
        r"encode_headers = lambda *_, **__: b'x: 1\r\nContent-Length: 0\r\n'",
        r"encode_headers = lambda *_, **__: b'x: 1\r\n\r\nHTTP/1.1 200 OK\r\n'",
        r"encode_status = lambda _: 100",
    ],
)
def test_an_answer_that_a_worker_forged_reaches_no_client(
    shared_server: Callable[..., Server], forgery: str
) -> None:
    """Beside what `mms.worker` lets handlers say, as if the model had written the frame itself."""
    server = shared_server()
    name = _register(server)
    reply = server.inference.post(
        f"/predictions/{name}",
        f"import mms.worker.requests.result_encoder as encoder; encoder.{forgery}\nanswer = 1\n"
        # An answer is not made of plain results alone.
        "import sys; context = sys._getframe(1).f_locals['context']\n"
        "context.set_response_status(code=201)",
        content_type="text/plain",
    )
    assert (reply.status, reply.json()["message"]) == (500, "Worker died.")
    assert _pid(server, name)


def test_workers_come_back_where_their_supervisor_is_killed(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    names = [_register(server, preload_model=preload) for preload in ("false", "true")]
    before = [_pid(server, name) for name in names]
    # Keepers are forks of it.
    supervisor = next(
        process.pid
        for process in reversed(psutil.Process(before[0]).parents())
        if "supervisor_process" in Path(f"/proc/{process.pid}/cmdline").read_text()
    )
    os.kill(supervisor, signal.SIGKILL)
    server.wait_for_log(
        "mms_log.log", f"The supervisor of workers, process {supervisor}, has ended"
    )
    _all_gone(before)
    for name in names:
        assert _pid(server, name) not in before
