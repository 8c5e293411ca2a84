"""Opening a page of the server in the user's browser."""

from __future__ import annotations

import signal
import socket
import time
import webbrowser
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from mms.cli.pid_file import is_server
from mms.settings import Address

#: A large model takes long to load.
_PATIENCE_S: Final = 600.0
_PAUSE_S: Final = 0.2


def open_when_up(address: Address, name: str | None, server_pid: int) -> None:
    """Wait until a server listens, and open what it says of a model. Returns early where its process has ended."""
    # Ctrl-C, which ends the server, is for this process, too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and is_server(server_pid):
        try:
            socket.create_connection((host, address.port), timeout=1).close()
        except OSError:
            time.sleep(_PAUSE_S)
            continue
        path = f"/v2/models/{quote(name, safe='')}" if name else "/api-description"
        webbrowser.open(f"{replace(address, host=host)}{path}")
        return
