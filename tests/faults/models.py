"""Handlers for the tests of faults. Each echoes the text that it is given."""

from __future__ import annotations

import tarfile

from support.server import Server, manifest

#: Orders within a text: what the handler does when it comes to a body that contains one.
ECHO = """
import os, sys, threading, time

_lock = threading.Lock()

def handle(data, context):
    if data is None:
        return None
    texts = [str(row.get("body") or row.get("data") or "") for row in data]
    for text in texts:
        if "pause" in text:
            time.sleep(0.02)
        if "sleep" in text:
            time.sleep(0.5)
        if "poison" in text:
            os.kill(os.getpid(), 9)
        if "exit" in text:
            sys.exit(3)
        if "spin" in text:
            while True:
                pass
        if "deadlock" in text:
            _lock.acquire()
            _lock.acquire()
        if "pid" in text:
            return [str(os.getpid())] * len(data)
    return texts
"""


def write_echo(server: Server, name: str = "echo-orders", source: str = ECHO) -> str:
    """A model folder in the server's store. Returns its url."""
    return server.write_model(name, source, manifest(name))


def write_archive(server: Server, name: str) -> str:
    """An archive file of such a model, which the server unpacks to a folder. Returns its url."""
    folder = server.store / write_echo(server, name)
    with tarfile.open(server.store / f"{name}.tar.gz", "w:gz") as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                archive.add(path, str(path.relative_to(folder)))
    return f"{name}.tar.gz"
