"""The end of a start: what it waits for, what it tells, and what it leaves behind."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import Commands
from support.processes import server_command
from support.server import STARTED, Server, ServerPool, manifest
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

MODELS = Path(__file__).parent / "models"
LIMIT_S = 60
BROKEN = "def handle(: pass\n"
GATED = """
import os, time
def handle(data, context):
    while data is None and not os.path.exists({gate!r}):
        time.sleep(0.02)
    return ["OK"] * len(data or [])
"""


def write_store(commands: Commands, **sources: str) -> Path:
    """A model store with `noop` and models of these sources."""
    store = commands.directory / "store"
    shutil.copytree(MODELS / "noop", store / "noop")
    for name, source in sources.items():
        (store / name / "MAR-INF").mkdir(parents=True)
        (store / name / "service.py").write_text(source)
        text = json.dumps(manifest(name))
        (store / name / "MAR-INF" / "MANIFEST.json").write_text(text)
    commands.write_config(model_store=str(store), default_workers_per_model="1")
    return store


def set_option(commands: Commands, **settings: str) -> None:
    with open(commands.directory / "config.properties", "a") as file:
        file.writelines(f"{key}={value}\n" for key, value in settings.items())


def start(commands: Commands, *models: str) -> tuple[int, str]:
    """Exit code and output of a start in the background, both streams read to their end."""
    done = subprocess.run(
        [
            *(server_command(), "--start", "--model-store", str(commands.directory / "store")),
            *("--models", *models),
        ],
        cwd=commands.directory,
        env=commands.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    return done.returncode, done.stdout


def ping(commands: Commands) -> str:
    status: str = commands.inference.get("/ping").json()["status"]
    return status


def test_a_start_whose_output_is_read_to_its_end_returns_and_a_hangup_opens_its_logs_anew(
    commands: Commands,
) -> None:
    """That SIGHUP drains a server in the foreground is tested with the other ways to stop."""
    write_store(commands)
    assert start(commands, "noop") == (0, f"{STARTED}\n")
    assert ping(commands) == "Healthy"
    pid = int(commands.pid_file.read_text())
    logs = commands.directory / "logs"
    for file in logs.glob("*.log"):
        file.rename(file.with_suffix(".old"))
    os.kill(pid, signal.SIGHUP)
    eventually("a line in the new file", lambda: "SIGHUP" in log_text(logs / "mms_log.log"))
    eventually(
        "all are there", lambda: len(list(logs.glob("*.log"))) == len(list(logs.glob("*.old")))
    )
    assert commands.inference.get("/predictions/noop").body == b"OK"
    assert commands.run("--stop").stdout == "Model server stopped.\n"


def log_text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_a_start_ends_with_a_line_for_each_model_that_is_not_up(commands: Commands) -> None:
    """One that is there and cannot be read is not called missing; another spelling is told the nearest name."""
    store = write_store(commands, broken=BROKEN)
    (store / "bad.mar").write_bytes(b"PK\3\4 and no more")
    code, output = start(commands, "noop", "broken", "gone=absent.mar", "bad.mar", "NOOP.mar")
    first, heading, *rows = output.splitlines()
    assert (code, first, heading.split()) == (0, STARTED, ["MODEL", "STATE", "WHY"])
    told = {name: (state, why) for name, state, why in (row.split(None, 2) for row in rows)}
    assert told["gone"] == ("missing", "Model not found in model store: absent.mar")
    assert told["broken"] == ("failed", "SyntaxError: invalid syntax (service.py, line 1)")
    assert told["bad"][0] == "refused"
    spelling = "Model not found in model store: NOOP.mar; did you mean noop?"
    assert told["NOOP"] == ("missing", spelling)
    assert len(rows) == 4
    assert ping(commands) == "Partial Healthy"
    for path in ("/startupz", "/readyz"):
        reply = commands.inference.get(path)
        assert reply.status == 503
        assert "gone is missing: Model not found" in reply.text
        assert "Model bad could not be registered: " in reply.text
    # What was wrong can be put right without another start.
    assert commands.management.delete("/models/broken").status == 200
    assert ping(commands) == "Partial Healthy"
    shutil.copytree(store / "noop", store / "late")
    for name in ("gone", "bad", "NOOP"):
        url = f"/models?url=late&model_name={name}&initial_workers=1&synchronous=true"
        assert commands.management.post(url).status == 200
    assert ping(commands) == "Healthy"
    assert commands.inference.get("/startupz").status == 200


def test_a_strict_start_fails_unless_every_model_is_up(commands: Commands) -> None:
    write_store(commands, broken=BROKEN)
    set_option(commands, strict_start="true")
    code, output = start(commands, "noop", "broken")
    reason, _, row = output.splitlines()
    assert code == 1
    assert "1 of the models that were named at the start is not up" in reason
    assert row.split(None, 2)[:2] == ["broken", "failed"]
    eventually("no process is left", lambda: not commands.processes(), timeout_s=15)
    assert not commands.pid_file.exists()
    assert start(commands, "noop") == (0, f"{STARTED}\n")
    assert commands.run("--stop").returncode == 0


def test_a_start_waits_for_a_model_that_takes_its_time_no_longer_than_startup_timeout(
    commands: Commands, scratch: Path
) -> None:
    gate = scratch / "gate"
    write_store(commands, slow=GATED.format(gate=str(gate)))
    set_option(commands, startup_timeout="0.3")
    code, output = start(commands, "slow")
    assert code == 0
    assert output.splitlines()[-1].split(None, 2)[:2] == ["slow", "loading"]
    gate.touch()
    eventually("it is up", lambda: commands.inference.get("/startupz").status == 200)
    assert commands.run("--stop").returncode == 0


def test_the_files_that_output_goes_to_stay_those_of_the_server(commands: Commands) -> None:
    write_store(commands)
    files = [commands.directory / "out.txt", commands.directory / "err.txt"]
    with open(files[0], "wb") as out, open(files[1], "wb") as err:
        subprocess.run(
            [server_command(), "--start", "--models", "noop", "--model-store", "store"],
            cwd=commands.directory,
            env=commands.environment,
            timeout=LIMIT_S,
            check=True,
            stdout=out,
            stderr=err,
        )
    pid = int(commands.pid_file.read_text())
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)] == list(map(str, files))
    assert files[0].read_text().count(STARTED) == 1
    assert commands.run("--stop").returncode == 0


def on_terminal(commands: Commands, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command on a terminal of its own, which it lets go of."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [server_command(), *arguments],
        cwd=commands.directory,
        env=commands.environment,
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    text = b""
    while True:
        try:
            chunk = os.read(parent, 65536)
        except OSError:
            # So ends a terminal that nobody has open any more.
            break
        if not chunk:
            break
        text += chunk
    os.close(parent)
    return process.wait(LIMIT_S), text.decode().replace("\r\n", "\n")


def test_a_terminal_is_shown_what_a_person_needs_and_the_file_the_configuration(
    commands: Commands,
) -> None:
    write_store(commands)
    code, output = on_terminal(commands, "--start", "--model-store", "store", "--models", "noop")
    assert code == 0
    for text in (
        commands.inference.address.setting(),
        commands.management.address.setting(),
        "noop",
        str(commands.directory / "logs"),
        "multi-model-server --stop",
        STARTED,
    ):
        assert text in output
    assert "Number of CPUs" not in output
    assert commands.run("--stop").returncode == 0
    log = (commands.directory / "logs" / "mms_log.log").read_text()
    assert "Number of CPUs: " in log
    for label in ("heap", "Netty", "direct buffer"):
        assert label not in log


def test_the_command_that_a_terminal_is_shown_stops_a_server_with_a_pid_file_of_its_own(
    commands: Commands,
) -> None:
    code, output = on_terminal(commands, "--start", "--pid-file", "own file.pid")
    assert code == 0
    shown = next(line for line in output.splitlines() if line.strip().startswith("Stop"))
    program, *arguments = shlex.split(shown)[1:]
    assert program == "multi-model-server"
    assert commands.run(*arguments).returncode == 0
    assert not (commands.directory / "own file.pid").exists()


@pytest.fixture(scope="module")
def foreground(servers: ServerPool) -> Iterator[Server]:
    settings = {"load_models": "noop,absent.mar", "default_workers_per_model": "1"}
    server = Server(servers.new_directory(), settings).start()
    yield server
    server.stop()


def test_a_registration_that_fails_logs_neither_a_load_nor_a_retry(foreground: Server) -> None:
    url = foreground.write_model("broken", "raise ValueError('not today')\n", manifest("broken"))
    assert foreground.register(url, initial_workers=2, synchronous="true").status == 500
    with foreground.registered("noop", model_name="last"):
        log = foreground.log("mms_log.log")
        foreground.wait_for_log("mms_log.log", r"Model last loaded\.")
    assert "Model broken loaded." not in log
    assert "Retry worker" not in log


def test_a_start_in_the_foreground_tells_what_is_not_up_and_goes_on(foreground: Server) -> None:
    eventually("the table", lambda: "\nabsent  missing  Model not found" in foreground.output())
    assert foreground.inference.get("/ping").json()["status"] == "Partial Healthy"
    assert foreground.inference.get("/predictions/noop").status == 200


def test_of_two_archives_of_one_model_under_all_one_is_loaded_and_both_are_named(
    commands: Commands,
) -> None:
    store = write_store(commands)
    shutil.copytree(store / "noop", store / "zz-copy")
    shutil.copytree(MODELS / "echo", store / "echo")
    code, output = start(commands, "ALL")
    (row,) = output.splitlines()[2:]
    assert (code, row.split(None, 2)[:2]) == (0, ["zz-copy", "duplicate"])
    assert "noop, which is loaded, and zz-copy have the same model name" in row
    assert "Model zz-copy is left out: " in commands.inference.get("/readyz").text
    listed = commands.management.get("/models").json()["models"]
    assert [model["modelUrl"] for model in listed] == ["echo", "noop"]


@pytest.mark.parametrize("goes_to", ["pipe", "same file"])
def test_a_warning_of_the_start_reaches_standard_error_wherever_output_goes(
    commands: Commands, scratch: Path, goes_to: str
) -> None:
    """Among them that a model store is not there."""
    store = write_store(commands)
    commands.write_config(
        model_store=f"{store} ",
        load_models="ALL" if goes_to == "pipe" else "",
        jobs_queue_size="7",
        number_of_gpu="4096",
        plugins_path="/nothing",
        cors_allowed_origin="a b",
    )
    with (scratch / "err").open("w+") as err:
        done = subprocess.run(
            [server_command(), "--start"],
            cwd=commands.directory,
            env=commands.environment,
            stdout=subprocess.PIPE if goes_to == "pipe" else err,
            stderr=err,
            text=True,
            timeout=LIMIT_S,
        )
        told = (scratch / "err").read_text()
    assert done.returncode == 0
    warnings = [line for line in told.splitlines() if line.startswith("Warning: ")]
    assert sum(f"model_store={store} is not an existing folder" in line for line in warnings) == 1
    assert f"ends with a blank; {store} exists" in told
    assert "plugins_path=/nothing is not an existing folder" in told
    assert "cors_allowed_origin=a b is no origin" in told
    assert "number_of_gpu=4096: this machine shows " in told
    assert told.count("unknown setting jobs_queue_size has no effect; did you mean") >= 1
    if goes_to == "pipe":
        assert "ALL" in done.stdout
    assert ping(commands) == ("Unhealthy" if goes_to == "pipe" else "Healthy")


def test_a_name_in_the_setting_models_that_nothing_registers_is_told(commands: Commands) -> None:
    """And that a store is a model."""
    store = write_store(commands)
    shutil.copytree(store / "noop" / "MAR-INF", store / "MAR-INF")
    said = {name: {"1.0": {"batchSize": 2}} for name in ("noop", "nop", "later", "gone")}
    set_option(commands, models=json.dumps(said))
    code, output = start(commands, "noop", "gone=absent.mar")
    assert code == 0
    assert "store is itself a model: it has a folder MAR-INF." in output
    log = (commands.directory / "logs" / "mms_log.log").read_text()
    told = [line for line in log.splitlines() if "The setting models names" in line]
    assert ["'nop', and no model of that name is registered; did you mean noop?" in told[0]] == [
        True
    ]
    assert "'later', and no model of that name is registered; it holds when one is." in told[1]
    assert len(told) == 2


def test_a_hangup_that_is_ignored_as_nohup_has_it_ends_nothing(commands: Commands) -> None:
    write_store(commands)
    set_option(commands, load_models="noop")
    server = subprocess.Popen(
        ["nohup", server_command(), "--foreground"],
        cwd=commands.directory,
        env=commands.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    commands.wait_until_ready()
    server.send_signal(signal.SIGHUP)
    assert commands.inference.get("/predictions/noop").body == b"OK"
    server.send_signal(signal.SIGTERM)
    assert server.wait(LIMIT_S) == 0
