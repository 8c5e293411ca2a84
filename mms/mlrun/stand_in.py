"""For the package that stands in for mlrun: names imported when they are used, and words for those that are missing."""

from __future__ import annotations

import sys

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PACKAGE = "mlrun"


def missing_text(name: str) -> str:
    return (
        f"{name} is not part of the stand-in for mlrun that this server has for serving classes; what needs it needs "
        f"the package mlrun itself, installed where the model runs"
    )


def offer(
    module: str, names: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module: `names` are where each of its names is, `module` or `module:name`.

    `.name` is a module of this package.
    """

    def find(name: str) -> Any:
        place = names.get(name)
        if place is None:
            raise AttributeError(missing_text(f"{module}.{name}"))
        from importlib import import_module

        if place.startswith("."):
            # Importing it sets it.
            return import_module(_PACKAGE + place)
        source, _, its_name = place.partition(":")
        found = getattr(import_module(source), its_name or name)
        setattr(sys.modules[module], name, found)
        return found

    def known() -> list[str]:
        return sorted({*vars(sys.modules[module]), *names})

    return find, known


class MissingModules:
    """Says of modules that are not there why; the last to be asked."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Raises ImportError for a module of the stand-in that does not exist."""
        if not name.startswith(_PACKAGE + ".") or name.rpartition(".")[2].startswith("__"):
            return
        package = sys.modules.get(_PACKAGE)
        if package is not None and getattr(package, "is_stand_in", False):
            raise ImportError(missing_text(name), name=name)


def explain_missing_modules() -> None:
    if not any(getattr(finder, "__name__", "") == "MissingModules" for finder in sys.meta_path):
        sys.meta_path.append(MissingModules)
