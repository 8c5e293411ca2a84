"""The model archive format, both ways: packing folders into archives, and opening archives safely.

What packs is imported when it is used: a server opens archives only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archiver.component import (
    Component,
    InvalidComponent,
    checked_parameters,
    uri_scheme,
)
from archiver.errors import ArchiveError, InvalidArchive, InvalidManifest, PackError
from archiver.manifest import Manifest
from archiver.reading.limits import DEFAULT_LIMITS, Limits
from archiver.reading.unpack import Archive, Entry
from archiver.signing.keys import InvalidKey, TrustedKeys
from archiver.signing.signature import InvalidSignature
from archiver.version import __version__
from mms.interfaces import CHOICES as INTERFACES
from mms.registration import is_runtime

if TYPE_CHECKING:
    from archiver.packing.pack import pack

__all__ = [
    "DEFAULT_LIMITS",
    "INTERFACES",
    "Archive",
    "ArchiveError",
    "Component",
    "Entry",
    "InvalidArchive",
    "InvalidComponent",
    "InvalidKey",
    "InvalidManifest",
    "InvalidSignature",
    "Limits",
    "Manifest",
    "PackError",
    "TrustedKeys",
    "__version__",
    "checked_parameters",
    "is_runtime",
    "pack",
    "uri_scheme",
]


def __getattr__(name: str) -> Any:
    if name != "pack":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from archiver.packing.pack import pack

    return pack
