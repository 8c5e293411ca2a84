"""The description of Seldon's routes: `seldon.json`, an OpenAPI document, and a page that shows it.

It is not rendered from the table of routes. Seldon's clients read this document as it is, of one component at its own
paths, with calls by GET that the server's own description leaves out; and the stand-in for `seldon_core` serves it in
processes that have no table. The table takes its operations from here.
"""

from __future__ import annotations

import functools
import html
import json
from typing import Any

_REF = "#/components/schemas/"


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF + name}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _map_of(values: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


def _list_of(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT = {"type": "string"}
_WHOLE = {"type": "integer", "format": "int32"}
_NUMBER = {"type": "number"}
SCHEMAS = {
    "SeldonMessage": _object(
        status=_ref("Status"),
        meta=_ref("Meta"),
        data=_ref("DefaultData"),
        binData={"type": "string", "format": "byte"},
        strData=_TEXT,
        jsonData={"description": "Any JSON value."},
    ),
    "SeldonMessageList": _object(seldonMessages=_list_of(_ref("SeldonMessage"))),
    "DefaultData": _object(
        names=_list_of(_TEXT),
        tensor=_ref("Tensor"),
        ndarray=_list_of({}),
        tftensor={"type": "object", "description": "A tensorflow.TensorProto in JSON."},
    ),
    "Tensor": _object(shape=_list_of(_WHOLE), values=_list_of(_NUMBER)),
    "Meta": _object(
        puid=_TEXT,
        tags=_map_of({}),
        routing=_map_of(_WHOLE),
        requestPath=_map_of(_TEXT),
        metrics=_list_of(_ref("Metric")),
    ),
    "Metric": _object(
        key=_TEXT,
        type={"type": "string", "enum": ["COUNTER", "GAUGE", "TIMER"]},
        value=_NUMBER,
        tags=_map_of(_TEXT),
    ),
    "Status": _object(code=_WHOLE, info=_TEXT, reason=_TEXT, status=_WHOLE),
    "Feedback": _object(
        request=_ref("SeldonMessage"),
        response=_ref("SeldonMessage"),
        reward=_NUMBER,
        truth=_ref("SeldonMessage"),
    ),
}
#: Path, what it is asked with, what it does: the calls of a component, which its routes are made of, too.
CALLS = (
    ("/predict", "SeldonMessage", "Predicts."),
    ("/transform-input", "SeldonMessage", "Transforms a model's input."),
    ("/transform-output", "SeldonMessage", "Transforms a model's output."),
    ("/route", "SeldonMessage", "Chooses a branch."),
    ("/aggregate", "SeldonMessageList", "Joins the answers of several models."),
    ("/send-feedback", "Feedback", "Takes feedback on a prediction."),
)
_EXTERNAL = (
    ("/api/v1.0/predictions", "SeldonMessage", "Predicts."),
    ("/api/v1.0/feedback", "Feedback", "Takes feedback on a prediction."),
)


def _operation(id_: str, tag: str, summary: str) -> dict[str, Any]:
    message = {"application/json": {"schema": _ref("SeldonMessage")}}
    return {
        "operationId": id_,
        "tags": [tag],
        "summary": summary,
        "responses": {
            "200": {"description": "The answer.", "content": message},
            "default": {"description": "What is wrong, in `status`.", "content": message},
        },
    }


@functools.cache
def paths() -> dict[str, Any]:
    """Return the OpenAPI paths of one component, below what stands before them. Nobody changes them."""
    found: dict[str, Any] = {}
    for path, schema, summary in CALLS:
        word = path.strip("/")
        form = {
            "schema": _object(json=_ref(schema)),
            "encoding": {"json": {"contentType": "application/json"}},
        }
        content = {
            "application/json": {"schema": _ref(schema)},
            "application/x-www-form-urlencoded": form,
        }
        in_query = {
            "in": "query",
            "name": "json",
            "required": True,
            "content": {"application/json": {"schema": _ref(schema)}},
        }
        found[path] = {
            "get": _operation(f"get-{word}", "Internal", summary) | {"parameters": [in_query]},
            "post": _operation(word, "Internal", summary)
            | {"requestBody": {"required": True, "content": content}},
        }
    for path, schema, summary in _EXTERNAL:
        content = {"application/json": {"schema": _ref(schema)}}
        found[path] = {
            "post": _operation(path.rpartition("/")[2], "External", summary)
            | {"requestBody": {"required": True, "content": content}}
        }
    return found


def document(base: str) -> bytes:
    """JSON. `base`: what stands before the routes in a path, without a slash at the end."""
    described = {
        "openapi": "3.0.0",
        "info": {"title": "Seldon External API", "version": "0.1"},
        "servers": [{"url": base or "/"}],
        "paths": paths(),
        "components": {"schemas": SCHEMAS},
    }
    return json.dumps(described, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def page(base: str) -> bytes:
    """HTML that lists the routes and leads to the document."""
    rows = "".join(
        f"<tr><td>{method.upper()}</td><td><code>{html.escape(base + path)}</code></td>"
        f"<td>{operation['summary']}</td></tr>\n"
        for path, methods in paths().items()
        for method, operation in methods.items()
    )
    link = html.escape(f"{base}/seldon.json")
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Seldon External API</title></head>\n"
        f"<body><h1>Seldon External API</h1>\n<p>OpenAPI: <a href='{link}'>{link}</a></p>\n"
        f"<table>\n{rows}</table></body></html>\n"
    ).encode()
