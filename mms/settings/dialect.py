"""How another server is configured, for a command that stands for that server's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mms.interfaces import find_interface, part

if TYPE_CHECKING:
    from mms.settings.settings import Settings


def no_file(environ: Mapping[str, str]) -> Path | None:
    """Return no file."""
    return None


def nothing_more(settings: Settings, environ: Mapping[str, str]) -> None:
    """Add nothing to the settings."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server is configured; without values as MMS is.

    `variables`: what the names of variables that stand for settings begin with. `file_variable`: the one that names the
    properties file. `names`: keys that mean another setting here, by their name there; a unit is part of a name.
    `defaults`: values as they are written in a file. `find_file`: the file that is read where none is named and
    snapshots are not refused, before `config.properties`; None for none. `by_leave`: variables that count only where a
    setting says so, by key. `log_files`: names of log files, by MMS's. `complete`: draws conclusions from what was set;
    it raises ConfigurationError.
    """

    variables: str = "MMS_"
    #: Whether a variable beats a flag of the command.
    variables_win: bool = False
    file_variable: str = "MMS_CONFIG_FILE"
    names: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    by_leave: Mapping[str, str] = field(default_factory=dict)
    #: The version of a model whose archive names none; None: it has no versions.
    model_version: str | None = None
    log_files: Mapping[str, str] = field(default_factory=dict)
    find_file: Callable[[Mapping[str, str]], Path | None] = no_file
    complete: Callable[[Settings, Mapping[str, str]], None] = nothing_more


#: MMS's own.
OWN = Dialect()


def dialect_of(interface_name: str | None) -> Dialect:
    """Return the dialect of the server that a command stands for; None: of this one."""
    if interface_name is None:
        return OWN
    found: Dialect = part(find_interface(interface_name).config_dialect)
    return found
