"""What descriptions say of the routes below `/v2`."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from mms.http.routing import ANY_METHOD, Route, not_found
from mms.http.routing.document import document_of, document_of_path
from mms.http.routing.operation import JSON, OBJECT, TEXT, Operation, answer, object_of
from mms.interfaces.mlrun.front.v2.routes import TREE

_TAG: Final = "MLRun"
_ANYTHING: Final[dict[str, Any]] = {}
_LIST: Final = {"type": "array", "items": _ANYTHING}
_ASKED: Final = object_of(
    ["inputs"],
    id={**TEXT, "description": "Returned in the answer."},
    inputs={**_LIST, "description": "What to predict for."},
    parameters={**OBJECT, "description": "Handed to the model."},
)
_ANSWERED: Final = object_of(
    [],
    id=TEXT,
    model_name=TEXT,
    outputs={"description": "What the model returned."},
    timestamp=TEXT,
    model_version=TEXT,
)
_METADATA: Final = object_of([], name=TEXT, version=TEXT, inputs=_LIST, outputs=_LIST)
_WRONG: Final = {
    "400": answer("What is wrong: an exception's name and message.", TEXT, "text/plain")
}
_BODY: Final = {"required": True, "content": {JSON: {"schema": _ASKED}}}


def _get(id_: str, text: str, schema: dict[str, Any]) -> Operation:
    media_type = "text/plain" if schema is TEXT else JSON
    return Operation(
        "get", id_, text, {"200": answer("OK", schema, media_type), **_WRONG}, tag=_TAG
    )


def _post(id_: str, text: str) -> Operation:
    return Operation(
        "post", id_, text, {"200": answer("OK", _ANSWERED), **_WRONG}, body=_BODY, tag=_TAG
    )


_MODEL: Final = f"/{TREE}/models/{{model}}"
#: By pattern.
OPERATIONS: Final = {
    f"{_MODEL}/infer": (_post("modelInfer", "A prediction."),),
    f"{_MODEL}/explain": (_post("modelExplain", "An explanation."),),
    f"{_MODEL}/ready": (_get("modelReady", "Whether the model is loaded.", TEXT),),
    _MODEL: (_get("modelMetadata", "What the model takes and gives.", _METADATA),),
    f"/{TREE}/models": (_get("models", "The models.", OBJECT),),
    f"/{TREE}/health/ready": (_get("healthReady", "Whether all models are loaded.", OBJECT),),
    f"/{TREE}/health/{{tail:.*}}": (_get("health", "What serves.", OBJECT),),
}


@cache
def _tree() -> dict[str, Any]:
    routes = [
        Route(ANY_METHOD, pattern, not_found, operations=operations)
        for pattern, operations in OPERATIONS.items()
    ]
    return document_of(routes, {"title": "RESTful API for models", "version": "2.0.0"})


def document(key: str) -> bytes:
    """JSON. `key`: `name` or `name:version`; empty for the tree with the model as a parameter."""
    found = _tree()
    if key:
        found = document_of_path(found, "model", quote(key, safe=":"), f"RESTful API for: {key}")
    return json.dumps(found, indent=2).encode() + b"\n"
