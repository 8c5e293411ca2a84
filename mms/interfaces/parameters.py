"""The parameters of a registration: those of models of every interface, and a group of its own for each interface."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import TYPE_CHECKING

from mms.interfaces import INTERFACES, part
from mms.registration import AdmissionParameters, group

if TYPE_CHECKING:
    InterfaceParameters = AdmissionParameters
else:
    _GROUPS = [(each.name, part(each.parameters)) for each in INTERFACES if each.parameters]
    #: How a model of any interface is registered. A group has the name of its interface.
    InterfaceParameters = make_dataclass(
        "InterfaceParameters",
        [(name, kind, group(kind)) for name, kind in _GROUPS],
        bases=(AdmissionParameters,),
        frozen=True,
        slots=True,
        namespace={"__module__": __name__},
    )
