"""What can be done with one model by the management API, in OpenAPI, as TorchServe answers it to OPTIONS."""

from __future__ import annotations

from typing import Any, Final

from mms.http.apis.management_operations import (
    DESCRIBE,
    SCALE,
    SET_DEFAULT,
    UNREGISTER,
    of_version,
)
from mms.interfaces.torchserve.context import VERSION

_OPERATIONS: Final = (DESCRIBE, SCALE, UNREGISTER)
_MODEL: Final = ("model_name",)
_OF_VERSION: Final = ("model_name", "model_version")


def management_document(name: str) -> dict[str, Any]:
    """Return the document of one model."""
    return {
        "openapi": "3.0.1",
        "info": {"title": f"RESTful Management API for: {name}", "version": VERSION},
        "paths": {
            "/models/{model_name}": {each.method: each.document(_MODEL) for each in _OPERATIONS},
            "/models/{model_name}/{model_version}": {
                each.method: of_version(each).document(_OF_VERSION) for each in _OPERATIONS
            },
            "/models/{model_name}/{model_version}/set-default": {
                SET_DEFAULT.method: SET_DEFAULT.document(_OF_VERSION)
            },
        },
    }
