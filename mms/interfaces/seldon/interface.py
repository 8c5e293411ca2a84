"""Seldon Core's entry in the table of interfaces."""

from __future__ import annotations

from mms.interfaces.interface import Interface, Package


class SeldonInterface(Interface):
    name = "seldon"
    noun = "Seldon component"
    nouns = "Seldon components"
    worker = "mms.interfaces.seldon.worker.interface"
    class_rule = "mms.interfaces.seldon.class_rule:RULE"
    class_finder = "mms.interfaces.seldon.worker.component_class"
    has_service_type = True
    packages = (Package("seldon_core", __file__, "seldon_shim"),)


SELDON = SeldonInterface()
