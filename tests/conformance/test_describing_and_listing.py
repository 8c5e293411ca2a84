"""`GET /models` and `GET /models/{model}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.client import Reply
from support.server import Server, manifest, unique_name
from support.waiting import eventually

KEYS = [
    "modelName",
    "modelVersion",
    "modelUrl",
    "engine",
    "runtime",
    "minWorkers",
    "maxWorkers",
    "batchSize",
    "maxBatchDelay",
    "loadedAtStartup",
    "workers",
]


def test_a_description_has_its_keys_in_their_order(main_server: Server) -> None:
    with main_server.registered("inspect", batch_size=3, max_batch_delay=17) as name:
        description = main_server.describe(name)
    assert [key for key in description if key in KEYS] == KEYS
    assert list(description)[: len(KEYS)] == KEYS
    assert description["modelName"] == name
    assert description["modelVersion"] == "3.1"
    assert description["modelUrl"] == "inspect"
    assert description["engine"] == "MXNet"
    assert description["runtime"] == "python"
    assert (description["minWorkers"], description["maxWorkers"]) == (1, 1)
    assert (description["batchSize"], description["maxBatchDelay"]) == (3, 17)
    assert description["loadedAtStartup"] is False


def test_a_description_leaves_out_what_the_manifest_does_not_say(main_server: Server) -> None:
    with main_server.registered("echo", initial_workers=0) as name:
        description = main_server.describe(name)
    assert "engine" not in description
    assert "modelVersion" not in description
    assert (description["batchSize"], description["maxBatchDelay"]) == (1, 100)


def test_a_model_without_a_manifest_is_described(main_server: Server) -> None:
    with main_server.registered("noop-no-manifest", handler="service:handle") as name:
        assert main_server.describe(name)["runtime"] == "python"


def test_a_legacy_model_is_a_snapshot_of_its_engine(main_server: Server) -> None:
    with main_server.registered("noop-v0.1", initial_workers=0) as name:
        description = main_server.describe(name)
    assert description["modelVersion"] == "snapshot"
    assert description["engine"] == "MXNet"


def test_a_startup_model_is_marked(main_server: Server) -> None:
    assert main_server.describe("noop")["loadedAtStartup"] is True


def test_a_worker_is_described(main_server: Server) -> None:
    with main_server.registered("noop", initial_workers=2) as name:
        workers = main_server.describe(name)["workers"]
    assert len(workers) == 2
    assert len({worker["id"] for worker in workers}) == 2
    for worker in workers:
        assert list(worker)[:5] == ["id", "startTime", "status", "gpu", "memoryUsage"]
        assert isinstance(worker["id"], str)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", worker["startTime"])
        assert worker["status"] == "READY"
        assert worker["gpu"] is False
        assert worker["memoryUsage"] >= 0


@pytest.mark.better_than_mms
def test_a_worker_that_still_loads_is_not_ready(main_server: Server) -> None:
    url = unique_name("slow-load")
    gate = main_server.directory / f"{url}.go"
    main_server.write_model(
        url,
        "import os, time\n"
        "def handle(data, context):\n"
        f"    while not os.path.exists({str(gate)!r}):\n"
        "        time.sleep(0.005)\n"
        "    return ['OK'] * len(data or [1])\n",
        manifest(url),
    )
    assert main_server.register(url, initial_workers=1, synchronous="false").status == 202
    try:
        loading = eventually("a worker is listed", lambda: main_server.describe(url)["workers"])
        assert loading[0]["status"] not in ("READY", "UNLOADING")
    finally:
        gate.touch()
    eventually(
        "the worker is ready",
        lambda: main_server.describe(url)["workers"][0]["status"] == "READY",
    )
    main_server.unregister(url)


def test_describing_an_unknown_model_is_404(main_server: Server) -> None:
    reply = main_server.management.get("/models/InvalidModel")
    assert (reply.status, reply.json()) == (
        404,
        {
            "code": 404,
            "type": "ModelNotFoundException",
            "message": "Model not found: InvalidModel",
        },
    )


def test_more_than_one_worker_is_listed(main_server: Server) -> None:
    with main_server.registered("noop-v0.1") as name:
        main_server.management.put(f"/models/{name}?min_worker=2")
        assert len(main_server.describe(name)["workers"]) > 1


@pytest.fixture
def three(secure_server: Server) -> Iterator[Server]:
    """A server with exactly three models: alpha, beta and noop."""
    with ExitStack() as stack:
        for name in ("beta", "alpha"):
            stack.enter_context(
                secure_server.registered("echo", model_name=name, initial_workers=0)
            )
        yield secure_server


def _names(reply: Reply) -> list[str]:
    assert reply.status == 200
    return [model["modelName"] for model in reply.json()["models"]]


def test_models_are_listed_by_name_with_their_urls(three: Server) -> None:
    reply = three.management.get("/models")
    assert reply.json() == {
        "models": [
            {"modelName": "alpha", "modelUrl": "echo"},
            {"modelName": "beta", "modelUrl": "echo"},
            {"modelName": "noop", "modelUrl": "noop"},
        ]
    }


@pytest.mark.parametrize(
    "parameters",
    [
        "limit=200&nextPageToken=X",
        "limit=-1",
        "limit=101",
        "limit=abc",
        "next_page_token=-1",
        "next_page_token=abc",
    ],
)
def test_odd_parameters_of_a_list_mean_their_defaults(three: Server, parameters: str) -> None:
    assert _names(three.management.get(f"/models?{parameters}")) == ["alpha", "beta", "noop"]


def test_a_list_is_given_in_pages(three: Server) -> None:
    first = three.management.get("/models?limit=2")
    assert _names(first) == ["alpha", "beta"]
    assert list(first.json()) == ["nextPageToken", "models"]
    assert first.json()["nextPageToken"] == "2"
    second = three.management.get("/models?limit=2&next_page_token=2")
    assert _names(second) == ["noop"]
    assert "nextPageToken" not in second.json()


def test_pages_of_one_follow_each_other(three: Server) -> None:
    reply = three.management.get("/models?limit=1")
    assert (_names(reply), reply.json()["nextPageToken"]) == (["alpha"], "1")
    reply = three.management.get("/models?limit=1&next_page_token=1")
    assert (_names(reply), reply.json()["nextPageToken"]) == (["beta"], "2")


@pytest.mark.better_than_mms
def test_a_last_page_that_is_full_has_no_token(three: Server) -> None:
    assert "nextPageToken" not in three.management.get("/models?limit=3").json()
    reply = three.management.get("/models?limit=1&next_page_token=2")
    assert _names(reply) == ["noop"]
    assert "nextPageToken" not in reply.json()


def test_a_token_beyond_the_end_gives_an_empty_list(three: Server) -> None:
    for token in ("3", "12"):
        reply = three.management.get(f"/models?next_page_token={token}")
        assert reply.json() == {"models": []}


def test_a_limit_of_zero_is_accepted(three: Server) -> None:
    assert _names(three.management.get("/models?limit=0")) == []
