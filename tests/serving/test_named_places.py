"""Files and addresses that a registration names for the server to read or write."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mms.errors import BadRequest
from mms.limits.networks import PUBLIC_ONLY
from mms.serving import RegisterOptions
from mms.tracking import Undelivered, open_sink
from mms.wire import UrlRules

MakeBench = Callable[..., Awaitable[Any]]
CODE = "def handle(data, context): return data\n"


@pytest.fixture
async def closed(make_bench: MakeBench) -> Any:
    """A host where clients may name nothing outside of the model store."""
    bench = await make_bench(allowed_urls=(), allowed_private_addresses=PUBLIC_ONLY)
    bench.write("m", CODE)
    return bench


async def register(bench: Any, **asked: Any) -> None:
    await bench.host.register(
        RegisterOptions.of_members({"url": "m", "initial_workers": 0, **asked})
    )


FORMS: tuple[Callable[[str], dict[str, Any]], ...] = (
    lambda place: {"mlrun": {"model_path": place}},
    lambda place: {"mlrun": {"class_args": {"model_path": place}}},
    lambda place: {"parameters": [{"name": "model_uri", "value": place, "type": "STRING"}]},
)
PLACES = ("/etc", "../../outside", "http://127.0.0.1/m", "s3://b/m", "file:///etc", "link")


async def test_a_place_of_a_model_that_is_not_allowed_is_refused_as_an_argument(
    closed: Any,
) -> None:
    (closed.store / "m" / "link").symlink_to("/etc")
    for form in FORMS:
        for place in PLACES:
            with pytest.raises(BadRequest, match="does not match any allowed URL"):
                await register(closed, **form(place))
            assert not closed.host.has_model("m")
        await register(closed, is_from_operator=True, **form("/etc"))
        await closed.host.unregister("m")


async def test_a_place_in_the_archive_or_the_store_is_no_matter_of_urls(closed: Any) -> None:
    closed.write("weights", CODE)
    for path in ("MAR-INF", str(closed.store / "weights")):
        await register(closed, mlrun={"model_path": path})
        await closed.host.unregister("m")


async def test_workers_are_told_by_which_rules_they_read_a_place_that_a_client_names(
    make_bench: MakeBench,
) -> None:
    bench = await make_bench(
        allowed_urls=("https?://models[.]org/.*",), allowed_private_addresses=PUBLIC_ONLY
    )
    bench.write("m", CODE)

    def rules() -> Any:
        (served,) = bench.host.registry.all()
        return served.path_rules

    place = {"mlrun": {"model_path": "http://models.org/m"}}
    await register(bench, interface="mlrun", **place)
    max_bytes = bench.host.settings.max_download_size
    assert rules() == UrlRules(["https?://models[.]org/.*"], "", True, max_bytes)
    await bench.host.unregister("m")
    await register(bench, interface="mlrun", is_from_operator=True, **place)
    assert rules() is None


STREAMS: tuple[Any, ...] = (
    "{folder}/records.jsonl",
    "http://127.0.0.1:9/records",
    "kafka://broker:9092/topic",
    {"path": "memory://", "error_stream": "http://127.0.0.1:9/errors"},
    {"path": "memory://", "reference": "/etc/passwd"},
    {"path": "memory://", "reference": "../../secret.json"},
    {"path": "memory://", "stream_args": {"kafka_brokers": "inner:9092"}},
)


async def test_records_go_where_clients_say_only_if_that_is_allowed(closed: Any) -> None:
    for stream in STREAMS:
        if isinstance(stream, str):
            stream = stream.format(folder=closed.folder)
        with pytest.raises(BadRequest, match="does not match any allowed URL"):
            await register(closed, tracking=stream)
    assert not (closed.folder / "records.jsonl").exists()
    await register(closed, tracking="memory://")


def test_records_are_not_posted_to_an_address_that_is_not_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sink = open_sink(f"http://localhost:{port}/records", connect=PUBLIC_ONLY.connect)
        with pytest.raises(Undelivered, match="localhost is .*, a loopback address"):
            sink.write([b"{}"])
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
