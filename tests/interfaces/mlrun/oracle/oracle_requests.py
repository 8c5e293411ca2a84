"""Requests that the server's harness and MLRun's own are both asked."""

from __future__ import annotations

from typing import Any

_MODELS = (
    "m1",
    "m2",
    "m3",
    "m3:v1",
    "m3/versions/v1",
    "m3/versions/v2",
    "m1/versions/v9",
    "hooks",
    "failing",
)
_OTHERS = ("none", "paths", "nothing")
_OPERATIONS = (
    "",
    "/",
    "/infer",
    "/predict",
    "/explain",
    "/ready",
    "/info",
    "/created",
    "/nothing",
    "/a/b",
)
_BODIES: tuple[Any, ...] = (
    {"inputs": [5]},
    {"inputs": [1.5, -2], "id": "own", "parameters": {"a": 1}},
    {"inputs": 5},
    {"input": [5]},
    {"req": {"inputs": [7]}},
    {"inputs": []},
)
_ROOT_BODIES: tuple[Any, ...] = (
    {"inputs": [5]},
    {"model": "m2", "inputs": [5]},
    {"model": "m3:v1", "inputs": [5], "operation": "predict"},
    {"model": "m3", "version": "v1", "inputs": [5]},
    {"model": "m1", "inputs": [5], "operation": "explain"},
    {"model": "nothing", "inputs": [5]},
)
_TEXTS = (
    ("", None),
    ("{", None),
    ("{", "application/json"),
    ("[1, 2]", None),
    ("[1, 2]", "application/json"),
    ("[1, 2]", "application/text"),
    ("3", None),
    ("text", None),
    ("text", "image/png"),
    ("\xff\xfe", None),
    ('{"inputs": [4]}', None),
    ('{"inputs": [4]}', "application/json"),
    ('{"inputs": [4]}', "text/plain"),
    ('{"inputs": [4]}', "application/json; charset=utf-8"),
)


def requests() -> list[dict[str, Any]]:
    """Some hundred, the same ones each time."""
    found: list[dict[str, Any]] = []
    for model in (*_MODELS, *_OTHERS):
        for operation in _OPERATIONS:
            path = f"/v2/models/{model}{operation}"
            found.append({"path": path, "method": "GET"})
            found.extend({"path": path, "body": body} for body in _BODIES[:2])
    for body in _BODIES[2:]:
        found.extend(
            {"path": f"/v2/models/{model}/infer", "body": body}
            for model in ("m1", "hooks", "paths")
        )
    for path in (
        "/",
        "",
        "/v2/models",
        "/v2/models/",
        "/v2/health",
        "/v2/health/ready",
        "/foo",
        "/v2",
    ):
        found.append({"path": path, "method": "GET"})
        found.extend({"path": path, "body": body} for body in _ROOT_BODIES)
    for text, content_type in _TEXTS:
        found.extend(
            {"path": path, "bytes": text, "content_type": content_type, "method": "POST"}
            for path in ("/v2/models/m1/infer", "/")
        )
    found.append(
        {"path": "/v2/models/m1/infer", "body": {"inputs": [1]}, "headers": {"MLRUN-EVENT-ID": "h"}}
    )
    found = [{"function": "router", **request} for request in found]
    for name in ("vote", "classes"):
        for path in (
            *("/", "/v2/models", "/v2/models/infer", "/v2/models/predict", "/v2/models/explain"),
            *(
                "/v2/models/VotingEnsemble",
                "/v2/models/VotingEnsemble/infer",
                "/v2/models/m2/infer",
            ),
            *("/v2/models/nothing/infer", "/v2/health"),
        ):
            found.append({"function": name, "path": path, "method": "GET"})
            found.extend(
                {"function": name, "path": path, "body": body}
                for body in ({"inputs": [1, 2]}, {"inputs": 1}, {"input": [1]})
            )
    for engine in ("sync", "async"):
        found.extend(
            {
                "function": engine,
                "path": "/",
                "bytes": text,
                "content_type": content_type,
                "method": "POST",
            }
            for text, content_type in _TEXTS
        )
    found.append({"function": "errors", "path": "/", "body": {"a": 1}})
    return found
