"""The node of the fake Ray: starts its actors, and knows which there are."""

from __future__ import annotations

import contextlib
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


class FakeNode:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listening = socket.socket(socket.AF_UNIX)
        self.path = str(folder / "node.sock")
        self._listening.bind(self.path)
        self._listening.listen(16)
        #: By namespace and name.
        self.actors: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        threading.Thread(target=self._serve, daemon=True).start()

    def running(self) -> list[subprocess.Popen[bytes]]:
        return [each for each in [*self.actors.values()] if each.poll() is None]

    def close(self) -> None:
        """End all, as a node does."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for actor in self.actors.values():
            actor.kill()
            actor.wait()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            # Who asks may be killed meanwhile.
            with (
                connection,
                contextlib.suppress(OSError, EOFError),
                connection.makefile("rb") as sent,
            ):
                request = pickle.load(sent)
                answer = getattr(self, f"_{request[0]}")(*request[1:])
                connection.sendall(pickle.dumps(answer))

    def _list(self, namespace: str) -> dict[str, tuple[int, str]]:
        return {
            name: (actor.pid, str(self._folder / f"{name}.sock"))
            for (space, name), actor in self.actors.items()
            if space == namespace and actor.poll() is None
        }

    def _start(self, namespace: str, name: str, environment: dict[str, Any]) -> tuple[int, str]:
        path = str(self._folder / f"{name}.sock")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen(8)
            actor = subprocess.Popen(
                [sys.executable, "-c", f"import ray; ray.serve_actor({listening.fileno()})"],
                env=environment,
                pass_fds=(listening.fileno(),),
            )
        self.actors[namespace, name] = actor
        return actor.pid, path
