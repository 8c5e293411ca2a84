"""The commands: flags, messages, exit codes, the PID file, starting and stopping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.background import Background, Gate
from support.commands import Commands
from support.processes import (
    command_line,
    command_path,
    is_alive,
    run_command,
    server_command,
    tagged_processes,
)
from support.server import MODELS, Server
from support.waiting import eventually

ALREADY_RUNNING = (
    "Model server is already running, please use multi-model-server --stop to stop MMS."
)
MAIN_WORD = "com.amazonaws.ml.mms.ModelServer"


# Flags


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_given(commands: Commands, flag: str) -> None:
    done = commands.run(flag)
    assert done.returncode == 0
    for word in (
        "--start",
        "--stop",
        "--mms-config",
        "--model-store",
        "--models",
        "--log-config",
        "--foreground",
    ):
        assert word in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--start", "--stop"],
        ["--unknown"],
        ["positional"],
        ["--mms-config"],
        ["--mo", "x"],
        ["--models"],
    ],
)
def test_a_misuse_of_flags_is_exit_2(commands: Commands, arguments: list[str]) -> None:
    done = commands.run(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_unambiguous_prefixes_of_flags_are_accepted(commands: Commands) -> None:
    done = commands.run("--fore", "--mms", "absent.properties")
    assert (done.returncode, done.stdout) == (
        1,
        "--mms-config file not found: absent.properties\n",
    )


def test_the_old_name_of_the_command_warns(commands: Commands) -> None:
    done = run_command(
        [command_path("mxnet-model-server"), "--stop"], commands.directory, commands.environment
    )
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "Warning: Calling MMS with mxnet-model-server. Please move to multi-model-server.",
        "Model server is not currently running.",
    ]


def test_the_export_command_says_where_to_go(commands: Commands) -> None:
    done = run_command(
        [command_path("multi-model-export")], commands.directory, commands.environment
    )
    assert done.returncode == 0
    assert "\033[93m" in done.stdout
    assert "\033[0m" in done.stdout
    assert "model-archiver" in done.stdout


# Checks before the start


def test_a_missing_log_configuration_is_told_with_its_real_path(commands: Commands) -> None:
    done = commands.run("--start", "--log-config", "absent.xml")
    expected = os.path.realpath(commands.directory / "absent.xml")
    assert (done.returncode, done.stdout) == (1, f"--log-config file not found: {expected}\n")


def test_an_invalid_temp_directory_is_told(commands: Commands) -> None:
    done = commands.run("--start", TEMP="/absent/folder")
    assert (done.returncode, done.stdout) == (
        1,
        "Invalid temp directory: /absent/folder, please check TEMP environment variable.\n",
    )


def test_a_missing_config_file_is_told(commands: Commands) -> None:
    done = commands.run("--start", "--mms-config", "absent.properties")
    assert (done.returncode, done.stdout) == (
        1,
        "--mms-config file not found: absent.properties\n",
    )


def test_a_missing_model_store_is_told(commands: Commands) -> None:
    done = commands.run("--start", "--model-store", "absent")
    assert (done.returncode, done.stdout) == (1, "--model-store directory not found: absent\n")


@pytest.mark.parametrize(
    "models", [["noop"], ["noop=noop.mar"], ["http://host/x.mar", "noop"], ["all"], ["a=ALL"]]
)
def test_local_models_need_a_model_store(commands: Commands, models: list[str]) -> None:
    commands.write_config(model_store=str(MODELS))
    done = commands.run("--start", "--models", *models)
    assert (done.returncode, done.stdout) == (
        1,
        "--model-store is required to load model locally.\n",
    )


def test_the_checks_have_their_order(commands: Commands) -> None:
    arguments = ["--start", "--log-config", "x", "--mms-config", "y", "--model-store", "z"]
    assert "--log-config" in commands.run(*arguments, TEMP="/absent").stdout
    assert "Invalid temp" in commands.run(*arguments[:1], *arguments[3:], TEMP="/absent").stdout
    assert "--mms-config" in commands.run(*arguments[:1], *arguments[3:]).stdout
    assert "--model-store" in commands.run(*arguments[:1], *arguments[5:]).stdout


def test_settings_of_the_virtual_machine_are_told(commands: Commands) -> None:
    commands.write_config(vmargs="-Xmx1g -Dlog4j.configurationFile=x")
    done = commands.run("--start", "--model-store", "absent")
    assert done.stdout.splitlines() == [
        "Warning: MMS is using non-default JVM parameters: -Xmx1g -Dlog4j.configurationFile=x",
        "--model-store directory not found: absent",
    ]


# Stopping without a server


def test_stopping_nothing_says_so(commands: Commands) -> None:
    done = commands.run("--stop")
    assert (done.returncode, done.stdout) == (0, "Model server is not currently running.\n")


def _ended_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_stopping_a_server_that_has_ended_removes_its_file(commands: Commands) -> None:
    commands.pid_file.write_text(str(_ended_pid()))
    done = commands.run("--stop")
    assert (done.returncode, done.stdout) == (0, "Model server already stopped.\n")
    assert not commands.pid_file.exists()


def test_an_orphaned_pid_file_is_removed_at_the_start(commands: Commands) -> None:
    commands.pid_file.write_text(str(_ended_pid()))
    done = commands.run("--start", "--model-store", "absent")
    assert done.stdout.splitlines() == [
        "Removing orphan pid file.",
        "--model-store directory not found: absent",
    ]
    assert not commands.pid_file.exists()


def test_a_running_server_is_not_started_again(commands: Commands) -> None:
    commands.write_config()
    code = "import time; time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, MAIN_WORD])
    try:
        commands.pid_file.write_text(str(other.pid))
        done = commands.run("--start")
    finally:
        other.kill()
        other.wait()
    assert (done.returncode, done.stdout) == (1, ALREADY_RUNNING + "\n")
    assert commands.pid_file.exists()


# In the background


def _main_processes(commands: Commands) -> list[int]:
    return [process.pid for process in commands.processes() if MAIN_WORD in command_line(process)]


def test_a_server_in_the_background_lives_on_and_is_stopped(commands: Commands) -> None:
    commands.write_config(default_workers_per_model="1")
    done = commands.run(
        "--start",
        "--model-store",
        str(MODELS),
        "--models",
        "noop",
        "second=echo",
    )
    assert done.returncode == 0
    commands.wait_until_ready()
    pid = int(commands.pid_file.read_text())
    assert commands.pid_file.read_text() == str(pid)
    assert _main_processes(commands) == [pid]
    listed = commands.management.get("/models").json()["models"]
    assert [model["modelName"] for model in listed] == ["noop", "second"]
    again = commands.run("--start")
    assert (again.returncode, again.stdout) == (1, ALREADY_RUNNING + "\n")
    stopped = commands.run("--stop")
    assert stopped.returncode == 0
    assert not commands.pid_file.exists()


@pytest.mark.better_than_mms
def test_a_start_is_the_default_and_returns_when_the_server_is_ready(commands: Commands) -> None:
    commands.write_config(
        model_store=str(MODELS), load_models="noop", default_workers_per_model="1"
    )
    assert commands.run().returncode == 0
    assert commands.inference.get("/ping").status == 200
    assert commands.inference.get("/predictions/noop").body == b"OK"
    stopped = commands.run("--stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Model server stopped.\n")
    eventually("no process is left", lambda: not commands.processes(), timeout_s=15)
    assert commands.run("--stop").stdout == "Model server is not currently running.\n"


@pytest.mark.better_than_mms
def test_a_start_in_the_background_that_fails_is_exit_1_and_says_why(commands: Commands) -> None:
    commands.write_config(inference_address="ftp://nowhere")
    done = commands.run("--start")
    assert done.returncode == 1
    reasons = [line for line in (done.stdout + done.stderr).splitlines() if "ftp://nowhere" in line]
    assert len(reasons) == 1
    assert "Invalid binding address: ftp://nowhere" in reasons[0]
    assert not commands.pid_file.exists()
    eventually("no process is left", lambda: not commands.processes(), timeout_s=15)


@pytest.mark.better_than_mms
def test_stopping_lets_requests_finish(commands: Commands, gate: Gate) -> None:
    commands.write_config(
        model_store=str(MODELS), load_models="obey", default_workers_per_model="1"
    )
    assert commands.run("--start").returncode == 0
    order = {**gate.order, "value": "finished"}
    predicting = Background(lambda: commands.inference.post_json("/predictions/obey", order))
    gate.wait_until_reached()
    stopping = Background(lambda: commands.run("--stop"))

    def refuses() -> bool:
        try:
            return commands.inference.get("/ping").status != 200
        except OSError:
            return True

    eventually("no new connections are taken", refuses)
    gate.open()
    assert predicting.result().text == "finished"
    stopped = stopping.result()
    assert (stopped.returncode, stopped.stdout) == (0, "Model server stopped.\n")
    eventually("no process is left", lambda: not commands.processes(), timeout_s=15)


@pytest.mark.better_than_mms
def test_stopping_ends_a_server_whose_handler_hangs(commands: Commands, gate: Gate) -> None:
    commands.write_config(
        model_store=str(MODELS),
        load_models="obey",
        default_workers_per_model="1",
        drain_timeout_s="1",
    )
    assert commands.run("--start").returncode == 0

    def predict() -> int:
        try:
            return commands.inference.post_json("/predictions/obey", gate.order).status
        except OSError:
            return 0

    predicting = Background(predict)
    gate.wait_until_reached()
    assert commands.run("--stop").stdout == "Model server stopped.\n"
    assert predicting.result() in (500, 503)
    eventually("no process is left", lambda: not commands.processes(), timeout_s=15)


# In the foreground


def test_a_server_in_the_foreground_ends_with_stop(start_server: Callable[..., Server]) -> None:
    server = start_server({})
    pid = int((server.temporary / ".model_server.pid").read_text())
    assert is_alive(pid)
    assert server.is_running()
    done = run_command([server_command(), "--stop"], server.directory / "stop", server.environment)
    assert done.returncode == 0
    assert server.wait() == 0


@pytest.mark.better_than_mms
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_main_process_ends_all_in_good_order_and_leaves_no_files(
    start_server: Callable[..., Server], number: signal.Signals
) -> None:
    server = start_server({"load_models": "noop", "default_workers_per_model": "2"})
    pid_file = server.temporary / ".model_server.pid"
    assert pid_file.exists()
    (main,) = (p.pid for p in tagged_processes(server.tag) if MAIN_WORD in command_line(p))
    os.kill(main, number)
    assert server.wait() == 0
    eventually("no process is left", lambda: not server.processes(), timeout_s=15)
    assert [p for p in server.temporary.rglob("*") if p.is_file() or p.is_socket()] == []
    assert "Traceback" not in server.output()
    assert "Model server stopped." in server.output()


@pytest.mark.better_than_mms
def test_two_servers_share_a_temp_folder_without_harm(
    start_server: Callable[..., Server], scratch: Path
) -> None:
    shared = scratch / "shared"
    shared.mkdir()
    settings = {"load_models": "noop", "default_workers_per_model": "1"}
    first = start_server(settings, environment={"TEMP": str(shared)})
    second = start_server(settings, environment={"TEMP": str(shared)})
    for server in (first, second):
        assert server.inference.get("/predictions/noop").body == b"OK"
    second.signal_main(signal.SIGTERM)
    second.wait()
    with first.registered("noop") as name:
        assert first.inference.get(f"/predictions/{name}").body == b"OK"


def test_a_log_configuration_for_java_is_accepted(
    start_server: Callable[..., Server], scratch: Path
) -> None:
    file = scratch / "log4j2.xml"
    file.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<Configuration><Appenders>'
        '<Console name="C" target="SYSTEM_OUT"><PatternLayout pattern="%m%n"/></Console>'
        '</Appenders><Loggers><Root level="info"><AppenderRef ref="C"/></Root>'
        "</Loggers></Configuration>\n"
    )
    server = start_server({}, arguments=["--log-config", str(file)])
    assert server.inference.get("/ping").status == 200


@pytest.mark.better_than_mms
def test_a_log_configuration_for_python_is_followed(
    start_server: Callable[..., Server], scratch: Path
) -> None:
    target = scratch / "own.log"
    file = scratch / "logging.json"
    file.write_text(
        '{"version": 1, "disable_existing_loggers": false,\n'
        ' "formatters": {"own": {"format": "OWN %(message)s"}},\n'
        ' "handlers": {"own": {"class": "logging.FileHandler", "formatter": "own",\n'
        f'  "filename": "{target}"}}}},\n'
        ' "root": {"level": "INFO", "handlers": ["own"]}}\n'
    )
    server = start_server({}, arguments=["--log-config", str(file)])
    assert server.inference.get("/ping").status == 200
    eventually("the own file is written", lambda: target.exists() and "OWN " in target.read_text())
