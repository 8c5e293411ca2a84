"""Names of a package that are imported when they are first used: importing the package itself costs next to nothing."""

from __future__ import annotations

import sys
from importlib import import_module

#: typing takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def lazy_name(package: str, name: str, places: Mapping[str, str]) -> Any:
    """Return a name of a package, for its `__getattr__`; the next time it is there without asking.

    `places`: by name, the module that has it, or `module:attribute` where it is called otherwise there. Raises
    AttributeError for any other name, and whatever the import raises.
    """
    place = places.get(name)
    if place is None:
        raise AttributeError(f"module {package} has no attribute {name}", name=name)
    module, _, attribute = place.partition(":")
    found = getattr(import_module(module), attribute or name)
    setattr(sys.modules[package], name, found)
    return found
