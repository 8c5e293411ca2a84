"""Models of MLRun's contract on a server under test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from support.client import Client, Reply
from support.server import MODELS, Server

SOURCE = MODELS / "mlrun"
#: Routes R4: keys and multipliers.
R4 = {"m1": 100, "m2": 200, "m3:v1": 300, "m3:v2": 400}


def write_model(
    server: Server,
    key: str,
    class_name: str,
    parameters: Mapping[str, int | str] | None = None,
    *,
    with_spec: str | None = None,
) -> str:
    """A folder in the store for `name` or `name:version`; the url to register it by.

    `with_spec`: the text of a `model_spec.yaml` beside the class.
    """
    name, _, version = key.partition(":")
    folder = f"{class_name}-{name}-{version}"
    path = server.store / folder
    shutil.copytree(SOURCE, path, ignore=shutil.ignore_patterns("__pycache__"))
    if with_spec is not None:
        (path / "model_spec.yaml").write_text(with_spec, encoding="utf-8")
    manifest = json.loads((SOURCE / "MAR-INF" / "MANIFEST.json").read_text(encoding="utf-8"))
    model = manifest["model"]
    model["modelName"] = name
    model["handler"] = f"models:{class_name}"
    if version:
        model["modelVersion"] = version
    model["extensions"]["parameters"] = [
        {"name": given, "value": str(value), "type": "INT" if isinstance(value, int) else "STRING"}
        for given, value in (parameters or {}).items()
    ]
    (path / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def add_model(
    server: Server,
    key: str,
    class_name: str,
    parameters: Mapping[str, int | str] | None = None,
    *,
    with_spec: str | None = None,
    **registration: object,
) -> str:
    """Register a model, once for a server, and wait until it is loaded; its key."""
    added: set[str] = server.__dict__.setdefault("mlrun_models", set())
    if key in added:
        return key
    url = write_model(server, key, class_name, parameters, with_spec=with_spec)
    options: dict[str, object] = {"initial_workers": 1, "synchronous": "true"}
    reply = server.register(url, **(options | registration))
    assert reply.status == 200, reply
    added.add(key)
    return key


def ask(client: Client, path: str, body: object = None, **options: Any) -> Reply:
    """POST of JSON, GET without a body."""
    if body is None:
        return client.get(path, **options)
    return client.post_json(path, body, **options)


def predict(client: Client, key: str, inputs: object, operation: str = "infer") -> Any:
    """The outputs of an answer of status 200."""
    reply = ask(client, f"/v2/models/{key}/{operation}", {"inputs": inputs})
    assert reply.status == 200, reply
    return reply.json()["outputs"]
