"""The description of a model's routes below `/v2`, an OpenAPI document."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

_JSON = "application/json"
_ANYTHING: dict[str, Any] = {}
_LIST = {"type": "array", "items": _ANYTHING}
_TEXT = {"type": "string"}
_ASKED = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {**_TEXT, "description": "Returned in the answer."},
        "inputs": {**_LIST, "description": "What to predict for."},
        "parameters": {"type": "object", "description": "Handed to the model."},
    },
}
_ANSWERED = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "model_name": _TEXT,
        "outputs": {"description": "What the model returned."},
        "timestamp": _TEXT,
        "model_version": _TEXT,
    },
}
_METADATA = {
    "type": "object",
    "properties": {"name": _TEXT, "version": _TEXT, "inputs": _LIST, "outputs": _LIST},
}


def document(key: str) -> bytes:
    """`key`: `name` or `name:version`; empty for the tree with the model as a parameter."""
    base = f"/v2/models/{quote(key, safe=':')}" if key else "/v2/models/{model}"
    paths: dict[str, Any] = {
        f"{base}/infer": {"post": _call("infer", "A prediction.")},
        f"{base}/explain": {"post": _call("explain", "An explanation.")},
        f"{base}/ready": {"get": _operation("ready", "Whether the model is loaded.", _TEXT)},
        base: {"get": _operation("metadata", "What the model takes and gives.", _METADATA)},
    }
    if not key:
        paths["/v2/models"] = {"get": _operation("list", "The models.", {"type": "object"})}
        paths["/v2/health"] = {"get": _operation("health", "What serves.", {"type": "object"})}
        parameter = {"in": "path", "name": "model", "required": True, "schema": _TEXT}
        for path, methods in paths.items():
            if "{model}" in path:
                methods["parameters"] = [parameter]
    title = f"RESTful API for: {key}" if key else "RESTful API for models"
    whole = {"openapi": "3.0.1", "info": {"title": title, "version": "2.0.0"}, "paths": paths}
    return json.dumps(whole, indent=2).encode() + b"\n"


def _call(id_: str, description: str) -> dict[str, Any]:
    operation = _operation(id_, description, _ANSWERED)
    operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": _ASKED}}}
    return operation


def _operation(id_: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    content_type = "text/plain" if schema is _TEXT else _JSON
    answers = {
        "200": {"description": "OK", "content": {content_type: {"schema": schema}}},
        "400": {
            "description": "What is wrong: an exception's name and message.",
            "content": {"text/plain": {"schema": _TEXT}},
        },
    }
    return {"operationId": id_, "description": description, "responses": answers}
