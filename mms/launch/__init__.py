"""How workers are started and reached."""

from mms.launch.environment import worker_environment
from mms.launch.interface import (
    Launcher,
    LaunchFailed,
    LinkListener,
    WorkerLink,
    WorkerSpec,
    server_home,
)
from mms.launch.process import ProcessLauncher

__all__ = [
    "LaunchFailed",
    "Launcher",
    "LinkListener",
    "ProcessLauncher",
    "WorkerLink",
    "WorkerSpec",
    "server_home",
    "worker_environment",
]
