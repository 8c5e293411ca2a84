"""Fork servers that are killed, what must not be in them, and what a forked worker has of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.client import in_parallel
from support.processes import command_line
from support.server import Server, unique_name
from support.waiting import eventually

#: Runs the body, and answers with what it has called `found`.
_SOURCE = """
import json, os, sys
def handle(data, context):
    if data is None:
        return None
    names = {"os": os, "sys": sys}
    for row in data:
        exec(row["body"].decode(), names)
    return [json.dumps(names.get("found"))] * len(data)
"""
#: Importing it starts a thread of native code, as some libraries do.
_THREADED = """
import ctypes
library = ctypes.CDLL(None)
library.pthread_create(ctypes.byref(ctypes.c_ulong()), None, library.pause, None)
"""
#: Imported for all, these would change what each worker is.
_MEDDLING = "import os, sys; os.umask(0o077); sys.stdout = open(os.devnull, 'w')\n"
_FATAL = "import os; os._exit(7)\n"
#: What a process shows of itself.
_LOOK = """
import resource, signal, stat, threading
import random
def opened(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}").partition(":")[0]
    except OSError:
        return ""
found = {
    "environment": dict(os.environ),
    "arguments": sys.argv,
    "original arguments": sys.orig_argv,
    "command line": [a for a in open("/proc/self/cmdline").read().split(chr(0)) if a],
    "folder": os.getcwd(),
    "path": sys.path,
    "descriptors": sorted(opened(number) for number in range(256)),
    "signals": [str(signal.getsignal(n)).partition(" at ")[0] for n in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "leads its session": os.getsid(0) == os.getpid(),
    "user": [os.getuid(), os.getgid(), os.getgroups()],
    "umask": [os.umask(0o22), os.umask(0o22)],
    "limits": [
        resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")
    ],
    "threads": sorted(thread.name for thread in threading.enumerate()),
    "priority": os.nice(0),
    "start": sys.modules["__main__"].__name__,
    "finders": [str(type(finder)) for finder in sys.meta_path],
}
"""


class ForkingServer(Server):
    """A server whose models can import what is in `modules`."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.modules = directory / "modules"
        self.modules.mkdir(parents=True)
        (self.modules / "shared_module.py").write_text("value = 1\n")
        (self.modules / "threaded_module.py").write_text(_THREADED)
        (self.modules / "meddling_module.py").write_text(_MEDDLING)
        (self.modules / "fatal_module.py").write_text(_FATAL)
        super().__init__(directory, settings, environment={"PYTHONPATH": str(self.modules)})

    def fork_servers(self) -> set[int]:
        """Return the fork servers. Their forks look like them at first, and have other parents."""
        return {
            pid
            for pid in self.processes()
            if "--fork-server" in _arguments(pid)
            and any("supervisor_process" in each for each in _arguments(_parent(pid)))
        }

    def add_model(self, source: str = _SOURCE, folder: str = "", **files: str) -> str:
        """A model with one worker. `folder`: below the model's, where its handler is. `files`: modules beside it."""
        name = self.write_model(unique_name("forked"), "")
        place = self.store / name / folder
        place.mkdir(exist_ok=True)
        for module, text in {"service": source, **files}.items():
            (place / f"{module}.py").write_text(text)
        handler = f"{folder}/service.py:handle" if folder else "service:handle"
        options = {"handler": handler, "initial_workers": 1, "synchronous": "true"}
        reply = self.register(name, model_name=name, **options)
        assert reply.status == 200, reply
        return name

    def run(self, model: str, code: str) -> Any:
        path = f"/predictions/{model}"
        reply = self.inference.post(path, code.encode(), content_type="application/octet-stream")
        assert reply.status == 200, reply
        return json.loads(reply.text)


def _parent(pid: int) -> int:
    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return 0


def _arguments(pid: int) -> list[str]:
    try:
        return command_line(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return []


def _start(**settings: str) -> Iterator[ForkingServer]:
    # Short, as a Unix socket's path has room for about a hundred characters.
    directory = Path(tempfile.mkdtemp(prefix="mmsf-"))
    server = ForkingServer(directory / "0", **settings)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def server() -> Iterator[ForkingServer]:
    names = "shared_module threaded_module absent_module tensorflow meddling_module fatal_module"
    yield from _start(preload_modules=",".join(names.split()))


@pytest.fixture(scope="module")
def spawning_server() -> Iterator[ForkingServer]:
    yield from _start(fork_server="off")


def test_a_forked_worker_is_as_one_that_was_started_by_itself(
    server: ForkingServer, spawning_server: ForkingServer
) -> None:
    shown = []
    for each in (server, spawning_server):
        model = each.add_model()
        text = json.dumps(each.run(model, _LOOK))
        (archives,) = each.temporary.glob(".mms-*")
        for own, word in (
            *((str(each.directory), "DIRECTORY"), (model, "MODEL"), (each.tag, "TAG")),
            (archives.name, "RUNTIME"),
        ):
            text = text.replace(own, word)
        found = json.loads(text)
        # The number of the registration.
        assert found["folder"].startswith("DIRECTORY/")
        shown.append(json.loads(text.replace(found["folder"], "FOLDER")))
    assert not spawning_server.fork_servers()
    assert server.fork_servers()
    for name, value in shown[0].items():
        assert value == shown[1][name], name


def test_the_log_names_the_process_that_workers_are_forked_from(server: ForkingServer) -> None:
    server.add_model()
    line = server.wait_for_log("mms_log.log", r"fork-server-\d+, process (\d+), is ready")
    assert int(line[1]) in server.fork_servers()


def test_nothing_of_a_model_shows_in_the_worker_of_another(server: ForkingServer) -> None:
    first = server.add_model(secret_module="value = 'first'")
    left = "; ".join(
        (
            "import secret_module, random",
            "os.environ['OF_FIRST'] = 'x'",
            "sys.argv.append('of-first')",
            "sys.path.append('/of-first')",
            "os.umask(0o77)",
            "held = open('/etc/hostname')",
            "sys.held = held",
            "found = os.getpid()",
        )
    )
    assert server.run(first, left)
    second = server.add_model()
    look = """
found = {
    "modules": [name for name in sys.modules if "secret" in name],
    "environment": [name for name in os.environ if "OF_FIRST" in name or "SECRET" in name],
    "started with": [v for v in open("/proc/self/environ").read().split(chr(0)) if "SECRET" in v or "FIRST" in v],
    "arguments": [a for a in (*sys.argv, *sys.path) if "first" in a],
    "files": [p for p in (os.readlink("/proc/self/fd/" + n) for n in "0123456789") if "hostname" in p]
        if all(os.path.lexists("/proc/self/fd/" + n) for n in "0123456789") else [],
    "attributes": hasattr(sys, "held"),
    "umask": os.umask(0o22),
}
"""
    found = server.run(second, look)
    assert found == {**dict.fromkeys(found, []), "attributes": False, "umask": 0o22}


def test_workers_draw_random_numbers_of_their_own(server: ForkingServer) -> None:
    draw = "import random, uuid; found = [random.random(), str(uuid.uuid4())]"
    drawn = [server.run(server.add_model(), draw) for _ in range(2)]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_one_more_worker_takes_little_memory_of_its_own(server: ForkingServer) -> None:
    server.add_model()
    look = """
found = sum(
    int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Private_Dirty")
)
"""
    assert server.run(server.add_model(), look) < 4500  # kB


def test_workers_stay_when_their_fork_server_is_killed_and_the_next_worker_gets_a_new_one(
    server: ForkingServer,
) -> None:
    model = server.add_model()
    pid = server.run(model, "found = os.getpid()")
    (old,) = server.fork_servers()
    os.kill(old, signal.SIGKILL)
    other = server.add_model()
    assert server.run(other, "found = os.getpid()")
    assert server.fork_servers() and old not in server.fork_servers()
    assert server.run(model, "found = os.getpid()") == pid


def test_how_a_worker_ended_shows_also_when_its_fork_server_is_gone(server: ForkingServer) -> None:
    model = server.add_model()
    for fork_server in server.fork_servers():
        os.kill(fork_server, signal.SIGKILL)
    eventually("it is gone", lambda: not server.fork_servers())
    server.inference.post(
        f"/predictions/{model}", b"os._exit(23)", content_type="application/octet-stream"
    )
    server.wait_for_log("mms_log.log", f"{model}.*exit code 23")


def test_a_module_that_starts_threads_is_left_out_and_the_log_says_why(
    server: ForkingServer,
) -> None:
    model = server.add_model()
    loaded = "found = ['shared_module' in sys.modules, 'threaded_module' in sys.modules]"
    assert server.run(model, loaded) == [True, False]
    server.wait_for_log(
        "mms_log.log",
        "Module threaded_module is not preloaded. .*: it has 1 thread besides its main one",
    )
    server.wait_for_log("mms_log.log", "cannot import absent_module: ModuleNotFoundError")
    server.wait_for_log("mms_log.log", "preload_modules: tensorflow is not preloaded")


def test_a_module_that_changes_the_process_or_ends_it_is_left_out_and_named(
    server: ForkingServer,
) -> None:
    model = server.add_model()
    look = "found = [name in sys.modules for name in ('shared_module', 'meddling_module')]"
    assert server.run(model, look) == [True, False]
    server.wait_for_log(
        "mms_log.log",
        "Module meddling_module is not preloaded: its import changes the umask, which would be so in all workers",
    )
    server.wait_for_log(
        "mms_log.log",
        "Module fatal_module is not preloaded: its import has ended the process: exit code 7",
    )


def test_a_model_gets_its_own_file_where_a_preloaded_module_has_its_name(
    server: ForkingServer,
) -> None:
    look = "import shared_module; found = shared_module.value"
    model = server.add_model(shared_module="value = 'of the model'")
    # The folder of the operator's PYTHONPATH comes first, in each worker.
    assert server.run(model, look) == 1
    model = server.add_model(folder="code", shared_module="value = 'of the model'")
    assert server.run(model, look) == "of the model"


def test_a_changed_module_is_imported_anew(server: ForkingServer) -> None:
    look = "import shared_module; found = shared_module.value"
    assert server.run(server.add_model(), look) == 1
    file = server.modules / "shared_module.py"
    file.write_text("value = 1234\n")
    try:
        eventually("it is new", lambda: server.run(server.add_model(), look) == 1234)
        server.wait_for_log("mms_log.log", "shared_module.py has changed")
    finally:
        file.write_text("value = 1\n")


def test_what_two_models_import_is_learned(server: ForkingServer) -> None:
    (server.modules / "costly_module.py").write_text("import time, costly_part\n")
    (server.modules / "costly_part.py").write_text(
        "import time; time.sleep(0.02); import json.tool\n"
    )
    look = "found = 'costly_module' in sys.modules"

    source = f"import costly_module\n{_SOURCE}"
    server.add_model(source)
    assert not server.run(server.add_model(), look)
    server.add_model(source)
    server.wait_for_log("mms_log.log", "is ready.*costly_module")
    eventually("it is preloaded", lambda: server.run(server.add_model(), look))


def test_models_load_while_fork_servers_are_killed(server: ForkingServer) -> None:
    is_over = threading.Event()

    killed: list[int] = []

    def kill_on() -> None:
        while not is_over.is_set():
            for pid in server.fork_servers():
                killed.append(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_on)
    killer.start()
    names: list[str] = []
    try:
        while len(killed) < 3:
            names += in_parallel([server.add_model] * 3)
    finally:
        is_over.set()
        killer.join()
    assert len({server.run(name, "found = os.getpid()") for name in names}) == len(names)


def test_a_preloaded_model_that_has_run_openmp_is_loaded_by_each_worker(
    start_server: Callable[..., Server],
) -> None:
    """A fork of its process would wait for threads that are not there."""
    server = start_server({"preload_model": "true"}, environment={"OMP_NUM_THREADS": "3"})
    source = """
import numpy, os
from sklearn.ensemble import HistGradientBoostingClassifier
rows = numpy.arange(200.0).reshape(100, 2)
model = HistGradientBoostingClassifier(max_iter=1).fit(rows, rows[:, 0] > 100)
loaded_in = os.getpid()
def handle(data, context):
    if data is None:
        return None
    model.predict(rows[:1])
    return [str(loaded_in == os.getpid())] * len(data)
"""
    name = server.write_model(unique_name("warm"), source)
    options = {"handler": "service:handle", "initial_workers": 1, "response_timeout": 60}
    reply = server.register(name, model_name=name, synchronous="true", **options)
    assert reply.status == 200, reply
    assert server.inference.post(f"/predictions/{name}", b"x").text == "True"
    server.wait_for_log(
        "mms_log.log", f"Model {name}: preload_model has no effect.* it has [0-9]+ threads? besides"
    )


def test_a_fork_server_that_is_stopped_is_killed_and_the_next_model_starts(
    server: ForkingServer,
) -> None:
    """A model may stop it, as its processes belong to the same user."""
    first = server.add_model()
    stopped = server.fork_servers()
    pid = server.run(first, "found = os.getpid()")
    for each in stopped:
        server.run(first, f"os.kill({each}, {int(signal.SIGSTOP)})")
    second = server.add_model()
    assert server.run(second, "found = 7") == 7
    assert server.run(first, "found = os.getpid()") == pid
    eventually("it is gone", lambda: not stopped & server.fork_servers())
