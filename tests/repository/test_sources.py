"""What may be fetched from outside the model store, with names that change their address."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from model_origin import Origin

from archiver import pack
from mms.errors import BadRequest, DownloadFailed, InvalidModel, ModelNotFound
from mms.limits.networks import Networks
from mms.repository import Repository
from mms.repository.download import DownloadLimits
from mms.repository.sources import AllowedUrls, Sources
from mms.settings import Address

DEADLINE_S = 20.0


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    source = tmp_path / "source"
    source.mkdir()
    (source / "service.py").write_text("def handle(data, context): return data\n")
    path = pack(source, model_name="m", handler="service:handle", export_path=tmp_path)
    return path.read_bytes()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    found = Names()
    monkeypatch.setattr(socket, "getaddrinfo", found.look_up)
    return found


class Names:
    """A resolver whose names lead to one address after another; the last one stays."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self._usual = socket.getaddrinfo

    def look_up(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        known = self.addresses.get(host)
        if known is None:
            return self._usual(host, port, *args, **kwargs)
        self.asked.append(host)
        address = known.pop(0) if len(known) > 1 else known[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


@contextlib.asynccontextmanager
async def opened(
    cache: Path, sources: Sources, store: Path | None = None, **limits: Any
) -> AsyncIterator[Repository]:
    repository = Repository(store, cache, sources=sources, download_limits=DownloadLimits(**limits))
    try:
        yield repository
    finally:
        await repository.close()


def left_in(cache: Path) -> list[str]:
    return os.listdir(cache) if cache.exists() else []


def private(text: str, allowed_urls: list[str] | None = None) -> Sources:
    return Sources.of(allowed_urls, Networks.parse(text))


# Addresses


async def test_a_name_that_leads_to_a_private_address_is_not_asked(
    origin: Origin, archive: bytes, cache: Path, names: Names
) -> None:
    names.addresses["models.example"] = ["127.0.0.1"]
    origin.serve("m.mar", archive)
    url = f"http://models.example:{origin.port}/m.mar"
    async with opened(cache, private("none")) as repository:
        with pytest.raises(BadRequest, match=r"is 127\.0\.0\.1, a loopback address.*allowed_priv"):
            await repository.fetch(url)
        with pytest.raises(BadRequest, match="leads to an address that is not allowed"):
            await repository.model_uris.fetch(url, None)
    assert origin.requests == []
    assert [name for name in left_in(cache) if not name.startswith(".model-files")] == []


async def test_an_address_in_the_url_itself_is_looked_at_too(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    origin.serve("m.mar", archive)
    async with opened(cache, private("none")) as repository:
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost", "0.0.0.0"):
            with pytest.raises(BadRequest, match="address that is not allowed"):
                await repository.fetch(f"http://{host}:{origin.port}/m.mar")
    assert origin.requests == []


async def test_a_name_that_changes_its_address_after_the_check_leads_where_it_led_then(
    archive: bytes, cache: Path, names: Names
) -> None:
    asked: list[str] = []
    async with two_servers(asked, archive) as port:
        names.addresses["models.example"] = ["127.0.0.2", "127.0.0.3"]
        async with opened(cache, private("127.0.0.2")) as repository:
            fetched = await repository.fetch(f"http://models.example:{port}/m.mar")
            assert fetched.manifest is not None
    assert asked == ["127.0.0.2"]
    assert names.asked == ["models.example"]


async def test_a_redirect_to_the_same_name_is_not_looked_up_again(
    archive: bytes, cache: Path, names: Names
) -> None:
    asked: list[str] = []
    async with two_servers(asked, archive, redirects=1) as port:
        names.addresses["models.example"] = ["127.0.0.2", "127.0.0.3"]
        async with opened(cache, private("127.0.0.2")) as repository:
            await repository.fetch(f"http://models.example:{port}/m.mar")
    assert asked == ["127.0.0.2", "127.0.0.2"]
    assert names.asked == ["models.example"]


@contextlib.asynccontextmanager
async def two_servers(asked: list[str], body: bytes, redirects: int = 0) -> AsyncIterator[int]:
    """On 127.0.0.2 and 127.0.0.3, with one port. `asked` gets the address of each request."""
    left = redirects

    async def answer(request: web.Request) -> web.Response:
        nonlocal left
        assert request.transport is not None
        asked.append(request.transport.get_extra_info("sockname")[0])
        if left:
            left -= 1
            # Another connection, so that another look-up could happen.
            return web.Response(status=302, headers={"Location": "/m", "Connection": "close"})
        return web.Response(body=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    first = socket.create_server(("127.0.0.2", 0))
    port = first.getsockname()[1]
    second = socket.create_server(("127.0.0.3", port))
    try:
        for made in (first, second):
            await web.SockSite(runner, made).start()
        yield port
    finally:
        await runner.cleanup()


async def test_a_redirect_to_a_private_address_is_not_followed(
    origin: Origin, archive: bytes, cache: Path, names: Names
) -> None:
    names.addresses["inner.example"] = ["127.0.0.9"]
    url = origin.redirect("m.mar", f"http://inner.example:{origin.port}/m.mar")
    async with opened(cache, private("127.0.0.1")) as repository:
        with pytest.raises(BadRequest, match=r"inner\.example is 127\.0\.0\.9"):
            await repository.fetch(url)
    assert len(origin.requests) == 1


async def test_no_redirect_leads_from_a_public_host_to_this_machine(
    origin: Origin, archive: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is on the internet is here, too, for this test.
    monkeypatch.setattr("mms.repository.download.is_public", lambda address: True)
    origin.serve("m", archive)
    url = origin.redirect("m.mar", f"http://localhost:{origin.port}/m")
    async with opened(cache, Sources()) as repository:
        with pytest.raises(BadRequest, match="localhost is .*a loopback address"):
            await repository.fetch(url)
    async with opened(cache, private("loopback")) as repository:
        await repository.fetch(url)


async def test_a_redirect_to_another_scheme_or_to_no_http_is_not_followed(
    origin: Origin, cache: Path
) -> None:
    async with opened(cache, Sources()) as repository:
        for location in ("file:///etc/passwd", "ftp://localhost/m", "gopher://localhost/"):
            url = origin.redirect("m.mar", location)
            with pytest.raises(DownloadFailed, match="code: 302"):
                await repository.fetch(url)


async def test_the_name_that_a_certificate_must_have_is_that_of_the_url(
    cache: Path, names: Names, tmp_path: Path
) -> None:
    asked_for: list[str | None] = []
    names.addresses["models.example"] = ["127.0.0.1"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda made, name, _: asked_for.append(name)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        async with opened(cache, Sources()) as repository:
            with pytest.raises(DownloadFailed):
                await repository.fetch(f"https://models.example:{port}/m.mar")
    finally:
        server.close()
        await server.wait_closed()
    assert asked_for == ["models.example"]


# What whoever starts the server names


async def test_what_the_operator_names_may_be_anywhere_but_does_not_lead_anywhere(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    origin.serve("m.mar", archive)
    sources = Sources(AllowedUrls((), ": none"), Networks())
    async with opened(cache, sources) as repository:
        with pytest.raises(BadRequest, match=r"any allowed URL\(s\): none"):
            await repository.fetch(origin.url("m.mar"))
        await repository.fetch(origin.url("m.mar"), is_from_operator=True)
        within = origin.redirect("within", "/m.mar")
        await repository.fetch(within, is_from_operator=True)
        elsewhere = origin.redirect("elsewhere", f"http://localhost:{origin.port}/m.mar")
        with pytest.raises(BadRequest, match="localhost is"):
            await repository.fetch(elsewhere, is_from_operator=True)


async def test_a_list_holds_for_the_operator_too(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    url = origin.serve("m.mar", archive)
    async with opened(cache, Sources.of(["https://models.example/.*"])) as repository:
        with pytest.raises(BadRequest, match="does not match"):
            await repository.fetch(url, is_from_operator=True)


@pytest.mark.parametrize(
    ("is_local", "urls", "is_allowed", "networks"),
    [
        (True, None, True, ["127.0.0.1"]),
        (False, None, False, []),
        (True, (".*\\.mar",), True, ["127.0.0.1"]),
        (False, (".*\\.mar",), True, []),
        (False, ("https://other/.*",), False, []),
    ],
)
def test_what_is_allowed_by_default_follows_from_where_management_listens(
    is_local: bool, urls: tuple[str, ...] | None, is_allowed: bool, networks: list[str]
) -> None:
    settings: Any = SimpleNamespace(
        allowed_urls=urls,
        allowed_private_addresses=None,
        management_address=Address("http", "0.0.0.0", 8081),
    )
    sources = Sources.of_settings(settings, is_local=is_local)
    assert sources.urls.allows("http://models.example/m.mar") is is_allowed
    assert [a for a in ("127.0.0.1", "10.0.0.1") if sources.networks.allows(a)] == networks
    if not is_allowed and urls is None:
        with pytest.raises(BadRequest, match=r"listens on http://0\.0\.0\.0:8081.*allowed_urls"):
            sources.urls.check("http://models.example/m.mar")
    settings.allowed_private_addresses = Networks.parse("10.0.0.0/8")
    sources = Sources.of_settings(settings, is_local=is_local)
    assert [a for a in ("127.0.0.1", "10.0.0.1") if sources.networks.allows(a)] == ["10.0.0.1"]


# Patterns


@pytest.mark.parametrize(
    "url",
    [
        "https://models.example@evil.example/public/m.mar",
        "https://models.example:443@evil.example/public/m.mar",
        "https://models.example/public/../secret/m.mar",
        "https://models.example/public/%2e%2E/secret/m.mar",
        "https://models.example/public/./../secret/m.mar",
    ],
)
def test_a_url_that_leads_elsewhere_than_its_text_says_is_not_allowed(url: str) -> None:
    assert not AllowedUrls.compile(["https://models.example.*/public/[^?]*"]).allows(url)


def test_user_and_password_are_no_part_of_what_is_compared() -> None:
    allowed = AllowedUrls.compile([r"https://models\.example/.*"])
    assert allowed.allows("https://me:secret@models.example/m.mar")
    assert allowed.allows("HTTPS://MODELS.EXAMPLE/a/b.mar?sig=..%2F")


@pytest.mark.parametrize("url", ["http://a\\@b/m.mar", "http://a/\tm", "http://a/" + "x" * 20_000])
async def test_a_url_that_programs_read_differently_or_without_end_is_invalid(
    cache: Path, url: str
) -> None:
    async with opened(cache, Sources()) as repository:
        with pytest.raises(ModelNotFound, match="Invalid model url") as caught:
            await repository.fetch(url)
    assert len(str(caught.value.message)) < 300


# Time and size


async def test_the_time_is_that_of_all_redirects_together(origin: Origin, cache: Path) -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.15)
        raise web.HTTPFound("/m.mar")

    origin.handlers["m.mar"] = slow
    url = origin.url("m.mar")
    async with opened(cache, Sources(), total_timeout_s=0.4) as repository:
        with pytest.raises(DownloadFailed, match=f"^Download model timeout: {url}$"):
            await repository.fetch(url)
    assert len(origin.requests) < 6


async def test_a_download_is_not_taken_up_where_one_broke_off(
    origin: Origin, archive: bytes, cache: Path
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Length": str(len(archive)), "Accept-Ranges": "bytes"}
        )
        await response.prepare(request)
        await response.write(archive[:50])
        assert request.transport is not None
        request.transport.close()
        return response

    origin.handlers["m.mar"] = cut
    async with opened(cache, Sources()) as repository:
        with pytest.raises(DownloadFailed):
            await repository.fetch(origin.url("m.mar"))
        await repository.fetch(origin.serve("m.mar", archive))
    assert all("Range" not in request.headers for request in origin.requests)


# SHA-256


async def test_an_archive_with_another_digest_is_refused_before_it_is_opened(
    origin: Origin, archive: bytes, cache: Path, tmp_path: Path
) -> None:
    wanted, wrong = hashlib.sha256(archive).hexdigest(), "0" * 64
    store = tmp_path / "store"
    store.mkdir()
    (store / "m.mar").write_bytes(archive)
    (store / "evil.mar").write_bytes(b"no archive at all")
    async with opened(cache, Sources(), store) as repository:
        for url in (origin.serve("m.mar", archive), "m.mar"):
            fetched = await repository.fetch(url, sha256=wanted.upper())
            assert fetched.sha256 == wanted
            await repository.release(fetched)
            with pytest.raises(InvalidModel, match=f"has the SHA-256 {wanted}, not {wrong}"):
                await repository.fetch(url, sha256=wrong)
        with pytest.raises(InvalidModel, match="SHA-256"):
            await repository.fetch("evil.mar", sha256=wrong)
        assert [name for name in left_in(cache) if name != ".model-files"] == []


async def test_a_folder_has_no_digest(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "store" / "m").mkdir(parents=True)
    async with opened(cache, Sources(), tmp_path / "store") as repository:
        with pytest.raises(BadRequest, match="m is a folder, which has no SHA-256"):
            await repository.fetch("m", sha256="0" * 64)


async def test_model_files_with_another_digest_are_refused_also_when_they_are_known(
    origin: Origin, cache: Path, tmp_path: Path
) -> None:
    body = b"weights"
    wanted = hashlib.sha256(body).hexdigest()

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.Response(body=body, headers={"ETag": '"1"'})

    origin.handlers["m.bin"] = answer
    uri = origin.url("m.bin")
    async with opened(cache, Sources()) as repository:
        uris = repository.model_uris
        kept = await uris.fetch(uri, None)
        with pytest.raises(InvalidModel, match="not 000"):
            await uris.fetch(uri, None, sha256="0" * 64)
        assert (await uris.fetch(uri, None, sha256=wanted)).path == kept.path
        (tmp_path / "m.bin").write_bytes(body)
        assert await uris.fetch(str(tmp_path / "m.bin"), None, sha256=wanted)
        with pytest.raises(InvalidModel, match="not 000"):
            await uris.fetch(str(tmp_path / "m.bin"), None, sha256="0" * 64)
        with pytest.raises(BadRequest, match="sha256 is for one file"):
            await uris.fetch("s3://b/m", None, sha256=wanted)
    assert len(origin.requests) == 3


# The store, and paths


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A model store with links out of it."""
    store, outside = tmp_path / "store", tmp_path / "outside"
    for folder in (store / "inner", outside / "m"):
        folder.mkdir(parents=True)
    (outside / "f.mar").write_bytes(b"secret")
    (store / "m").symlink_to(outside / "m")
    (store / "f.mar").symlink_to(outside / "f.mar")
    (store / "deep").symlink_to(outside)
    (store / "within").symlink_to(store / "inner")
    return store


@pytest.mark.parametrize("url", ["m", "f.mar", "deep/m", "/deep/f.mar", "file://{store}/m"])
async def test_a_link_that_leads_out_of_the_store_is_refused(
    linked: Path, cache: Path, url: str
) -> None:
    async with opened(cache, Sources(), linked) as repository:
        with pytest.raises(ModelNotFound, match="is a link that leads out of the store"):
            await repository.fetch(url.format(store=linked))


async def test_a_link_within_the_store_and_one_to_the_store_are_followed(
    linked: Path, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "other-name").symlink_to(linked)
    async with opened(cache, Sources(), tmp_path / "other-name") as repository:
        assert (await repository.fetch("within")).is_in_place
        assert (await repository.fetch("inner")).is_in_place


async def test_a_link_is_followed_where_the_operator_names_it_or_what_it_leads_to(
    linked: Path, cache: Path, tmp_path: Path
) -> None:
    async with opened(cache, Sources(), linked) as repository:
        assert (await repository.fetch("m", is_from_operator=True)).is_in_place
    async with opened(cache, Sources.of([f"file://{tmp_path}/outside/m"]), linked) as repository:
        assert (await repository.fetch("m")).is_in_place
        with pytest.raises(ModelNotFound):
            await repository.fetch("f.mar")


async def test_model_files_outside_of_archive_and_store_must_be_allowed_links_included(
    linked: Path, cache: Path, tmp_path: Path
) -> None:
    none = Sources(AllowedUrls((), ": none"), Networks())
    async with opened(cache, none, linked) as repository:
        uris = repository.model_uris
        assert (await uris.fetch("inner", None)).path == linked / "inner"
        assert (await uris.fetch(str(linked / "inner"), None)).path == linked / "inner"
        for uri in ("m", f"file://{linked}/m", str(tmp_path / "outside"), "/absent"):
            with pytest.raises(BadRequest, match="does not match any allowed URL"):
                await uris.fetch(uri, None)
        assert await uris.fetch("m", None, is_from_operator=True)
    async with opened(cache, Sources.of([f"file://{linked}/.*"]), tmp_path) as repository:
        assert await repository.model_uris.fetch(str(linked / "m"), None)


async def test_an_address_within_an_address_is_refused(cache: Path) -> None:
    async with opened(cache, Sources()) as repository:
        with pytest.raises(BadRequest, match="contains ::"):
            await repository.model_uris.fetch("s3://b/m::http://127.0.0.1/", None)


# What a server leaves behind


async def test_what_a_server_left_that_was_killed_goes_at_the_next_start_and_no_more(
    origin: Origin, tmp_path: Path, cache: Path
) -> None:
    lasting = tmp_path / "lasting"
    (lasting / ".work-left" / "incoming-1").mkdir(parents=True)
    # In a container every server has this number.
    (lasting / f".incoming-{os.getpid()}-00ff").mkdir()
    (lasting / "content" / "kept").mkdir(parents=True)
    first = Repository(None, cache, model_cache=lasting)
    await asyncio.to_thread(first.clean)
    assert left_in(lasting) == ["content"]
    await first.model_uris.fetch(origin.serve("m.bin", b"x"), None)
    working = [name for name in left_in(lasting) if name.startswith(".work-")]
    assert len(working) == 1
    second = Repository(None, cache, model_cache=lasting)
    await asyncio.to_thread(second.clean)
    assert working[0] in left_in(lasting)
    await second.close()
    await first.close()
    assert sorted(left_in(lasting)) == ["content", "index"]


async def test_a_cache_that_is_cleared_away_meanwhile_is_made_again(
    origin: Origin, tmp_path: Path, cache: Path
) -> None:
    import shutil

    async with opened(cache, Sources()) as repository:
        first = await repository.model_uris.fetch(origin.serve("a.bin", b"a"), None)
        shutil.rmtree(first.path.parents[1])
        second = await repository.model_uris.fetch(origin.serve("b.bin", b"b"), None)
        assert second.path.is_dir()
