"""MMS 0.x's entry in the table of interfaces."""

from __future__ import annotations

from mms.interfaces.interface import Interface


class LegacyInterface(Interface):
    name = "legacy"
    has_fixed_load_error = True
    worker = "mms.interfaces.legacy.worker"
    is_choosable = False
    has_old_manifest = True


LEGACY = LegacyInterface()
