"""Tokens and the switch for the model API of a server by `torchserve`, as its users know them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from .conftest import TorchServe, archive


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServe]:
    """It demands tokens, and takes no registrations; `echo` is loaded at its start."""
    server = TorchServe(
        tmp_path_factory.mktemp("guarded"),
        "--ncs",
        settings={"load_models": "echo.mar", "default_workers_per_model": "1"},
    )
    archive(server.store, "echo")
    try:
        yield server.start()
        server.stop()
    finally:
        server.kill()


def bearer(server: TorchServe, kind: str) -> dict[str, str]:
    tokens = json.loads((server.directory / "key_file.json").read_text())
    return {"Authorization": f"Bearer {tokens[kind]['key']}"}


def test_each_token_is_for_its_own_api(guarded: TorchServe) -> None:
    file = guarded.directory / "key_file.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    tokens = json.loads(file.read_text())
    assert {kind: sorted(value) for kind, value in tokens.items()} == {
        "management": ["expiration time", "key"],
        "inference": ["expiration time", "key"],
        "API": ["key"],
    }
    for client, path, right in (
        (guarded.management, "/models", "management"),
        (guarded.inference, "/predictions/echo", "inference"),
    ):
        for kind in tokens:
            status = client.get(path, headers=bearer(guarded, kind)).status
            assert status == (200 if kind == right else 400), (path, kind)
        reply = client.get(path)
        assert reply.status == 400
        assert reply.json()["type"] == "InvalidKeyException"
        assert reply.json()["message"].startswith("Token Authorization failed.")


def test_probes_and_metrics_need_no_token(guarded: TorchServe) -> None:
    assert guarded.inference.get("/ping").status == 200
    assert guarded.inference.get("/readyz").status == 200
    assert guarded.metrics.get("/metrics").status == 200


def test_a_token_is_made_anew_by_the_third_one_and_the_former_counts_no_more(
    guarded: TorchServe,
) -> None:
    former = bearer(guarded, "inference")
    assert guarded.inference.post("/predictions/echo", "x", headers=former).status == 200
    for kind in ("management", "inference"):
        reply = guarded.management.get("/token?type=inference", headers=bearer(guarded, kind))
        assert reply.json()["type"] == "InvalidKeyException"
    api = bearer(guarded, "API")
    assert guarded.management.get("/token?type=other", headers=api).status == 400
    reply = guarded.management.get("/token?type=inference", headers=api)
    assert (reply.status, reply.body) == (200, b"")
    assert guarded.inference.post("/predictions/echo", "x", headers=former).status == 400
    now = bearer(guarded, "inference")
    assert guarded.inference.post("/predictions/echo", "x", headers=now).status == 200


def test_models_are_not_registered_unless_the_operator_says_so(guarded: TorchServe) -> None:
    token = bearer(guarded, "management")
    for method, path in (("POST", "/models?url=echo.mar"), ("DELETE", "/models/echo")):
        reply = guarded.management.request(method, path, headers=token)
        assert (reply.status, reply.json()["type"]) == (405, "MethodNotAllowedException")
    assert guarded.management.get("/models/echo", headers=token).status == 200
    assert guarded.management.put("/models/echo?min_worker=1", headers=token).status == 202


def test_the_models_of_the_newest_snapshot_are_loaded_as_they_ran(tmp_path: Path) -> None:
    server = TorchServe(tmp_path, "--disable-token-auth")
    archive(server.store, "echo")
    archive(server.store, "echo", version="2.0")
    settings = server.config_file.read_text()
    server.config_file.unlink()
    snapshots = tmp_path / "logs" / "config"
    snapshots.mkdir(parents=True)
    (snapshots / "20250101000000000-startup.cfg").write_text("model_store=/nowhere\n")
    versions = {
        version: {"defaultVersion": version == "2.0", "marName": name, "minWorkers": 1}
        | {"maxWorkers": 1, "batchSize": 4, "maxBatchDelay": 30, "responseTimeout": 50}
        for version, name in (("1.0", "echo.mar"), ("2.0", "echo-2.0.mar"))
    }
    snapshot = json.dumps({"name": "x", "modelCount": 2, "models": {"echo": versions}})
    (snapshots / "20250102000000000-shutdown.cfg").write_text(
        f"{settings}model_snapshot={snapshot}\n"
    )
    at = server.arguments.index("--ts-config")
    server.arguments[at : at + 2] = ["--model-store", str(server.store)]
    try:
        server.start()
        described = server.management.get("/models/echo/all").json()
        assert [(each["modelVersion"], each["batchSize"]) for each in described] == [
            ("2.0", 4),
            ("1.0", 4),
        ]
        [default] = server.management.get("/models/echo").json()
        assert (default["modelVersion"], default["responseTimeout"]) == ("2.0", 50)
        assert default["maxWorkers"] == 1
        server.stop()
    finally:
        server.kill()


def test_grpc_needs_the_tokens_too_and_says_that_the_model_api_is_off(guarded: TorchServe) -> None:
    port = guarded.settings["grpc_management_port"]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        path = "/org.pytorch.serve.grpc.management.ManagementAPIsService/RegisterModel"
        register = channel.unary_unary(path)
        with pytest.raises(grpc.RpcError) as refused:
            register(b"", timeout=20)
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
        token = bearer(guarded, "management")["Authorization"]
        with pytest.raises(grpc.RpcError) as disabled:
            register(b"", timeout=20, metadata=[("authorization", token)])
        assert disabled.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert disabled.value.details() == "Model API disabled"
