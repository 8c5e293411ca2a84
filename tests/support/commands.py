"""`multi-model-server` as a command in a folder of its own."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import psutil

from .client import Address, Client
from .processes import (
    base_environment,
    free_port,
    run_command,
    server_command,
    tagged_processes,
)
from .waiting import eventually

Completed = subprocess.CompletedProcess[str]


class Commands:
    """Runs `multi-model-server` in one folder and ends whatever it leaves behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tag = uuid.uuid4().hex
        self.environment = base_environment(directory, self.tag)
        self.pid_file = Path(self.environment["TMPDIR"]) / ".model_server.pid"
        self.inference = Client(Address(port=free_port()))
        self.management = Client(Address(port=free_port()))

    def run(self, *arguments: str, **environment: str) -> Completed:
        return run_command(
            [server_command(), *arguments], self.directory, self.environment | environment
        )

    def write_config(self, **settings: str) -> None:
        """`config.properties` in the current directory, with the ports of this object."""
        lines = {
            "inference_address": self.inference.address.setting(),
            "management_address": self.management.address.setting(),
            **settings,
        }
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        (self.directory / "config.properties").write_text(text)

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            try:
                return self.inference.get("/ping").status == 200
            except OSError:
                return False

        eventually("the server answers", is_ready, timeout_s=30)

    def processes(self) -> list[psutil.Process]:
        return tagged_processes(self.tag)
