"""Which modules a load imports, and what they cost: a fork server can have imported them before."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence

#: TypeAlias and the like take longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

#: What costs less is not worth a mention, in seconds.
_LEAST_S = 0.005
_MOST = 64


class ImportRecorder:
    """A finder that finds nothing: Python asks it first for each module that is not yet imported.

    Counted are the modules that the model's own code names, each with all that it imports itself. The end of an import
    is not told: the begin of the last one within it stands for it.
    """

    def __init__(self, folders: Iterable[str]) -> None:
        """`folders`: of the model, whose own modules are nobody else's."""
        self._own = names_in(folders)
        self._costs: dict[str, float] = {}
        self._name = ""
        self._began_at = self._last_at = 0.0

    def __repr__(self) -> str:
        return f"<ImportRecorder {len(self._costs)} modules>"

    def start(self) -> None:
        sys.meta_path.insert(0, self)

    def stop(self) -> dict[str, float]:
        """Return the modules that cost most: name -> seconds, in the order of their imports."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._finish()
        costly = {name: cost for name, cost in self._costs.items() if cost >= _LEAST_S}
        kept = sorted(costly, key=costly.__getitem__, reverse=True)[:_MOST]
        return {name: round(cost, 4) for name, cost in costly.items() if name in kept}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        now = time.perf_counter()
        if self._name and _is_being_imported(self._name):
            self._last_at = now
            return None
        self._finish()
        if name.partition(".")[0] not in self._own:
            self._name = name
            self._began_at = self._last_at = now
        return None

    def _finish(self) -> None:
        name, self._name = self._name, ""
        # Some only look whether a module is there.
        if name in sys.modules:
            self._costs[name] = self._last_at - self._began_at


def names_in(folders: Iterable[str]) -> set[str]:
    """Return the names of modules that files in these folders could have."""
    names: set[str] = set()
    for folder in folders:
        try:
            names.update(entry.partition(".")[0] for entry in os.listdir(folder))
        except OSError:
            # The load tells of it.
            continue
    return names


def _is_being_imported(name: str) -> bool:
    module = sys.modules.get(name)
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
