"""MLRun's entry in the table of interfaces."""

from __future__ import annotations

from mms.interfaces.interface import Command, Interface, Package


class MlrunInterface(Interface):
    name = "mlrun"
    title = "MLRun"
    noun = "model server of MLRun"
    nouns = "model servers of MLRun"
    worker = "mms.interfaces.mlrun.worker.interface"
    class_rule = "mms.interfaces.mlrun.class_rule:RULE"
    class_finder = "mms.interfaces.mlrun.worker.serving_class"
    sample = "mms.interfaces.mlrun.front.sample:sample_of"
    hides_batches = True
    takes_operations = True
    has_v2_dialect = True
    also_takes = ("row_batching",)
    composites = "mms.interfaces.mlrun.front.specs:MlrunSpecs"
    document_name = "serving_spec.json"
    http_api = "mms.interfaces.mlrun.front.v2.tree:V2Api"
    has_json_arguments = True
    settings = "mms.interfaces.mlrun.settings:MlrunSettings"
    parameters = "mms.interfaces.mlrun.registration:ServerParameters"
    load_part = "mms.interfaces.mlrun.front.load_part:serving_load"
    packages = (
        Package("mlrun", __file__, "mlrun_shim"),
        # What is imported beside it: the steps of flows, and in notebooks what once deployed them.
        Package("storey", __file__),
        Package("nuclio", __file__),
    )
    commands = (
        Command(
            "mlrun",
            "Serve functions made for MLRun, and run their scripts.",
            "mms.interfaces.mlrun.cli.commands:mlrun",
        ),
    )


MLRUN = MlrunInterface()
