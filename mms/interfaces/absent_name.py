"""Names of other projects' packages that the stand-ins of this server do not have."""

from __future__ import annotations

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class AbsentName:
    """A name that can be imported, named in annotations and derived from. Each use of it fails, with the reason."""

    def __init__(self, name: str, absence: str) -> None:
        """`absence`: why it is not here, and what to do."""
        self._name = name
        self.absence = absence

    def __repr__(self) -> str:
        return (
            f"<{self._name}, which is not part of the stand-in for {self._name.partition('.')[0]}>"
        )

    def __getattr__(self, name: str) -> AbsentName:
        if name.startswith("_"):
            raise AttributeError(f"{self._name} has no {name}: {self.absence}")
        return AbsentName(f"{self._name}.{name}", self.absence)

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(self.absence)

    def _refuse(self, *_: Any) -> Any:
        self()

    __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = _refuse
    __enter__ = __int__ = __float__ = _refuse

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type]:
        """Return the base of a class that derives from it: that class can be made, and has no objects."""
        text = self.absence

        def refuse(cls: type, *_: Any, **__: Any) -> Any:
            raise NotImplementedError(f"{cls.__name__} cannot be used: {text}")

        return (type(self._name.rpartition(".")[2], (), {"__new__": refuse}),)

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def __subclasscheck__(self, subclass: Any) -> bool:
        return False

    def __or__(self, other: Any) -> AbsentName:
        return self

    __ror__ = __or__
