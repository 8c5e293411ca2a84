"""Seldon Core's entry in the table of interfaces."""

from __future__ import annotations

from mms.interfaces.interface import Command, Interface, Package


class SeldonInterface(Interface):
    name = "seldon"
    title = "Seldon"
    noun = "Seldon component"
    nouns = "Seldon components"
    worker = "mms.interfaces.seldon.worker.interface"
    class_rule = "mms.interfaces.seldon.class_rule:RULE"
    class_finder = "mms.interfaces.seldon.worker.component_class"
    sample = "mms.interfaces.seldon.front.sample:sample_of"
    place = "mms.interfaces.seldon.front.deployed_unit:DeployedUnit"
    hides_batches = True
    composites = "mms.interfaces.seldon.front.graphs:Graphs"
    document_name = "graph.yaml"
    http_api = "mms.interfaces.seldon.front.rest:SeldonApi"
    schemas = "mms.interfaces.seldon.document:SCHEMAS"
    grpc_services = "mms.interfaces.seldon.front.grpc:SeldonServices"
    settings = "mms.interfaces.seldon.settings:SeldonSettings"
    parameters = "mms.interfaces.seldon.registration:ComponentParameters"
    worker_id_setting = "seldon_strict"
    metric_prefixes = ("seldon_api_executor_",)
    address_setting = "seldon_address"
    metrics_address_setting = "seldon_metrics_address"
    metrics_path_setting = "seldon_metrics_path"
    has_service_type = True
    load_part = "mms.interfaces.seldon.front.load_part:component_load"
    packages = (Package("seldon_core", __file__, "seldon_shim"),)
    commands = (
        Command(
            "microservice",
            "Serve a Seldon component's class from its folder.",
            "mms.interfaces.seldon.cli.microservice:microservice",
        ),
    )


SELDON = SeldonInterface()
