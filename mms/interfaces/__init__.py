"""The table of interfaces: the contracts that models' code is written to, a package for each.

To add one: its package with an `interface.py`, and its entry here.
"""

from __future__ import annotations

from mms.interfaces.interface import AUTO, Command, Interface, Package, part
from mms.interfaces.legacy.interface import LEGACY
from mms.interfaces.mlrun.interface import MLRUN
from mms.interfaces.mms.interface import MMS
from mms.interfaces.oip.interface import OIP
from mms.interfaces.seldon.interface import SELDON
from mms.interfaces.torchserve.interface import TORCHSERVE

__all__ = [
    "AUTO",
    "CHOICES",
    "DEFAULT",
    "INTERFACES",
    "OF_CLASSES",
    "OF_PREPACKAGED",
    "PACKAGE_NAMES",
    "Command",
    "Interface",
    "Package",
    "find_codec",
    "find_interface",
    "part",
]

#: In the order in which they are asked whether a model is theirs: a model server of MLRun has a `predict`, as a
#: component of Seldon has, and one of Open Inference.
INTERFACES: tuple[Interface, ...] = (LEGACY, MLRUN, OIP, SELDON, TORCHSERVE, MMS)
#: The interface of a model that is none of the others'.
DEFAULT: Interface = MMS
#: The interface of the server's own classes for saved models.
OF_PREPACKAGED: Interface = SELDON
#: Those whose models are classes that are made with arguments.
OF_CLASSES = tuple(interface for interface in INTERFACES if interface.has_classes)
#: What a registration may name.
CHOICES = (AUTO, *(interface.name for interface in INTERFACES if interface.is_choosable))
#: Which one of these a model imports is said for each: the library, or an interface's stand-in.
PACKAGE_NAMES = tuple(package.name for interface in INTERFACES for package in interface.packages)

_BY_NAME = {interface.name: interface for interface in INTERFACES}


def find_interface(name: str) -> Interface:
    """Return the interface of a name. Raises ValueError for another name."""
    found = _BY_NAME.get(name)
    if found is None:
        # Here: each worker imports the table, and few ask for a name that is none.
        from mms.text.brief import brief

        raise ValueError(f"unknown interface {brief(name)}; there are {', '.join(_BY_NAME)}")
    return found


def find_codec(protocol: str) -> str:
    """Return where the codec of a protocol of tensors is made, for `part`. Raises ValueError for another name."""
    for interface in INTERFACES:
        for name, codec in interface.codecs:
            if name == protocol:
                return codec
    from mms.text.brief import brief

    raise ValueError(f"unknown protocol {brief(protocol)}")
