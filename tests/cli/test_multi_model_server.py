"""The launcher: its checks, the life of its PID file, how it starts a server and ends one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.waiting import eventually

from mms.arg_parser import ArgParser
from mms.cli import starting, stopping
from mms.cli.multi_model_server import main, mxnet_main
from mms.processes.launch_options import ARGV_WORD, LaunchOptions

from .conftest import DEADLINE_S, StandIn

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from mms.cli.multi_model_server import main; sys.exit(main())",
]
ROOT = Path(__file__).resolve().parents[2]
RUNNING = "Model server is already running, please use multi-model-server --stop to stop MMS.\n"


@pytest.fixture
def fake_server(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`fake_server(program)`: what runs in place of the server. `say(line)` tells the launcher a line."""

    def use(program: str) -> None:
        prelude = "import os, sys, time, signal\nsay = lambda line: os.write(fd, line.encode() + b'\\n')\n"

        def command(options: LaunchOptions) -> list[str]:
            code = f"{prelude}fd = {options.ready_fd}\n{program}"
            return [sys.executable, "-S", "-c", code, ARGV_WORD]

        monkeypatch.setattr(starting, "server_command", command)

    return use


@pytest.fixture
def store(folder: Path) -> Path:
    """A configuration with ports that are free, and an empty model store."""
    store = folder / "store"
    store.mkdir()
    (folder / "config.properties").write_text(
        f"inference_address=unix:{folder}/i.sock\nmanagement_address=unix:{folder}/m.sock\n"
    )
    return store


@pytest.fixture
def living_children() -> Callable[[], list[psutil.Process]]:
    """The children of this process that a test has left running.

    An ended server stays as a zombie, since nobody waits for it. Other tests' servers are none of this one's.
    """
    others = set(psutil.Process().children())

    def find() -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process().children()
            if child not in others and child.status() != psutil.STATUS_ZOMBIE
        ]

    return find


# The command line


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["--mms", "c"], "mms_config"),
        (["--mms-c", "c"], "mms_config"),
        (["--fore"], "foreground"),
        (["--f"], "foreground"),
        (["--sta"], "start"),
        (["--sto"], "stop"),
        (["--model-s", "d"], "model_store"),
        (["--models", "a", "b=c"], "models"),
        (["--l", "x"], "log_config"),
    ],
)
def test_an_unambiguous_beginning_of_a_flag_is_the_flag(argv: list[str], name: str) -> None:
    given = vars(ArgParser.mms_parser().parse_args(argv))
    assert {key for key, value in given.items() if value} == {name}


@pytest.mark.parametrize(
    "argv",
    [
        ["--s"],
        ["--m", "x"],
        ["--model", "x"],
        ["--start", "--stop"],
        ["word"],
        ["--models"],
        ["--x"],
    ],
)
def test_a_misuse_of_flags_is_exit_code_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: multi-model-server" in capsys.readouterr().err


def test_an_unknown_flag_is_told_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--start", "--modelstore", "x"])
    assert "there is no --modelstore, did you mean --model-store?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["start"])
    assert "unrecognized arguments: start; did you mean --start?" in capsys.readouterr().err


def test_the_former_name_warns_and_does_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert mxnet_main(["--stop"]) == 0
    assert capsys.readouterr().out == (
        "Warning: Calling MMS with mxnet-model-server. Please move to multi-model-server.\n"
        "Model server is not currently running.\n"
    )


def test_the_checks_come_in_mms_s_order(
    folder: Path,
    pid_file: Path,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = folder / "c.properties"
    config.write_text("vmargs=-Xmx1g\n")
    log = folder / "log"
    log.symlink_to(folder / "real-log")
    argv = ["--log-config", str(log), "--mms-config", "gone", "--model-store", "gone"]
    argv += ["--models", "local.mar"]

    def told() -> str:
        assert main(argv) == 1
        return capsys.readouterr().out

    monkeypatch.setenv("TEMP", str(folder / "no-temp"))
    pid_file.write_text(str(stand_in("pass").pid))
    assert told() == RUNNING
    pid_file.write_text("0")
    missing = f"--log-config file not found: {folder / 'real-log'}\n"
    assert told() == f"Removing orphan pid file.\n{missing}"
    assert told() == missing
    (folder / "real-log").touch()
    assert told() == (
        f"Invalid temp directory: {folder / 'no-temp'}, please check TEMP environment variable.\n"
    )
    monkeypatch.delenv("TEMP")
    assert told() == "--mms-config file not found: gone\n"
    argv[3] = str(config)
    warning = "Warning: MMS is using non-default JVM parameters: -Xmx1g\n"
    assert told() == f"{warning}--model-store directory not found: gone\n"
    del argv[4:6]
    assert told() == f"{warning}--model-store is required to load model locally.\n"


@pytest.mark.parametrize(
    "model", ["HTTP://h/a.mar", "n=https://h/a.mar", "s3://b/k", "n=gs://b/k.mar", "ALL"]
)
def test_remote_models_need_no_store(
    model: str, fake_server: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_server("say('failed: reached')")
    assert main(["--models", model]) == 1
    assert capsys.readouterr().out == "reached\n"


@pytest.mark.parametrize("model", ["all", "a.mar", "n=a.mar", "file:///a.mar"])
def test_local_models_need_a_store(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models", model]) == 1
    assert capsys.readouterr().out == "--model-store is required to load model locally.\n"


def test_the_server_is_told_what_the_launcher_was_told() -> None:
    options = LaunchOptions("c", "-store", ["a", "n=b", "-c"], "l", "p")
    argv = options.to_argv()
    assert argv[0] == ARGV_WORD
    assert LaunchOptions.from_argv(argv) == options


# Starting in the background


def test_a_server_that_is_ready_stays_and_its_process_id_is_kept(
    pid_file: Path, fake_server: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake_server("say('ready'); time.sleep(20)")
    assert main(["--start"]) == 0
    pid = int(pid_file.read_text())
    assert pid_file.read_text() == str(pid)
    process = psutil.Process(pid)
    try:
        assert ARGV_WORD in process.cmdline()
        assert os.getsid(pid) == pid, "the terminal's end would end it"
        assert main(["--start"]) == 1
        assert capsys.readouterr().out == RUNNING
    finally:
        process.kill()
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("say('failed: The port is taken.')", "The port is taken."),
        ("sys.exit(3)", "The server process ended before it was ready: exit code 3."),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "The server process ended before it was ready: killed by SIGKILL.",
        ),
        (
            "os.kill(os.getpid(), signal.SIGRTMIN + 6)",
            f"The server process ended before it was ready: killed by signal {signal.SIGRTMIN + 6}.",
        ),
    ],
)
def test_a_server_that_fails_is_told_and_leaves_nothing(
    pid_file: Path,
    fake_server: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    program: str,
    told: str,
    living_children: Callable[[], list[psutil.Process]],
) -> None:
    fake_server(program)
    assert main([]) == 1
    assert capsys.readouterr().out == f"{told}\n"
    assert not pid_file.exists()
    assert living_children() == []


def test_a_failed_start_leaves_another_server_s_file_alone(
    pid_file: Path, fake_server: Callable[[str], None]
) -> None:
    # The launcher writes first: the program waits until it has.
    fake_server(
        f"path = {str(pid_file)!r}\n"
        "while not (os.path.exists(path) and open(path).read()): time.sleep(0.005)\n"
        "open(path, 'w').write('1')\nsay('failed: x')"
    )
    assert main([]) == 1
    assert pid_file.read_text() == "1"


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell's process in the background, which tests may be, ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_start_ends_the_server(
    pid_file: Path,
    fake_server: Callable[[str], None],
    interrupts: None,
    living_children: Callable[[], list[psutil.Process]],
) -> None:
    fake_server("time.sleep(60)")

    def interrupt() -> None:
        eventually("the pid is written", lambda: pid_file.exists() and bool(pid_file.read_text()))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert main([]) == 130
    thread.join()
    assert not pid_file.exists()
    assert living_children() == []


def test_an_interrupt_in_the_middle_of_a_destructor_ends_the_start(
    fake_server: Callable[[str], None],
    interrupts: None,
    living_children: Callable[[], list[psutil.Process]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupts:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    def read_settings(options: LaunchOptions) -> float:
        Interrupts()
        return 60.0

    monkeypatch.setattr(starting, "_start_timeout_s", read_settings)
    fake_server("time.sleep(5)")
    assert main([]) == 130
    assert living_children() == []


def test_a_pid_file_that_cannot_be_written_is_told_and_no_server_stays(
    folder: Path,
    fake_server: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
    living_children: Callable[[], list[psutil.Process]],
) -> None:
    fake_server("time.sleep(60)")
    path = folder / "no" / "file"
    assert main(["--pid-file", str(path)]) == 1
    assert (
        capsys.readouterr().out == f"PID file {path} cannot be written: No such file or directory\n"
    )
    assert living_children() == []


def test_a_folder_is_no_pid_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pid-file", str(folder)]) == 1
    assert capsys.readouterr().out == f"PID file {folder} cannot be read: Is a directory\n"


def test_a_module_of_the_current_folder_does_not_take_the_place_of_python_s(
    folder: Path, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("queue.py", "logging.py", "mms.py"):
        (folder / name).write_text("raise SystemExit('wrong module')\n")
    with open(folder / "config.properties", "a") as file:
        file.write("lane=perhaps\n")
    assert main([]) == 1
    output = capfd.readouterr()
    assert "lane=perhaps should be on or off" in output.out
    assert "wrong module" not in output.err


def test_closed_standard_streams_do_not_matter(folder: Path, store: Path, pid_file: Path) -> None:
    command = " ".join(f"'{word}'" for word in COMMAND)
    script = f"exec {command} --start <&- >&- 2>&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["sh", "-c", script], env=environment, timeout=60).returncode == 0
    assert main(["--stop"]) == 0
    assert not pid_file.exists()


def test_a_reader_that_goes_away_does_not_end_the_server(
    store: Path, pid_file: Path, folder: Path
) -> None:
    (folder / "config.properties").write_text(
        f"inference_address=unix:{folder}/i.sock\nmanagement_address=http://127.0.0.1:0\n"
    )
    read_fd, write_fd = os.pipe()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.run([*COMMAND, "--start"], env=environment, stdout=write_fd, timeout=60)
    os.close(write_fd)
    assert started.returncode == 0
    os.close(read_fd)
    server = psutil.Process(int(pid_file.read_text()))

    def management_port() -> int:
        return next(
            c.laddr.port for c in server.net_connections("tcp") if c.status == psutil.CONN_LISTEN
        )

    port = management_port()
    for _ in range(3):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/models") as answer:
            assert answer.status == 200
    assert main(["--stop"]) == 0


# In the foreground


def test_in_the_foreground_the_launcher_becomes_the_server(
    folder: Path, store: Path, pid_file: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*COMMAND, "--foreground"], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        while "Model server started." not in server.stdout.readline():
            assert server.poll() is None
        assert pid_file.read_text() == str(server.pid)
        assert ARGV_WORD in psutil.Process(server.pid).cmdline()
        server.send_signal(signal.SIGINT)
        server.stdout.read()
        assert server.wait(DEADLINE_S) == 0
    assert not pid_file.exists()
    assert list(folder.glob("*.sock")) == []


def test_a_failure_in_the_foreground_is_told_on_standard_output(folder: Path) -> None:
    (folder / "config.properties").write_text("job_queue_size=many\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [*COMMAND, "--foreground"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stdout.startswith("Invalid configuration: ")
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""
    assert not (folder / ".model_server.pid").exists()


# Stopping


def test_stopping_what_has_ended_removes_the_file(
    pid_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    pid_file.write_text(str(ended.pid))
    assert main(["--stop"]) == 0
    assert capsys.readouterr().out == "Model server already stopped.\n"
    assert not pid_file.exists()


def test_a_process_that_has_got_the_id_of_an_ended_server_is_left_alone(
    pid_file: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    other = stand_in("pass", is_server=False)
    pid_file.write_text(str(other.pid))
    assert main(["--stop"]) == 0
    assert capsys.readouterr().out == "Model server already stopped.\n"
    assert not pid_file.exists()
    assert other.poll() is None


def test_a_file_without_a_number_is_removed(
    pid_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pid_file.write_text("nonsense")
    assert main(["--stop"]) == 0
    assert capsys.readouterr().out == "Model server already stopped.\n"
    assert not pid_file.exists()


def _reaped(process: subprocess.Popen[bytes]) -> threading.Thread:
    """A server's parent collects it; here that is this process."""
    thread = threading.Thread(target=process.wait)
    thread.start()
    return thread


def test_a_server_is_stopped_by_a_signal_that_it_can_heed(
    pid_file: Path, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    server = stand_in("import signal, sys; signal.signal(15, lambda *_: sys.exit(7))")
    pid_file.write_text(str(server.pid))
    thread = _reaped(server)
    assert main(["--stop"]) == 0
    thread.join()
    assert server.returncode == 7
    assert capsys.readouterr().out == "Model server stopped.\n"
    assert not pid_file.exists()


def test_a_server_that_does_not_end_in_time_is_killed(
    pid_file: Path,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(stopping, "_DEFAULT_DRAIN_S", 0.1)
    monkeypatch.setattr(stopping, "_STOP_MARGIN_S", 0.1)
    server = stand_in("import signal; signal.signal(15, signal.SIG_IGN)")
    pid_file.write_text(str(server.pid))
    assert main(["--stop"]) == 0
    # It is a child of this process, which the command may leave to be reaped.
    server.wait(30)
    assert not psutil.pid_exists(server.pid)
    assert capsys.readouterr().out == "Model server stopped.\n"


@pytest.mark.parametrize(
    ("text", "environ", "drain_s"),
    [
        ("", {}, 30),
        ("drain_timeout_s=100", {}, 100),
        ("drain_timeout_s=1", {}, 30),
        ("", {"MMS_DRAIN_TIMEOUT_S": "200"}, 200),
        ("drain_timeout_s=long", {"MMS_DRAIN_TIMEOUT_S": ""}, 30),
    ],
)
def test_a_server_gets_the_time_to_drain_that_its_own_settings_give(
    folder: Path, text: str, environ: dict[str, str], drain_s: float
) -> None:
    config = folder / "c.properties"
    config.write_text(text)
    words = ["python", *LaunchOptions(mms_config=str(config)).to_argv()]
    assert stopping.drain_timeout_s(words, environ) == drain_s


def test_two_servers_of_one_folder_live_side_by_side(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    starts = []
    for name in "ab":
        (folder / f"{name}.properties").write_text(
            f"inference_address=unix:{folder}/{name}.sock\n"
            f"management_address=unix:{folder}/{name}.sock\n"
        )
        argv = ["--mms-config", f"{name}.properties", "--pid-file", f"{name}.pid"]
        starts.append(
            subprocess.Popen([*COMMAND, *argv], env=environment, stdout=subprocess.DEVNULL)
        )
    assert [start.wait(60) for start in starts] == [0, 0]
    assert main(["--stop", "--pid-file", "a.pid"]) == 0
    assert (folder / "b.sock").is_socket()
    assert not (folder / "a.sock").exists()
    assert main(["--stop", "--pid-file", "b.pid"]) == 0
    assert list(folder.glob("*.sock")) == []
