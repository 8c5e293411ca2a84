"""The entry of the Open Inference Protocol in the table of interfaces."""

from __future__ import annotations

from mms.interfaces.interface import Interface, Package


class OpenInferenceInterface(Interface):
    name = "oip"
    title = "Open Inference"
    noun = "model of tensors"
    nouns = "models of tensors"
    worker = "mms.interfaces.oip.worker.interface"
    class_rule = "mms.interfaces.oip.class_rule:RULE"
    class_finder = "mms.interfaces.oip.worker.tensor_class"
    takes_handlers = True
    packages = (
        Package("triton_python_backend_utils", __file__),
        Package("mlserver", __file__),
    )
    layout = "mms.interfaces.oip.declared.layout:find_layout"
    http_api = "mms.interfaces.oip.front.rest:OipApi"
    codecs = (
        ("oip-json", "mms.interfaces.oip.worker.codec_json:JsonCodec"),
        ("oip-grpc", "mms.interfaces.oip.worker.codec_grpc:GrpcCodec"),
        ("kserve-v1", "mms.interfaces.oip.worker.documents.codec_instances:InstancesCodec"),
        ("oip-generate", "mms.interfaces.oip.worker.documents.codec_generate:GenerateCodec"),
    )
    declaration_problems = "mms.interfaces.oip.declared.files:find_problems"
    sample = "mms.interfaces.oip.front.sample:sample_of"
    declaration = "mms.interfaces.oip.front.declaration:declaration_of"
    grpc_services = "mms.interfaces.oip.front.grpc:OipServices"
    settings = "mms.interfaces.oip.settings:OipSettings"

    @property
    def telling_packages(self) -> tuple[Package, ...]:
        return self.packages


OIP = OpenInferenceInterface()
