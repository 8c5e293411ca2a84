"""TorchServe's entry in the table of interfaces."""

from __future__ import annotations

from mms.interfaces.interface import Interface, Package


class TorchServeInterface(Interface):
    name = "torchserve"
    title = "TorchServe"
    noun = "handler of TorchServe"
    nouns = "handlers of TorchServe"
    has_fixed_load_error = True
    worker = "mms.interfaces.torchserve.worker.interface"
    handler_rule = "mms.interfaces.torchserve.class_rule:is_handler"
    class_finder = "mms.interfaces.torchserve.worker.handler"
    packages = (Package("ts", __file__),)


TORCHSERVE = TorchServeInterface()
