"""Where a registration may have the server go: urls, addresses, links, and the SHA-256 of what comes."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import Address
from support.processes import free_port
from support.server import Server, manifest, unique_name

from .archives import archive_bytes, model_files

pytestmark = pytest.mark.better_than_mms

ARCHIVE = archive_bytes(model_files(manifest("remote")))
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(ARCHIVE)))
        self.end_headers()
        self.wfile.write(ARCHIVE)

    def log_message(self, format: str, *arguments: Any) -> None:
        return


@pytest.fixture(scope="module")
def origin() -> Iterator[int]:
    """The port of a server on 127.0.0.1 that answers everything with an archive."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), _Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def start_open(start_server: Callable[..., Server]) -> Callable[..., Server]:
    """Starts a server whose management other machines reach."""

    def start(**settings: str) -> Server:
        management = Address(port=free_port())
        everywhere = {
            "management_address": f"http://0.0.0.0:{management.port}",
            "allow_open_management": "true",
        }
        return start_server({**everywhere, **settings}, management=management)

    return start


def test_where_others_reach_management_models_come_from_the_store_alone(
    start_open: Callable[..., Server], origin: int
) -> None:
    url = f"http://127.0.0.1:{origin}/m.mar"
    server = start_open(load_models=f"named={url}")
    assert "the setting allowed_urls allows other places" in server.output()
    # Whoever starts the server may name what they like.
    assert server.describe("named")["modelUrl"] == url
    assert server.register("noop").status == 200
    for asked in (
        {"url": url},
        {"url": "noop", "model_uri": "/etc"},
        {"url": "noop", "model_uri": "s3://bucket/key"},
        {"url": "noop", "interface": "mlrun", "model_path": "/etc"},
        {"url": "noop", "tracking": str(server.directory / "records")},
        {"url": "noop", "tracking": url},
    ):
        reply = server.management.post_json("/models", {"model_name": "other", **asked})
        assert reply.status == 400, (asked, reply.text)
        assert "does not match any allowed URL(s)" in reply.text
        assert "allowed_urls" in reply.text
    spec = {"graph": {"kind": "router", "routes": {}}}
    reply = server.management.post_json("/models", {"serving_spec": spec})
    assert (reply.status, "matches the word serving_spec" in reply.text) == (400, True)
    assert not (server.directory / "records").exists()


def test_a_list_opens_urls_and_addresses_that_are_not_public_need_a_word_of_their_own(
    start_open: Callable[..., Server], origin: int
) -> None:
    urls = {"allowed_urls": "http://(localhost|127[.]0[.]0[.]1):.*"}
    server = start_open(**urls)
    for host in ("localhost", "127.0.0.1"):
        reply = server.register(f"http://{host}:{origin}/m.mar", model_name="m")
        assert reply.status == 400
        assert "a loopback address, which allowed_private_addresses does not allow" in reply.text
    server.stop()
    server = start_open(
        allowed_urls=urls["allowed_urls"] + ",serving_spec",
        allowed_private_addresses="127.0.0.0/8",
    )
    reply = server.management.post_json("/models", {"serving_spec": {"graph": 5}})
    assert "not an exported function" in reply.text
    assert server.register(f"http://127.0.0.1:{origin}/m.mar", model_name="m").status == 200


@pytest.mark.parametrize("host", ["10.255.255.1", "169.254.169.254", "[fd00:ec2::254]", "[::]"])
def test_private_addresses_are_refused_on_loopback_too(main_server: Server, host: str) -> None:
    reply = main_server.register(f"http://{host}/m.mar", model_name="m")
    assert reply.status == 400
    assert "leads to an address that is not allowed" in reply.text


def test_a_digest_must_be_that_of_the_archive(main_server: Server, origin: int) -> None:
    (main_server.store / "digested.mar").write_bytes(ARCHIVE)
    for url in (f"http://127.0.0.1:{origin}/m.mar", "digested.mar"):
        name = unique_name("digested")
        wrong = main_server.register(url, model_name=name, sha256="0" * 64)
        assert (wrong.status, wrong.json()["type"]) == (400, "InvalidModelException")
        assert f"has the SHA-256 {SHA256}" in wrong.text
        for right in (SHA256, f"sha256:{SHA256.upper()}"):
            assert main_server.register(url, model_name=name, sha256=right).status == 200
            main_server.unregister(name)
    reply = main_server.register("digested.mar", sha256="123")
    assert reply.status == 400
    assert "64 hexadecimal digits" in reply.text


def test_a_link_out_of_the_store_is_not_found(main_server: Server, tmp_path: Path) -> None:
    (tmp_path / "outside.mar").write_bytes(ARCHIVE)
    name = unique_name("link")
    (main_server.store / name).symlink_to(tmp_path / "outside.mar")
    reply = main_server.register(name, model_name=name)
    assert (reply.status, reply.json()["type"]) == (404, "ModelNotFoundException")
    assert "is a link that leads out of the store" in reply.text
