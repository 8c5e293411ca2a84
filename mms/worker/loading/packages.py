"""Packages that models import: the installed one, or the stand-in that an interface has for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from mms.interfaces import Interface
from mms.text.brief import brief

_AUTO: Final = "auto"
_CHOICES: Final = (_AUTO, "shim", "real")


def offer_packages(interface: Interface, choices: Mapping[str, Any]) -> None:
    """Make an interface's packages importable: the stand-ins (`shim`), the installed ones (`real`), or what there is.

    `choices`: those of the load. Raises ValueError for another choice, which names the setting.
    """
    for package in interface.packages:
        choice = choices.get(package.setting, _AUTO) if package.setting else _AUTO
        if choice not in _CHOICES:
            raise ValueError(
                f"{package.setting} is {brief(choice)}, which is not one of {', '.join(_CHOICES)}"
            )
        if package.folder in sys.path:
            continue
        if choice == "shim":
            sys.path.insert(0, package.folder)
        elif choice == _AUTO and not package.is_installed():
            sys.path.append(package.folder)


def withdraw_packages(interface: Interface) -> None:
    """Take back what a model did not import that turned out to be of another interface."""
    for package in interface.packages:
        if package.name not in sys.modules and package.folder in sys.path:
            sys.path.remove(package.folder)
