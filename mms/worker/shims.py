"""Packages of other servers that models import: the installed one, or what this server has in its place."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Final

from mms.brief import brief

CHOICES: Final = ("auto", "shim", "real")
_SHIMS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "shims")


def offer_package(package: str, folder: str, choice: str, setting: str) -> None:
    """Make a package importable: the server's own (`shim`), the installed one (`real`), or what there is (`auto`).

    `folder`: of the server's own, in `mms/shims`. Raises ValueError for another choice, which names the setting.
    """
    if choice not in CHOICES:
        raise ValueError(f"{setting} is {brief(choice)}, which is not one of {', '.join(CHOICES)}")
    path = os.path.join(_SHIMS, folder)
    if path in sys.path:
        return
    if choice == "shim":
        sys.path.insert(0, path)
    elif choice == "auto" and not _has_package(package):
        sys.path.append(path)


def withdraw_package(package: str, folder: str) -> None:
    """For a model that turned out to have no use for it: what it did not import is not there for it."""
    path = os.path.join(_SHIMS, folder)
    if package not in sys.modules and path in sys.path:
        sys.path.remove(path)


def _has_package(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    # A folder of that name without code is none.
    return spec is not None and spec.origin is not None
