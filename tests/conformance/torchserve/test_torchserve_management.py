"""Models are managed by TorchServe's API, in its words."""

from __future__ import annotations

import json

import pytest

from .conftest import TorchServe

DESCRIBED = [
    *("modelName", "modelVersion", "modelUrl", "runtime", "minWorkers", "maxWorkers", "batchSize"),
    *("maxBatchDelay", "responseTimeout", "startupTimeout", "maxRetryTimeoutInSec"),
    *("clientTimeoutInMills", "parallelType", "parallelLevel", "deviceType", "continuousBatching"),
    *("useJobTicket", "useVenv", "stateful", "sequenceMaxIdleMSec", "sequenceTimeoutMSec"),
    *("maxNumSequence", "maxSequenceJobQueueSize", "loadedAtStartup", "workers", "jobQueueStatus"),
]
WORKER = ["id", "startTime", "status", "memoryUsage", "pid", "gpu", "gpuUsage"]


def test_a_registration_tells_version_and_workers(torchserve: TorchServe) -> None:
    management = torchserve.management
    reply = management.post("/models?url=echo.mar&initial_workers=1")
    told = 'Model "echo" Version: 1.0 registered with 1 initial workers'
    assert (reply.status, reply.status_text) == (200, told)
    reply = management.post("/models?url=echo-2.0.mar")
    assert reply.status_text == (
        'Model "echo" Version: 2.0 registered with 0 initial workers. Use scale workers API to add workers for the '
        "model."
    )
    reply = management.post("/models?url=plain.mar")
    assert 'Model "plain" Version: 1.0 registered' in reply.status_text
    reply = management.post("/models?url=other.mar&initial_workers=1&synchronous=false")
    assert (reply.status, reply.status_text) == (202, "Processing worker updates...")
    reply = management.post("/models?url=echo.mar")
    assert reply.status == 409
    assert reply.json()["message"] == "Model version 1.0 is already registered for model echo"


def test_a_registration_takes_seconds_and_overlooks_what_is_no_number(
    torchserve: TorchServe,
) -> None:
    management = torchserve.management
    call = (
        "/models?url=echo.mar&response_timeout=7&startup_timeout=9&batch_size=dd&max_batch_delay=x"
    )
    reply = management.post(call)
    assert reply.status == 200
    assert reply.all_headers("Warning")[0].startswith("299 marserve \"batch_size='dd' is no whole")
    [described] = management.get("/models/echo").json()
    times = [described[name] for name in ("responseTimeout", "startupTimeout")]
    assert times == [7, 9]
    assert [described["batchSize"], described["maxBatchDelay"]] == [1, 100]
    body = json.dumps({"url": "other.mar", "response_timeout": 8, "initial_workers": "0"})
    assert management.post("/models", body, content_type="application/json").status == 200
    [described] = management.get("/models/other").json()
    assert (described["responseTimeout"], described["maxBatchDelay"]) == (8, 100)


def test_a_registration_that_cannot_be_is_refused_with_torchserve_s_status(
    torchserve: TorchServe,
) -> None:
    for call, status, words in (
        ("", 400, "Parameter url is required."),
        ("?url=", 404, "empty url"),
        ("?url=../echo.mar", 404, "Relative path is not allowed in url: ../echo.mar"),
        ("?url=absent.mar", 404, "absent.mar"),
        ("?url=echo.mar&runtime=python4", 400, "Invalid RuntimeType value: python4"),
        ("?url=http://127.0.0.1:1/far.mar", 400, "Failed to download archive from: http://127."),
        ("?url=http://127.0.0.1:1/echo.mar", 500, "Model file already exists echo.mar"),
        ("?url=echo.mar&s3_sse_kms=true", 400, "s3://bucket/key"),
        ("?url=echo.mar&initial_workers=1&startup_timeout=0", 500, "Failed to start workers"),
    ):
        reply = torchserve.management.post(f"/models{call}")
        assert reply.status == status, call
        assert words in reply.json()["message"], call


def test_a_model_that_cannot_load_is_gone_and_its_answer_says_why(torchserve: TorchServe) -> None:
    management = torchserve.management
    reply = management.post("/models?url=broken.mar&initial_workers=1")
    message = "Failed to start workers for model broken version: 1.0"
    assert (reply.status, reply.json()["message"]) == (500, message)
    assert reply.json()["reason"] == "RuntimeError: no weights"
    assert management.get("/models/broken").status == 404


def test_scaling_tells_how_many_workers_there_are(torchserve: TorchServe) -> None:
    management = torchserve.management
    management.post("/models?url=echo.mar")
    reply = management.put("/models/echo?min_worker=1&number_gpu=3&timeout=-1")
    assert (reply.status, reply.status_text) == (202, "Processing worker updates...")
    reply = management.put("/models/echo?min_worker=1&synchronous=true")
    assert (reply.status, reply.status_text) == (200, "Workers scaled to 1 for model: echo")
    reply = management.put("/models/echo/1.0?min_worker=0&synchronous=true")
    assert reply.status_text == "Workers scaled to 0 for model: echo, version: 1.0"
    for call, status in (
        ("echo?min_worker=nan", 202),
        ("echo?min_worker=2&max_worker=1", 400),
        ("echo?max_worker=-1", 400),
        ("echo?min_worker=-1", 500),
        ("echo/7?min_worker=1", 404),
        ("absent?min_worker=1", 404),
    ):
        assert management.put(f"/models/{call}").status == status, call


def test_a_description_has_torchserve_s_members_in_its_order(torchserve: TorchServe) -> None:
    management = torchserve.management
    management.post("/models?url=echo.mar&initial_workers=1")
    [described] = management.get("/models/echo").json()
    assert list(described) == DESCRIBED
    [worker] = described["workers"]
    assert list(worker) == WORKER
    assert worker["status"] == "READY"
    assert described["jobQueueStatus"] == {"remainingCapacity": 100, "pendingRequests": 0}
    management.post("/models?url=echo-2.0.mar")
    versions = [each["modelVersion"] for each in management.get("/models/echo/all").json()]
    assert versions == ["1.0", "2.0"]
    [described] = management.get("/models/echo/2.0").json()
    assert described["workers"] == []
    reply = management.get("/models/echo/2.0?customized=true")
    assert reply.status == 503
    assert "has no worker to serve describe request" in reply.json()["message"]


def test_versions_have_a_default_that_is_set_and_cannot_be_removed(torchserve: TorchServe) -> None:
    management = torchserve.management
    management.post("/models?url=echo.mar")
    management.post("/models?url=echo-2.0.mar")
    reply = management.put("/models/echo/9/set-default")
    message = "Model version 9 does not exist for model echo"
    assert (reply.status, reply.json()["message"]) == (404, message)
    assert management.delete("/models/echo").status == 403
    reply = management.put("/models/echo/2.0/set-default")
    assert reply.status_text == 'Default version successfully updated for model "echo" to "2.0"'
    assert management.delete("/models/echo/1.0").status == 200
    # A path that ends with a slash names no version.
    reply = management.delete("/models/echo/?synchronous=nan")
    assert (reply.status, reply.status_text) == (200, 'Model "echo" unregistered')


def test_models_are_listed_in_pages_that_end(torchserve: TorchServe) -> None:
    management = torchserve.management
    for name in ("echo", "other", "third"):
        management.post(f"/models?url={name}.mar")
    first = {"modelName": "echo", "modelUrl": "echo.mar"}
    assert management.get("/models?limit=1").json() == {"nextPageToken": "1", "models": [first]}
    for query, count in (
        ("limit=-1", 3),
        ("limit=x", 3),
        ("limit=1&next_page_token=99", 0),
        ("limit=1&next_page_token=-3", 1),
        ("limit=3", 3),
    ):
        listed = management.get(f"/models?{query}").json()
        assert len(listed["models"]) == count, query
    assert "nextPageToken" not in management.get("/models?limit=0").json()


def test_a_model_says_whether_it_is_ready_as_kserve_asks(torchserve: TorchServe) -> None:
    management = torchserve.management
    management.post("/models?url=echo.mar")
    assert management.get("/v1/models/echo").json() == {"name": "echo", "ready": False}
    management.put("/models/echo?min_worker=1&synchronous=true")
    assert management.get("/v1/models/echo").json() == {"name": "echo", "ready": True}
    assert management.get("/v1/models/absent").status == 404


def test_every_form_of_an_inference_reaches_the_handler(torchserve: TorchServe) -> None:
    torchserve.management.post("/models?url=echo.mar&initial_workers=1")
    assert torchserve.inference.get("/v1/models/echo").json() == {"name": "echo", "ready": True}
    for path in (
        "/predictions/echo",
        "/predictions/echo/1.0",
        "/predictions/echo/1.0/further/below",
        "/explanations/echo",
        "/explanations/echo/1.0",
        "/v1/models/echo:predict",
        "/v1/models/echo:explain",
        "/v2/models/echo/infer",
        "/v2/models/echo/explain",
        "/invocations?model_name=echo",
        "/models/echo/invoke",
        "/echo/predict",
        "/echo/1.0/predict",
    ):
        reply = torchserve.inference.post(path, "x")
        assert (reply.status, reply.text) == (200, "x"), path
    for path in ("/predictions/absent", "/explanations/absent", "/v1/models/absent:predict"):
        reply = torchserve.inference.post(path, "x")
        assert (reply.status, reply.json()["message"]) == (404, "Model not found: absent"), path


_FORM = b'--edge\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/x-www-form-urlencoded", b"model_name=echo&data=hello", 200),
        (
            'multipart/form-data; boundary="edge"',
            _FORM % (b"model_name", b"echo") + _FORM % (b"data", b"hello") + b"--edge--\r\n",
            200,
        ),
        ("application/x-www-form-urlencoded", b"data=hello", 400),
        ('multipart/form-data; boundary="edge"', b"--edge\r\nbroken", 400),
        ("text/plain", b"model_name=echo", 400),
    ],
)
def test_invocations_take_the_model_from_a_form_that_names_it(
    torchserve: TorchServe, content_type: str, body: bytes, status: int
) -> None:
    assert torchserve.management.post("/models?url=echo.mar&initial_workers=1").status == 200
    reply = torchserve.inference.post("/invocations", body, content_type=content_type)
    assert reply.status == status, reply.text
    if status == 200:
        assert reply.text == "hello"
    else:
        assert reply.json()["message"] == "Parameter model_name is required."


def test_options_describe_each_listener_and_the_management_of_a_model(
    torchserve: TorchServe,
) -> None:
    for client in (torchserve.inference, torchserve.management, torchserve.metrics):
        reply = client.options("/")
        assert (reply.status, reply.json()["openapi"]) == (200, "3.0.1")
    assert set(torchserve.metrics.options("/").json()["paths"]["/metrics"]) == {"get"}
    assert torchserve.metrics.get("/").status == 405
    assert torchserve.management.options("/models/echo").status == 404
    assert torchserve.management.post("/models?url=echo.mar").status == 200
    document = torchserve.management.options("/models/echo").json()
    assert document["info"]["title"] == "RESTful Management API for: echo"
    assert {path: set(methods) for path, methods in document["paths"].items()} == {
        "/models/{model_name}": {"get", "put", "delete"},
        "/models/{model_name}/{model_version}": {"get", "put", "delete"},
        "/models/{model_name}/{model_version}/set-default": {"put"},
    }
