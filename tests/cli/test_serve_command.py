"""What `mms serve` makes of its options before there is a server."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mms.cli.mms import main
from mms.cli.serve import browser, ports
from mms.cli.serve.ports import PortUnusable, choose_listeners, port_of_management
from mms.processes.launch_options import LaunchOptions
from mms.processes.own_folder import own_folder
from mms.settings import Address, Settings, load_settings

from .conftest import StandIn

CLASS = "class Model:\n    def predict(self, X, names=None):\n        return X\n"
SPEC = '{"graph": {"kind": "router", "routes": {"m": {"class_name": "Model"}}}}'
SERVE = ("serve", "Model.py")
MLRUN = ("mlrun", "serve", "spec.json")
MICROSERVICE = ("microservice", "Model", "REST", "--metrics-port", "0")


def said(**settings: str) -> Settings:
    return load_settings(LaunchOptions(settings=settings), environ={})


@pytest.fixture
def started(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[LaunchOptions]:
    """The servers that a command would have become."""
    (folder / "Model.py").write_text(CLASS)
    (folder / "spec.json").write_text(SPEC)
    found: list[LaunchOptions] = []
    monkeypatch.setattr("mms.cli.starting.become", lambda options, *_, **__: found.append(options))
    return found


@pytest.fixture
def nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_listen", lambda host, port: port or 50_000)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that a browser was to open."""
    urls: list[str] = []
    monkeypatch.setattr(browser.webbrowser, "open", urls.append)
    monkeypatch.setattr(browser.signal, "signal", lambda *_: None)
    return urls


def test_a_page_is_opened_for_a_process_that_has_not_become_the_server_yet(
    opened: list[str], stand_in: StandIn
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = stand_in("pass", is_server=False)
        browser.open_when_up(Address("http", "0.0.0.0", port), "a b", process.pid)
    assert opened == [f"http://127.0.0.1:{port}/v2/models/a%20b"]


def test_no_page_is_opened_once_the_process_has_ended(opened: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.Popen([sys.executable, "-S", "-c", ""])
        process.wait()
        browser.open_when_up(
            Address("http", "127.0.0.1", listening.getsockname()[1]), None, process.pid
        )
    assert opened == []


def test_servers_on_any_free_port_have_a_folder_each(folder: Path) -> None:
    assert own_folder("mms-serve", 0) != own_folder("mms-serve", 0)
    assert own_folder("mms-serve", 8080) == own_folder("mms-serve", 8080)
    assert own_folder("mms-serve", 0).stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("nothing_listens")
def test_management_never_has_a_port_that_the_server_itself_listens_on() -> None:
    assert port_of_management(None, {8080: "x"}) == 8081
    assert port_of_management(None, {8081: "x"}) == 50_000
    with pytest.raises(PortUnusable, match="port 9 .* is that of gRPC, too; --management-port"):
        port_of_management(9, {9: "gRPC"})
    assert port_of_management(0, {0: "x"}) == 0


@pytest.mark.usefixtures("nothing_listens")
@pytest.mark.parametrize(
    ("settings", "flags", "inference", "management"),
    [
        ({}, {}, None, "http://127.0.0.1:8081"),
        ({}, {"port": 8081}, "http://127.0.0.1:8081", "http://127.0.0.1:50000"),
        ({"grpc_address": "h:8081"}, {}, None, "http://127.0.0.1:50000"),
        ({"inference_address": "http://h:8081"}, {}, None, "http://127.0.0.1:50000"),
        ({"inference_address": "https://h:1"}, {"port": 2}, "https://h:2", "http://127.0.0.1:8081"),
        ({"inference_address": "http://h:1"}, {"host": "::"}, "http://[::]:1", None),
        ({"inference_address": "unix:/s"}, {"port": 2}, "http://127.0.0.1:2", None),
        (
            {"management_address": "http://h:1"},
            {"host": "::1", "management_host": "::1"},
            "http://[::1]:8080",
            "http://[::1]:1",
        ),
        (
            {"inference_address": "http://h:1", "management_address": "http://h:1"},
            {},
            None,
            None,
        ),
    ],
)
def test_what_no_flag_says_is_as_the_settings_have_it(
    settings: dict[str, str], flags: dict[str, Any], inference: str | None, management: str | None
) -> None:
    chosen = choose_listeners(said(**settings), **flags)
    assert str(chosen.get("inference_address")) == str(inference)
    if management is not None or "management_address" in settings:
        assert str(chosen.get("management_address")) == str(management)


@pytest.mark.usefixtures("nothing_listens")
@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ({}, {"port": 9, "management_port": 9}),
        ({}, {"host": "0.0.0.0", "port": 9, "management_port": 9}),
        ({"inference_address": "http://127.0.0.1:9"}, {"management_port": 9}),
        ({"grpc_address": "127.0.0.1:9"}, {"management_port": 9}),
        ({"management_address": "http://127.0.0.1:9"}, {"port": 9}),
    ],
)
def test_a_flag_that_puts_management_where_the_server_listens_already_is_refused(
    settings: dict[str, str], flags: dict[str, Any]
) -> None:
    with pytest.raises(PortUnusable, match="--management-port"):
        choose_listeners(said(**settings), **flags)


@pytest.mark.parametrize(
    ("command", "flag", "setting"),
    [
        (SERVE, "--port=0", "inference_address"),
        (SERVE, "--host=::1", "inference_address"),
        (SERVE, "--management-port=0", "management_address"),
        (MLRUN, "--port=0", "inference_address"),
        (MLRUN, "--host=::1", "management_address"),
        (MLRUN, "--management-port=0", "management_address"),
        (MICROSERVICE, "--http-port=0", "inference_address"),
        (MICROSERVICE, "--grpc-port=0", "grpc_address"),
        (MICROSERVICE, "--management-port=0", "management_address"),
    ],
)
def test_a_setting_and_the_flag_that_says_the_same_are_a_misuse(
    started: list[LaunchOptions], command: tuple[str, ...], flag: str, setting: str
) -> None:
    result = CliRunner().invoke(main, [*command, flag, "--set", f"{setting}=http://127.0.0.1:0"])
    assert result.exit_code == 2
    assert f"{flag.partition('=')[0]} and --set {setting} say the same" in result.output
    assert started == []


@pytest.mark.usefixtures("nothing_listens")
@pytest.mark.parametrize("command", [SERVE, MLRUN, MICROSERVICE])
def test_a_setting_without_its_flag_says_where_the_server_listens(
    started: list[LaunchOptions], command: tuple[str, ...]
) -> None:
    pairs = ["--set", "inference_address=http://h:8081"]
    result = CliRunner().invoke(main, [*command, *pairs])
    assert result.exit_code == 0, result.output
    assert started[0].settings["inference_address"] == "http://h:8081"
    assert started[0].settings["management_address"] == "http://127.0.0.1:50000"


@pytest.mark.usefixtures("nothing_listens")
def test_the_host_of_a_function_counts_without_a_port(started: list[LaunchOptions]) -> None:
    result = CliRunner().invoke(main, [*MLRUN, "--host", "::"])
    assert result.exit_code == 0, result.output
    assert started[0].settings["inference_address"] == "http://[::]:8080"
    assert started[0].settings["management_address"] == "http://[::]:8081"


def test_a_function_whose_port_is_taken_is_told_so_before_it_is_loaded(
    started: list[LaunchOptions],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(main, [*MLRUN, "--port", str(port)])
    assert result.exit_code == 1
    assert f"port {port} of the inference API is taken" in result.output
    assert started == []


@pytest.mark.usefixtures("nothing_listens")
def test_serve_prints_its_log_as_json_on_request(started: list[LaunchOptions]) -> None:
    result = CliRunner().invoke(main, [*SERVE, "--json"])
    assert result.exit_code == 0, result.output
    assert started[0].settings["log_layout"] == "json"
    result = CliRunner().invoke(main, [*SERVE, "--json", "--set", "log_layout=text"])
    assert "--json and --set log_layout say the same" in result.output
