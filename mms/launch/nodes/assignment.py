"""What the host of a worker is told, as JSON-able members: by the front, on the way of whatever places hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: What belongs to a machine, or to a login there, and not to a model.
_OF_A_MACHINE = re.compile(
    "PATH|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|LD_PRELOAD|PYTHON[A-Z]*|VIRTUAL_ENV|CONDA_[A-Z_]*|HOME|USER|LOGNAME|SHELL|"
    "PWD|OLDPWD|HOSTNAME|TERM|TMPDIR|TEMP|TMP|LANG|LC_[A-Z]+|TZ|_|SHLVL|SSH_[A-Z_]*|XDG_[A-Z_]*|DISPLAY|DBUS_[A-Z_]*|"
    "CUDA_VISIBLE_DEVICES|NVIDIA_[A-Z_]*|RAY_[A-Za-z_]*|MMS_WORKER_[A-Z]+"
)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(slots=True)
class Assignment:
    """One worker for one host. It has a secret and a key: it goes to nobody else."""

    name: str
    secret: str
    #: Of the front: a host is of the same one.
    version: str
    runtime: str
    handler: str
    #: On the front's machine, as all paths here.
    model_dir: str
    packages: str | None
    decode_input_request: bool
    #: Variables that the model has from the front.
    variables: dict[str, str]
    #: Patterns for names of variables that models get of a node, and that none gets; empty: any, none.
    allowed_variables: str
    hidden_variables: str
    #: The front's Unix socket, for hosts on the same running machine; empty: nobody dials it.
    local_socket: str
    boot_id: str
    #: Where hosts of other machines dial in; no port: there is no such place.
    host: str = ""
    port: int = 0
    front_name: str = ""
    authority: str = ""
    certificate: str = ""
    key: str = ""
    #: How long the front may answer nothing until it is given up, in seconds.
    silence_s: float = 3.0
    #: Folder or file -> SHA-256 of what it is packed as.
    digests: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Assignment {self.name}>"

    def to_members(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_members(cls, members: Mapping[str, Any]) -> Assignment:
        return cls(**members)


def travelling(variables: Mapping[str, str]) -> dict[str, str]:
    """Return those variables that mean the same on another machine."""
    return {name: value for name, value in variables.items() if not _OF_A_MACHINE.fullmatch(name)}


def own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a node that a worker there may have: not what Ray tells its own processes."""
    return {name: value for name, value in environ.items() if not name.startswith("RAY_")}


def boot_id() -> str:
    """Return what names this machine since it was started; empty where the system has no such name."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""
