"""The package `ts` as handlers import it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from mms.interfaces import find_interface


@pytest.fixture
def ts_package() -> Iterator[None]:
    """The stand-in is on the path, and nothing of it stays imported."""
    (package,) = find_interface("torchserve").packages
    sys.path.insert(0, package.folder)
    yield
    sys.path.remove(package.folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "ts"]:
        del sys.modules[name]
