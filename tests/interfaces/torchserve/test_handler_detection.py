"""Which handlers are TorchServe's: by their archive's manifest, and by what their source imports."""

from __future__ import annotations

from typing import Any

import pytest

from archiver.detection import detect

PLAIN = "def handle(data, context): ..."
#: As torch-model-archiver writes it.
OF_TORCH_ARCHIVER = {
    "createdOn": "30/11/2026 22:17:02",
    "runtime": "python",
    "model": {"modelName": "m", "handler": "service.py", "modelVersion": "1.0"},
    "archiverVersion": "0.12.0",
}
OF_MMS_ARCHIVER = {
    "runtime": "python",
    "model": {"modelName": "m", "handler": "service:handle"},
    "modelServerVersion": "1.0",
    "implementationVersion": "1.0",
    "specificationVersion": "1.0",
}
COMPONENT = "class Model:\n    def predict(self, X, names): ..."


def interface_of(handler: str, source: str | None, manifest: dict[str, Any] | None = None) -> str:
    files = {} if source is None else {"service.py": source.encode()}
    return detect(handler, files.get, manifest=manifest).interface.name


@pytest.mark.parametrize(
    ("handler", "source", "manifest", "interface"),
    [
        ("service.py", PLAIN, OF_TORCH_ARCHIVER, "torchserve"),
        ("service:handle", PLAIN, OF_MMS_ARCHIVER, "mms"),
        ("service:handle", PLAIN, None, "mms"),
        ("service", PLAIN, {"model": {"serializedFile": "model.pt"}}, "torchserve"),
        ("service", "import ts.context\n" + PLAIN, OF_MMS_ARCHIVER, "torchserve"),
        (
            "service",
            "from ts.torch_handler.base_handler import BaseHandler\nclass Mine(BaseHandler): ...",
            *(None, "torchserve"),
        ),
        ("service", "from .ts import helper\n" + PLAIN, OF_MMS_ARCHIVER, "mms"),
        ("image_classifier", None, OF_MMS_ARCHIVER, "torchserve"),
        ("service:Model", COMPONENT, OF_TORCH_ARCHIVER, "seldon"),
    ],
)
def test_a_handler_is_torchserves_by_its_manifest_its_imports_or_its_name(
    handler: str, source: str | None, manifest: dict[str, Any] | None, interface: str
) -> None:
    assert interface_of(handler, source, manifest) == interface
