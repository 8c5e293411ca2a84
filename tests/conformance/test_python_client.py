"""`mms.client` against a real server, over TLS and a Unix socket; its rules are in tests/client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from support.server import Server, ServerPool, unique_name

from mms.client import AsyncClient, CertificateNotTrusted, Client, ServerRefused

SOURCE = """
def handle(data, context):
    if data is None:
        print("ready to greet")
        return None
    return [answer(item) for item in data]


def answer(item):
    if "inputs" in item:
        return {"y": item["inputs"]["x"] * 2}
    print("greeted", item["body"])
    return f"Hello, {item['body']}!"
"""


@pytest.fixture
def model(secure_server: Server) -> str:
    return secure_server.write_model(unique_name("client"), SOURCE)


@pytest.fixture
def client(secure_server: Server, servers: ServerPool) -> Iterator[Client]:
    with Client(
        f"https://localhost:{secure_server.inference.address.port}",
        management=f"unix:{secure_server.management.address.unix_path}",
        verify=str(servers.keys.certificate),
        key="",
        timeout_s=60,
    ) as client:
        yield client


def test_a_model_is_registered_asked_watched_and_removed(client: Client, model: str) -> None:
    client.models.register(model, model_name=model, handler="service:handle")
    assert client.models.wait(model, timeout_s=30)["modelName"] == model
    assert client.is_ready(model)
    assert model in client.models.names()
    assert client.predict(model, "Ada").value == "Hello, Ada!"
    assert b"".join(client.stream(model, "Bo")) == b"Hello, Bo!"
    found = client.infer(model, {"x": np.arange(4, dtype="f4").reshape(2, 2)})
    assert found.outputs["y"].tolist() == [[0, 2], [4, 6]]
    lines = client.models.follow_logs(model)
    # The worker's output comes on its own way.
    seen = []
    for line in lines:
        seen.append(line.message)
        if line.message == "greeted Bo":
            break
    lines.close()
    assert "ready to greet" in seen
    assert any(line.startswith(f"Model {model} loaded") for line in seen)
    (load,) = (each for each in client.snapshot()["models"] if each["name"] == model)
    assert load["answers"]["good"] == 3
    assert client.models.unregister(model) == f'Model "{model}" unregistered'
    with pytest.raises(ServerRefused, match="Model not found") as raised:
        client.predict(model, "Ada")
    assert raised.value.status == 404


def test_the_async_client_asks_many_things_at_once(
    secure_server: Server, servers: ServerPool, model: str
) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(
            f"https://localhost:{secure_server.inference.address.port}",
            management=f"unix:{secure_server.management.address.unix_path}",
            verify=str(servers.keys.certificate),
            key="",
        ) as client:
            await client.models.register(model, model_name=model, handler="service:handle")
            answers = await asyncio.gather(*(client.predict(model, str(n)) for n in range(16)))
            async for line in client.models.follow_logs(model):
                if line.message == "greeted 15":
                    break
            await client.models.unregister(model)
            return [answer.text for answer in answers]

    assert asyncio.run(ask()) == [f"Hello, {n}!" for n in range(16)]


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(secure_server: Server) -> None:
    address = f"https://localhost:{secure_server.inference.address.port}"
    with Client(address, key="") as client, pytest.raises(CertificateNotTrusted, match=address):
        client.ping()
    with Client(address, key="", verify=False) as client:
        assert client.ping()
