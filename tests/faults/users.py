"""Servers whose workers run as another user than they do."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from support.server import Server

#: Settings of the server that tests share.
WORKERS_OF_NOBODY = {"worker_user": "nobody"}


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        pytest.skip("only a server that root starts can run workers as another user")
    return pwd.getpwnam("nobody")


def open_folders(server: Server) -> None:
    for folder in (server.directory.parent, server.directory, server.temporary):
        folder.chmod(0o755)
    (server.directory / "secret").write_text("secret")
    (server.directory / "secret").chmod(0o600)


def is_open_to_all(file: str) -> bool:
    path = Path(file).resolve()
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in path.parents)


def python_for_all() -> str:
    """The runtime to name: the server's, or where that is in a folder of root's alone the system's."""
    if is_open_to_all(os.__file__):
        return "python"
    system = "/usr/bin/python3"
    if not os.path.exists(system):
        pytest.skip("no interpreter that another user can read")
    return system
