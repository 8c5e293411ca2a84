"""What `mms serve` makes of its options before there is a server."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mms.cli.serve import browser
from mms.cli.serve.own_folder import own_folder
from mms.settings import Address

from .conftest import StandIn


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
