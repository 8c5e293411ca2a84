"""Workflows are registered, answer and go, as TorchServe's do."""

from __future__ import annotations

import json

from conformance.archives import write_archive

from .conftest import TorchServe

FUNCTIONS = """
import json

def begin(data, context):
    if data is not None:
        return [bytes(row.get("data") or row.get("body")) + b"!" for row in data]

def join(data, context):
    if data is not None:
        return [json.dumps({name: bytes(value).decode() for name, value in sorted(row.items())}) for row in data]

def fail(data, context):
    if data is not None:
        raise ValueError("no")
"""


def workflow(server: TorchServe, name: str, dag: str) -> None:
    manifest = {"workflow": {"workflowName": name, "specFile": "s.yaml", "handler": "f.py"}}
    models = "models:\n  batch-size: 2\n  echo: {url: echo.mar}\n  other: {url: other.mar}\n"
    write_archive(
        server.store / f"{name}.war",
        {
            "WAR-INF/MANIFEST.json": json.dumps(manifest),
            "s.yaml": f"{models}dag: {dag}\n",
            "f.py": FUNCTIONS,
        },
    )


def test_a_workflow_of_models_and_functions_answers_and_goes(torchserve: TorchServe) -> None:
    management, inference = torchserve.management, torchserve.inference
    workflow(torchserve, "flow", "{begin: [echo, other], echo: [join], other: [join]}")
    workflow(torchserve, "short", "{begin: [fail]}")
    workflow(torchserve, "odd", "{begin: [echo], echo: [begin]}")
    for name in ("flow", "short"):
        reply = management.post(f"/workflows?url={name}.war")
        told = f"Workflow {name} has been registered and scaled successfully."
        assert (reply.status, reply.status_text) == (200, told)
    first = {"workflowName": "flow", "workflowUrl": "flow.war"}
    assert management.get("/workflows?limit=1").json() == {
        "nextPageToken": "1",
        "workflows": [first],
    }
    [described] = management.get("/workflows/flow").json()
    assert described == {
        **first,
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": 2,
        "maxBatchDelay": 50,
        "workflowDag": "{begin=[echo, other], echo=[join], other=[join]}",
    }
    reply = inference.post("/wfpredict/flow", "hi")
    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    assert reply.json() == {"echo": "hi!", "other": "hi!"}
    assert inference.post("/wfpredict/short", "hi").status == 503
    reply = management.post("/workflows?url=flow.war&response_timeout=x&worflow_name=a")
    assert reply.status == 409
    warned = " ".join(reply.all_headers("Warning"))
    assert "worflow_name" in warned and "response_timeout='x'" in warned
    reply = management.post("/workflows?url=odd.war")
    assert (reply.status, reply.json()["type"]) == (400, "InvalidDAGException")
    for name in ("flow", "short"):
        reply = management.delete(f"/workflows/{name}")
        assert (reply.status, reply.status_text) == (200, f'Workflow "{name}" unregistered')
    assert management.get("/models").json() == {"models": []}
    for client, method, path in (
        (management, "GET", "/workflows/flow"),
        (management, "DELETE", "/workflows/flow"),
        (inference, "POST", "/wfpredict/flow"),
    ):
        reply = client.request(method, path)
        assert (reply.status, reply.json()["message"]) == (404, "Workflow not found: flow")
        assert reply.json()["type"] == "WorkflowNotFoundException"


def test_a_workflow_with_a_model_that_cannot_load_leaves_nothing(torchserve: TorchServe) -> None:
    manifest = {"workflow": {"workflowName": "w", "specFile": "s.yaml", "handler": "f.py"}}
    spec = "models:\n  echo: {url: echo.mar}\n  broken: {url: broken.mar}\ndag: {echo: [broken]}\n"
    write_archive(
        torchserve.store / "w.war",
        {"WAR-INF/MANIFEST.json": json.dumps(manifest), "s.yaml": spec, "f.py": FUNCTIONS},
    )
    reply = torchserve.management.post("/workflows?url=w.war")
    assert (reply.status, reply.json()["type"]) == (500, "WorkflowException")
    assert "Failed to start workers for model w__broken version: 1.0" in reply.json()["message"]
    assert torchserve.management.get("/models").json() == {"models": []}
    assert torchserve.management.get("/workflows").json() == {"workflows": []}
