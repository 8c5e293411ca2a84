"""Bodies of clients that ask the model repository."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mms.bodies import large_json
from mms.core import Registry
from mms.errors import BadRequest, Forbidden, NotImplementedHere
from mms.interfaces.oip.front import extensions
from mms.interfaces.oip.front.extensions import ExtensionRoutes
from mms.interfaces.oip.front.repository import ModelRepository
from mms.interfaces.oip.front.shared_memory import SharedMemory
from mms.settings import Address


def routes_of(body: bytes, *, is_on: bool) -> Any:
    async def read_body(request: Any) -> bytes:
        assert is_on, "the body is read"
        return body

    asker: Any = SimpleNamespace(read_body=read_body)
    host: Any = None
    repository = ModelRepository(host, Address("http", "127.0.0.1", 8080), is_on=is_on)
    registry: Any = Registry()
    memory = SharedMemory(registry, is_on=is_on, most_bytes=1 << 20)
    return ExtensionRoutes(host, asker, repository, memory, lambda answer: answer)  # type: ignore[arg-type]  # no answer is made


async def test_a_body_is_not_read_where_the_repository_is_off() -> None:
    routes = routes_of(b"{}", is_on=False)
    for ask in (routes._index, routes._load, routes._unload):
        with pytest.raises(Forbidden, match="oip_repository is false"):
            await ask(None)
    with pytest.raises(NotImplementedHere, match="oip_shared_memory is false"):
        await routes._register_memory(None)


async def test_the_event_loop_reads_no_large_body_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    real = large_json.apart

    async def apart(size_bytes: int, *work: Any) -> Any:
        sizes.append(size_bytes)
        return await real(size_bytes, *work)

    monkeypatch.setattr(extensions, "apart", apart)
    body = b'{"ready": [' + b"1," * 100_000 + b"1]}"
    said = await routes_of(body, is_on=True)._read(None, ("ready",))
    assert (len(said["ready"]), sizes) == (100_001, [len(body)])
    with pytest.raises(BadRequest, match="not valid JSON"):
        await routes_of(body[:-1], is_on=True)._read(None, ("ready",))
