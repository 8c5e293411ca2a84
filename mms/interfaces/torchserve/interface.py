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
    load_part = "mms.interfaces.torchserve.front.load_part:handler_load"
    process_count = "mms.interfaces.torchserve.worker.group.options:process_count"
    class_finder = "mms.interfaces.torchserve.worker.handler"
    http_api = "mms.interfaces.torchserve.front.rest:TorchServeApi"
    grpc_services = "mms.interfaces.torchserve.front.grpc:TorchServeServices"
    grpc_management_setting = "grpc_management_listener"
    key_ring = "mms.interfaces.torchserve.front.tokens:token_ring"
    key_refusal = "mms.interfaces.torchserve.front.tokens:InvalidToken"
    is_management_safe = "mms.interfaces.torchserve.settings:is_management_safe"
    settings = "mms.interfaces.torchserve.settings:TorchServeSettings"
    config_dialect = "mms.interfaces.torchserve.settings:DIALECT"
    metrics_text = "mms.interfaces.torchserve.front.metrics_text:TorchServeText"
    metrics_address_setting = "metrics_address"
    composites = "mms.interfaces.torchserve.front.workflows.factory:WorkflowFactory"
    snapshots = "mms.interfaces.torchserve.front.snapshot_writer:SnapshotWriter"
    config_keys = ("continuousBatching", "parallelType", "torchrun")
    packages = (Package("ts", __file__),)


TORCHSERVE = TorchServeInterface()
