"""The files of deploy/kserve: KServe takes them, and what they run serves what it mounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support.processes import free_port

from cli.serving import curl, serving

FILES = Path(__file__).parents[3] / "deploy" / "kserve"
SCHEMAS = json.loads((Path(__file__).parent / "schemas.json").read_text())["kinds"]
INTEGER_OR_TEXT = {"anyOf": [{"type": "integer"}, {"type": "string"}]}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FILES.glob("*.yaml")):
        for place, document in enumerate(yaml.safe_load_all(path.read_text())):
            yield f"{path.name}-{place}", document


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of Kubernetes as its API server holds objects to it: an unknown member is an error."""
    made = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes")}
    if schema.get("x-kubernetes-int-or-string"):
        return INTEGER_OR_TEXT
    if "properties" in schema:
        made["properties"] = {name: closed(each) for name, each in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            made[name] = closed(schema[name])
    return made


def check(document: dict[str, Any]) -> None:
    found = SCHEMAS[document["kind"]]
    assert document["apiVersion"] == f"serving.kserve.io/{found['version']}"
    jsonschema.validate(document, closed(found["schema"]))


@pytest.mark.parametrize(("name", "document"), list(documents()), ids=lambda each: str(each)[:40])
def test_a_file_fits_the_schemas_of_kserves_resources(name: str, document: dict[str, Any]) -> None:
    check(document)
    document["spec"]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        check(document)


def container(name: str) -> dict[str, Any]:
    (found,) = yaml.safe_load((FILES / name).read_text())["spec"]["containers"]
    return dict(found)


def test_the_runtimes_of_a_namespace_and_of_a_cluster_run_the_same() -> None:
    assert container("serving-runtime.yaml") == container("cluster-serving-runtime.yaml")


def test_the_runtime_serves_the_mounted_model_to_clients_of_both_protocols(folder: Path) -> None:
    runs = container("cluster-serving-runtime.yaml")
    models = folder / "models"
    models.mkdir()
    # Not above: each of pytest's processes collects this file, and importing them takes a second.
    import joblib
    from sklearn.linear_model import LinearRegression

    joblib.dump(LinearRegression().fit([[0, 0], [1, 1]], [0, 2]), models / "model.joblib")
    command = [*runs["command"], *runs["args"]]
    assert command[:3] == ["mms", "serve", "/mnt/models"]
    ports = {port: str(free_port()) for port in ("9000", "8082")}
    words = [str(models)]
    for word in command[3:]:
        if word not in ("--host=0.0.0.0", "--port=8080"):
            for port, free in ports.items():
                word = word.replace(f"0.0.0.0:{port}", f"127.0.0.1:{free}")
            words.append(word.replace("{{.Name}}", "iris"))
    with serving(folder, *words) as server:
        server.wait_ready()
        for probe in ("readinessProbe", "livenessProbe"):
            curl("--fail", server.url + runs[probe]["httpGet"]["path"])
        v1 = curl(f"{server.url}/v1/models/iris:predict", "-d", '{"instances": [[1, 1]]}')
        (prediction,) = json.loads(v1)["predictions"]
        tensor = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 1]}
        v2 = curl(f"{server.url}/v2/models/iris/infer", "-d", json.dumps({"inputs": [tensor]}))
        assert json.loads(v2)["outputs"][0]["data"] == [pytest.approx(2)] == [prediction]
        metrics = curl(f"http://127.0.0.1:{ports['8082']}/metrics")
        assert 'mms_requests_total{model="iris"' in metrics.replace("model_name", "model")
