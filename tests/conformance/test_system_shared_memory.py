"""Tensors in shared memory of clients on the same machine, black box: Triton's clients, and what is refused."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.client import Reply
from support.processes import free_port
from support.server import Server, ServerPool, manifest

pytestmark = pytest.mark.better_than_mms

HANDLER = """
def handle(data, context):
    return [{"y": item["inputs"]["x"] * 2} for item in data or ()]
"""
SHM = Path("/dev/shm")


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    port = free_port()
    settings = {
        "default_workers_per_model": "1",
        "oip_shared_memory": "true",
        "grpc_address": f"grpc://127.0.0.1:{port}",
    }
    started = Server(servers.new_directory(), settings).start()
    started.grpc_target = f"127.0.0.1:{port}"  # type: ignore[attr-defined]
    started.write_model("double", HANDLER, manifest("double"))
    reply = started.register("double", initial_workers=1, synchronous="true")
    assert reply.status == 200, reply
    yield started
    started.stop()


@pytest.fixture
def key() -> Iterator[str]:
    """The key of an object of 64 bytes."""
    name = f"mms-test-{secrets.token_hex(6)}"
    (SHM / name).write_bytes(bytes(64))
    yield f"/{name}"
    (SHM / name).unlink(missing_ok=True)


def post(server: Server, path: str, document: Any = None) -> Reply:
    path = f"/v2/systemsharedmemory{path}"
    if document is None:
        return server.inference.post(path, b"")
    return server.inference.post_json(path, document)


def error_of(reply: Reply, status: int) -> str:
    assert reply.status == status, reply
    assert list(reply.json()) == ["error"]
    return str(reply.json()["error"])


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_triton_s_clients_have_inputs_read_and_outputs_written(
    server: Server, protocol: str
) -> None:
    triton: Any = pytest.importorskip(
        f"tritonclient.{protocol}", reason="tritonclient comes with the extra test"
    )
    from tritonclient.utils import shared_memory

    address = server.grpc_target  # type: ignore[attr-defined]
    if protocol == "http":
        address = f"127.0.0.1:{server.inference.address.port}"
    name = f"/mms-test-{secrets.token_hex(6)}"
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    handle = shared_memory.create_shared_memory_region("region", name, 64)
    try:
        shared_memory.set_shared_memory_region(handle, [array])
        with triton.InferenceServerClient(address) as client:
            client.register_system_shared_memory("region", name, 64)
            x = triton.InferInput("x", [2, 3], "FP32")
            x.set_shared_memory("region", 24)
            y = triton.InferRequestedOutput("y")
            y.set_shared_memory("region", 24, offset=32)
            answer = client.infer("double", [x], outputs=[y])
            output = answer.get_output("y")
            shape = output["shape"] if isinstance(output, dict) else list(output.shape)
            assert shape == [2, 3]
            found = shared_memory.get_contents_as_numpy(handle, np.float32, [2, 3], offset=32)
            assert found.tolist() == (array * 2).tolist()
            assert "region" in str(client.get_system_shared_memory_status())
            client.unregister_system_shared_memory("region")
            assert "region" not in str(client.get_system_shared_memory_status()).replace(
                "regions", ""
            )
    finally:
        shared_memory.destroy_shared_memory_region(handle)


def infer(server: Server, size: int = 16, offset: int = 0, shape: int = 4) -> Reply:
    place = {
        "shared_memory_region": "r",
        "shared_memory_byte_size": size,
        "shared_memory_offset": offset,
    }
    x = {"name": "x", "shape": [shape], "datatype": "FP32", "parameters": place}
    return server.inference.post_json("/v2/models/double/infer", {"inputs": [x]})


def test_a_client_that_makes_its_region_smaller_hurts_nobody_but_its_own_request(
    server: Server, key: str
) -> None:
    workers = server.workers()
    assert post(server, "/region/r/register", {"key": key, "byte_size": 64}).status == 200
    assert infer(server).json()["outputs"][0]["data"] == [0, 0, 0, 0]
    os.truncate(SHM / key[1:], 8)
    assert "smaller" in error_of(infer(server), 400)
    (SHM / key[1:]).unlink()
    assert "cannot be opened" in error_of(infer(server), 400)
    assert post(server, "/region/r/unregister").status == 200
    assert "not registered" in error_of(infer(server), 400)
    assert server.workers() == workers


def test_a_tensor_beyond_its_region_and_of_another_size_is_refused(
    server: Server, key: str
) -> None:
    assert (
        post(server, "/region/r/register", {"key": key, "byte_size": 32, "offset": 8}).status == 200
    )
    try:
        assert "region" in error_of(infer(server, 16, 20), 400)
        assert "x" in error_of(infer(server, 12), 400)
        assert "number of bytes" in error_of(infer(server, -1), 400)
        taken = post(server, "/region/r/register", {"key": key, "byte_size": 8})
        assert "already" in error_of(taken, 409)
    finally:
        assert post(server, "/unregister").status == 200
    assert server.inference.get("/v2/systemsharedmemory/status").json() == []


def test_a_request_takes_no_more_from_shared_memory_than_a_body_may_have(
    server: Server, key: str
) -> None:
    workers = server.workers()
    # A file of many bytes that takes no memory until it is read.
    os.truncate(SHM / key[1:], 2**42)
    assert post(server, "/region/r/register", {"key": key, "byte_size": 2**42}).status == 200
    try:
        assert "max_request_size" in error_of(infer(server, 2**42, shape=2**40), 413)
        half = {"shared_memory_region": "r", "shared_memory_byte_size": 4_000_000}
        x = {"shape": [1_000_000], "datatype": "FP32", "parameters": half}
        two = {"inputs": [{**x, "name": "x"}, {**x, "name": "again"}]}
        reply = server.inference.post_json("/v2/models/double/infer", two)
        assert "max_request_size" in error_of(reply, 413)
        assert infer(server).status == 200
    finally:
        assert post(server, "/unregister").status == 200
    assert server.workers() == workers


def test_regions_have_no_longer_names_and_keys_together_than_requests_carry(
    server: Server, key: str
) -> None:
    replies = [
        post(server, f"/region/{number:0128}/register", {"key": key, "byte_size": 8, "offset": 2})
        for number in range(8)
    ]
    assert [reply.status for reply in replies] == [200] * 8
    long = "%F0%9F%98%80" * 120
    replies = [
        post(server, f"/region/{long}{number}/register", {"key": key, "byte_size": 8})
        for number in range(12)
    ]
    assert "together" in error_of(replies[-1], 400)
    assert post(server, "/unregister").status == 200


def test_pages_of_other_sites_register_and_forget_no_region(server: Server, key: str) -> None:
    # What a form of any page can send.
    page = {"Origin": "https://elsewhere.example", "Content-Type": "text/plain"}
    base = "/v2/systemsharedmemory"
    body = json.dumps({"key": key, "byte_size": 8}).encode()
    reply = server.inference.post(f"{base}/region/r/register", body, headers=page)
    assert "elsewhere.example" in error_of(reply, 403)
    assert post(server, "/region/r/register", {"key": key, "byte_size": 8}).status == 200
    for path in ("/region/r/unregister", "/unregister"):
        assert error_of(server.inference.post(base + path, b"", headers=page), 403)
    assert post(server, "/unregister").status == 200


@pytest.mark.parametrize(
    "wrong", ["/../../etc/passwd", "/a/b", "..", "/.", "", "/absent-mms", 5, "/x\x00y", "x" * 300]
)
def test_only_names_of_objects_of_the_server_s_user_are_taken(server: Server, wrong: Any) -> None:
    reply = post(server, "/region/r/register", {"key": wrong, "byte_size": 8})
    assert error_of(reply, 400)


def test_links_folders_and_sizes_beyond_the_object_are_refused(server: Server, key: str) -> None:
    link = SHM / f"{key[1:]}-link"
    link.symlink_to("/etc/hostname")
    folder = SHM / f"{key[1:]}-folder"
    folder.mkdir()
    try:
        for name, size in ((link.name, 1), (folder.name, 1), (key, 65), (key, 2**62), (key, -1)):
            assert error_of(
                post(server, "/region/r/register", {"key": name, "byte_size": size}), 400
            )
    finally:
        link.unlink()
        folder.rmdir()
