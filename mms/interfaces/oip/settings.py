"""The settings of the Open Inference Protocol."""

from __future__ import annotations

from dataclasses import dataclass

from mms.settings.option import BOOLEAN, option

_SECTION = "Open Inference"


@dataclass(slots=True)
class OipSettings:
    """The values of the settings, under their names in a properties file."""

    oip_repository: bool | None = option(
        BOOLEAN,
        _SECTION,
        "Clients of inference may list, load and unload models of the model store; with `keys_file` a load needs a key "
        "with the role `management`. Without a value: on listeners that only this machine reaches.",
        is_own=True,
    )
    oip_shared_memory: bool = option(
        BOOLEAN,
        _SECTION,
        "Clients on this machine may register files of the server's user in /dev/shm, for tensors to be read from and "
        "written to. Whoever can ask for an inference can then have such files read and written.",
        default="false",
        is_own=True,
    )
