"""How workers are started and reached."""

from mms.launch.choice import Launchers
from mms.launch.environment import MODEL_PATH_VARIABLE, interpreter, worker_environment
from mms.launch.interface import (
    Launcher,
    LaunchFailed,
    LinkListener,
    Unsendable,
    WorkerLink,
    WorkerSpec,
    server_home,
)
from mms.launch.process import ProcessLauncher
from mms.launch.secrecy import hide_process, keep_inherited_files, refuse_new_rights

__all__ = [
    "MODEL_PATH_VARIABLE",
    "LaunchFailed",
    "Launcher",
    "Launchers",
    "LinkListener",
    "ProcessLauncher",
    "Unsendable",
    "WorkerLink",
    "WorkerSpec",
    "hide_process",
    "interpreter",
    "keep_inherited_files",
    "refuse_new_rights",
    "server_home",
    "worker_environment",
]
