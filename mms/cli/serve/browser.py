"""Opening a page of the server in the user's browser."""

from __future__ import annotations

import signal
import socket
import time
import webbrowser
from typing import Final
from urllib.parse import quote

from mms.cli.pid_file import command_words
from mms.settings import Address

#: A large model takes long to load.
_PATIENCE_S: Final = 600.0
_PAUSE_S: Final = 0.2


def open_when_up(address: Address, name: str | None, server_pid: int) -> None:
    """Wait until a server listens, and open what it says of a model. Returns early where its process has ended.

    The process need not have become the server yet.
    """
    # Ctrl-C, which ends the server, is for this process, too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    address = address.reachable
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and command_words(server_pid):
        try:
            socket.create_connection((address.host, address.port), timeout=1).close()
        except OSError:
            time.sleep(_PAUSE_S)
            continue
        path = f"/v2/models/{quote(name, safe='')}" if name else "/api-description"
        webbrowser.open(f"{address}{path}")
        return
