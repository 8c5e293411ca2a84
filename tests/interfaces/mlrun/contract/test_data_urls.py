"""What requests may have read by naming it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mms.interfaces.mlrun.files.artifacts import get_model
from mms.interfaces.mlrun.files.data_urls import DataUrls
from mms.interfaces.mlrun.files.datastore import get_dataitem
from mms.interfaces.mlrun.files.stores import hold_http_to
from mms.limits.networks import LOOPBACK, PUBLIC_ONLY
from mms.wire import UrlRules


class Origin(ThreadingHTTPServer):
    """Answers with 5 bytes; paths below /to/ redirect to what follows."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Origin)
        server.asked.append((self.path, self.headers.get("Authorization")))
        place = self.path.removeprefix("/to/")
        if place != self.path:
            self.send_response(302)
            self.send_header("Location", place)
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"bytes")

    def log_message(self, *_: object) -> None:
        """Tests look at `asked`."""


@pytest.fixture
def origin() -> Iterator[Origin]:
    server = Origin()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_credentials_of_this_machine_go_to_an_address_of_anothers_choice(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_AUTH_TOKEN", "secret")
    assert DataUrls(None, LOOPBACK).read(origin.url("x")) == b"bytes"
    assert origin.asked == [("/x", None)]


def test_private_addresses_are_not_asked_also_by_proxy(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", origin.url(""))
    for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
        url = origin.url("x").replace("127.0.0.1", host)
        with pytest.raises(OSError, match="a loopback address"):
            DataUrls(None, PUBLIC_ONLY).read(url)
    assert origin.asked == []


def test_a_redirect_is_held_to_the_same_rules(origin: Origin) -> None:
    patterns = [r"http://127\.0\.0\.1:\d+/(to|x).*"]
    urls = DataUrls(patterns, LOOPBACK)
    assert urls.read(origin.url("to/" + origin.url("x"))) == b"bytes"
    with pytest.raises(ValueError, match="/secret does not match any allowed"):
        urls.read(origin.url("to/" + origin.url("secret")))
    with pytest.raises(OSError, match="is 0.0.0.0, a private address"):
        DataUrls(None, LOOPBACK).read(origin.url("to/http://0.0.0.0:1/x"))
    for elsewhere in ("file:///etc/passwd", "ftp://127.0.0.1/x", "https://127.0.0.1/x"):
        with pytest.raises(OSError, match="302"):
            DataUrls(None, LOOPBACK).read(origin.url("to/" + elsewhere))


@pytest.mark.parametrize("url", ["/etc/passwd", "file:///etc/passwd", "s3://b/k", "memory://x"])
def test_what_is_not_http_is_read_only_where_a_pattern_says_so(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not http\(s\)"):
        DataUrls(None, LOOPBACK).read(url)
    with pytest.raises(ValueError, match="does not match any allowed"):
        DataUrls(["https://.*"], LOOPBACK).read(url)


def test_a_file_is_read_by_its_own_name_and_not_by_that_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "open" / "data").write_text("data")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "secret")
    urls = DataUrls([f"file://{tmp_path}/open/.*"], PUBLIC_ONLY)
    assert urls.read(f"{tmp_path}/open/data") == b"data"
    for path in ("open/link", "open/../secret"):
        with pytest.raises(ValueError, match="secret does not match any allowed"):
            urls.read(f"file://{tmp_path}/{path}")


def test_more_than_a_request_may_have_is_not_read(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("bytes")
    for url in (origin.url("x"), str(tmp_path / "data")):
        assert DataUrls([".*"], LOOPBACK, 5).read(url) == b"bytes"
        with pytest.raises(ValueError, match="more than 4 bytes, max_request_size"):
            DataUrls([".*"], LOOPBACK, 4).read(url)


@pytest.fixture
def hold() -> Iterator[Callable[..., None]]:
    """Read by the rules for what a client has named."""

    def hold_to(**rules: object) -> None:
        hold_http_to(UrlRules.from_members({"max_bytes": 100, **rules}))

    yield hold_to
    hold_http_to(None)


def test_a_model_that_a_client_has_named_is_read_from_addresses_alone_that_it_may_name(
    origin: Origin, hold: Callable[..., None]
) -> None:
    hold()
    for host in ("127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1"):
        url = origin.url("model.pkl").replace("127.0.0.1", host)
        with pytest.raises(OSError, match="which allowed_private_addresses does not allow"):
            get_model(url, ".pkl")
    assert origin.asked == []
    hold(allowed_private_addresses="loopback")
    assert Path(get_model(origin.url("model.pkl"), ".pkl")[0]).read_bytes() == b"bytes"


def test_redirects_of_a_model_that_a_client_has_named_are_held_to_the_rules(
    origin: Origin, hold: Callable[..., None]
) -> None:
    hold(allowed_urls=[r"http://127\.0\.0\.1:\d+/(to|x).*"], allowed_private_addresses="loopback")
    assert get_dataitem(origin.url("to/" + origin.url("x"))).get() == b"bytes"
    with pytest.raises(ValueError, match="url .*/secret does not match any allowed"):
        get_dataitem(origin.url("to/" + origin.url("secret"))).get()
    hold(allowed_private_addresses="loopback")
    with pytest.raises(OSError, match="is 0.0.0.0, a private address"):
        get_dataitem(origin.url("to/http://0.0.0.0:1/x")).get()


def test_from_a_public_host_no_redirect_leads_to_loopback_unless_somebody_has_set_so(
    origin: Origin, hold: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mms.fetch.http_client.is_public", lambda address: True)
    url = origin.url("to/" + origin.url("x"))
    hold(allowed_private_addresses="loopback", has_own_networks=False)
    with pytest.raises(OSError, match="a loopback address"):
        get_dataitem(url).get()
    hold(allowed_private_addresses="loopback")
    assert get_dataitem(url).get() == b"bytes"


def test_more_than_a_download_may_have_is_not_read_of_a_named_model(
    origin: Origin, hold: Callable[..., None]
) -> None:
    hold(allowed_private_addresses="loopback", max_bytes=4)
    for read in (get_dataitem(origin.url("y.pkl")).get, lambda: get_model(origin.url("z.pkl"))):
        with pytest.raises(OSError, match="more than 4 bytes, max_download_size"):
            read()


def test_addresses_in_one_another_are_not_read_of_a_named_model(hold: Callable[..., None]) -> None:
    hold()
    with pytest.raises(ValueError, match="nested addresses"):
        get_dataitem("simplecache::http://127.0.0.1/x").get()
