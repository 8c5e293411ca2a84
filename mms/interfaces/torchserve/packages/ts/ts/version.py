"""The version, as scripts ask for it."""

from __future__ import annotations

from . import __version__ as __version__
