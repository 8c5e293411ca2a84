"""Archives whose handlers fail, hang or end their process at import: refused in time, with nothing left."""

from __future__ import annotations

import asyncio
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.waiting import until

from mms.errors import ModelNotFound, WorkerStartFailed
from mms.serving import RegisterOptions

if TYPE_CHECKING:
    from conftest import Bench

_HANDLE = "\ndef handle(data, context):\n    return None if data is None else ['ok'] * len(data)\n"
_HANG = "import threading\nthreading.Event().wait()\n"
_MANIFEST = '{"runtime": "python", "model": {"modelName": "bad", "handler": "service:handle"}}'
_CHILD = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait()'])\n"
    "print('pid', child.pid, flush=True)\n"
)
_INITIALIZE = """
class Service:
    def initialize(self, context):
        {}
    def handle(self, data, context):
        return ['ok']
"""

FAILING = {
    "exception": ("raise OSError('no such license')\n" + _HANDLE, "no such license"),
    "syntax": ("def handle(data, context:\n", "SyntaxError|was never closed"),
    "exit": ("import sys\nsys.exit('not today')\n" + _HANDLE, "not today|SystemExit"),
    "exit at once": (
        "import os\nos._exit(3)\n" + _HANDLE,
        "worker ended while it loaded the model: exit code 3",
    ),
    "killed": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n" + _HANDLE,
        "worker ended while it loaded the model: killed by SIGKILL",
    ),
    "interrupted": ("raise KeyboardInterrupt\n" + _HANDLE, "KeyboardInterrupt|worker ended"),
    "out of memory": ("raise MemoryError\n" + _HANDLE, "MemoryError|ran out of memory|memory"),
    "no entry point": ("def other():\n    pass\n", "only one class in module service"),
    "busy": ("while True:\n    pass\n" + _HANDLE, "model did not load within 1 seconds"),
    "hang with a child": (_CHILD + _HANG + _HANDLE, "model did not load within 1 seconds"),
    "exit with a child": (_CHILD + "import os\nos._exit(3)\n", "worker ended while it loaded"),
    "exit in initialize": (_INITIALIZE.format("raise SystemExit(1)"), "SystemExit|worker ended|1"),
}


def _archive(bench: Bench, code: str) -> None:
    with zipfile.ZipFile(bench.store / "bad.mar", "w") as archive:
        archive.writestr("service.py", code)
        archive.writestr("MAR-INF/MANIFEST.json", _MANIFEST)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


#: One of each way to fail, where a parent loads the model from which workers are forked.
FAILING_PRELOADED = ("exception", "killed", "hang with a child", "exit with a child")


@pytest.mark.parametrize(
    ("case", "is_preloaded"),
    [*((case, False) for case in FAILING), *((case, True) for case in FAILING_PRELOADED)],
)
async def test_a_handler_that_cannot_be_loaded_is_refused_with_its_reason_and_leaves_nothing(
    bench: Bench, case: str, is_preloaded: bool
) -> None:
    code, said = FAILING[case]
    _archive(bench, f"import os\nprint('pid', os.getpid(), flush=True)\n{code}")
    timeout_s = 1 if "1 seconds" in said else 30
    started = time.monotonic()
    with pytest.raises(WorkerStartFailed, match="Failed to start workers") as caught:
        await bench.host.register(
            RegisterOptions(
                "bad.mar",
                initial_workers=1,
                load_timeout_s=timeout_s,
                preload_model=is_preloaded,
            )
        )
    assert time.monotonic() - started < 20
    assert re.search(said, caught.value.reason or ""), caught.value.reason
    with pytest.raises(ModelNotFound):
        bench.host.check_model("bad")
    assert os.listdir(bench.folder / "models") == []
    pids = [int(text.split()[1]) for *_, text in bench.events.output if text.startswith("pid ")]
    assert pids or case == "syntax"
    await until(lambda: not any(_is_running(pid) for pid in pids))


async def test_a_load_that_hangs_holds_up_no_other_model(bench: Bench) -> None:
    await bench.register("good", _HANDLE)
    begun, may_end = bench.folder / "begun", bench.folder / "may end"
    hangs = (
        "import pathlib, time\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        f"while not pathlib.Path({str(may_end)!r}).exists():\n    time.sleep(0.005)\n"
        "raise OSError('no such license')\n"
    )
    bench.write("hangs", hangs)
    loading = asyncio.ensure_future(
        bench.host.register(RegisterOptions("hangs", initial_workers=1, load_timeout_s=60))
    )
    await until(begun.exists)
    for _ in range(20):
        assert await bench.predict("good") == (200, b"ok")
    assert not loading.done()
    may_end.touch()
    with pytest.raises(WorkerStartFailed):
        await asyncio.wait_for(loading, 30)


async def test_a_registrations_load_timeout_goes_before_the_settings_and_both_before_a_batchs(
    make_bench: Callable[..., Any],
) -> None:
    bench = await make_bench(load_timeout_s=40.0)
    slow = "import time\ntime.sleep(1.2)\n" + _HANDLE
    await asyncio.gather(
        bench.register("one", slow, response_timeout_s=1),
        bench.register("two", slow, response_timeout_s=1, load_timeout_s=30),
        bench.register("three", slow, response_timeout_s=1, load_timeout_s=0),
    )
    assert bench.described("one")["loadTimeout"] == 40.0
    assert bench.described("one")["responseTimeout"] == 1
    assert bench.described("two")["loadTimeout"] == 30
    assert bench.described("three")["loadTimeout"] == 0
    bench.settings.load_timeout_s = None
    with pytest.raises(WorkerStartFailed):
        await bench.register("four", _HANG + _HANDLE, response_timeout_s=1)
    await bench.register("five", _HANDLE)
    assert "loadTimeout" not in bench.described("five")
