"""How the fronts of a cluster are started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class FrontSpec:
    """How fronts are started. `number` grows with each change; fronts of another one are replaced in turn."""

    number: int = 0
    count: int = 0
    #: Of the server's command line: models, settings, and the text of its properties file.
    models: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    properties: str = ""
    #: Addresses that are to have any free port: the setting -> scheme and host.
    any_port: dict[str, str] = field(default_factory=dict)
    #: Seconds for a front that is to end.
    drain_s: float = 30.0
    #: Whether two fronts may be on one node.
    shares_nodes: bool = False

    def to_members(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of_members(cls, members: Mapping[str, Any]) -> FrontSpec:
        return cls(**{name: members[name] for name in cls.__slots__ if name in members})

    def starts_alike(self, other: FrontSpec) -> bool:
        """Whether a front that was started by the one need not be started anew for the other."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("models", "settings", "properties", "any_port")
        )
