"""The parameters of a registration: those of models of every interface, and a group of its own for each interface."""

from __future__ import annotations

from dataclasses import dataclass

from mms.interfaces.mlrun.registration import ServerParameters
from mms.interfaces.seldon.registration import ComponentParameters
from mms.registration import ModelParameters, group


@dataclass(frozen=True, slots=True)
class InterfaceParameters(ModelParameters):
    """How a model of any interface is registered. A group has the name of its interface."""

    seldon: ComponentParameters = group(ComponentParameters)
    mlrun: ServerParameters = group(ServerParameters)
