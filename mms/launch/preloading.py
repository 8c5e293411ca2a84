"""Which modules a fork server imports: those that the operator names, and those that several models import."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

#: They start threads or open devices when they are imported, or replace what others have imported.
UNSAFE_MODULES = frozenset(
    {
        *("cudf", "cuml", "cupy", "jax", "jaxlib", "numba.cuda", "paddle", "polars"),
        *("pycuda", "pyspark", "ray", "tensorflow", "tensorrt", "torch_xla", "triton"),
        *("ddtrace", "debugpy", "eventlet", "gevent", "grpc", "newrelic", "pydevd", "uvloop"),
        *("antigravity", "idlelib", "this", "tkinter", "turtle"),
    }
)
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*", re.ASCII)
_MAX_NAME_CHARACTERS = 200
#: Modules that are remembered until a second model imports them.
_MOST_NOTED = 1000
#: Learned modules of one fork server.
_MOST_LEARNED = 64


def is_unsafe(name: str, others: Collection[str] = ()) -> bool:
    """Return whether a module, or a package that it is in, is one that is never preloaded. `others`: more of those."""
    parts = name.split(".")
    return any(
        ".".join(parts[:count]) in unsafe
        for count in range(1, len(parts) + 1)
        for unsafe in (UNSAFE_MODULES, others)
    )


class Preloading:
    """The modules of the fork servers of one kind. No I/O."""

    def __init__(self, modules: Sequence[str], never: Collection[str]) -> None:
        """`modules`: the operator's. `never`: the first packages of names that mean something else to each model."""
        self.modules = [name for name in dict.fromkeys(modules) if not is_unsafe(name)]
        self._never = set(never)
        #: Module -> the model that has imported it, while it is the only one.
        self._noted: dict[str, str] = {}
        self.learned: list[str] = []

    def __repr__(self) -> str:
        return f"<Preloading {len(self.modules)} named, {len(self.learned)} learned>"

    def note(self, model: str, imports: Mapping[str, Any]) -> bool:
        """Note what a model has imported that has loaded. Return whether there are new modules to preload."""
        has_new = False
        for name in imports:
            if not self._may_be_learned(name):
                continue
            first = self._noted.setdefault(name, model)
            if first != model and len(self.learned) < _MOST_LEARNED:
                del self._noted[name]
                self.learned.append(name)
                has_new = True
        while len(self._noted) > _MOST_NOTED:
            del self._noted[next(iter(self._noted))]
        return has_new

    def exclude(self, name: str) -> None:
        """A module turned out to be unsafe."""
        self._never.add(name)
        for names in (self.modules, self.learned):
            if name in names:
                names.remove(name)

    def _may_be_learned(self, name: str) -> bool:
        return (
            len(name) <= _MAX_NAME_CHARACTERS
            and _NAME.fullmatch(name) is not None
            and name not in self.learned
            and name not in self.modules
            and not is_unsafe(name, self._never)
        )
