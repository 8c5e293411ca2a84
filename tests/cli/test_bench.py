"""`mms bench`: what it sends, what it prints and writes, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.waiting import eventually

from mms.cli.mms import main

from .fake_server import FakeServer, fake_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeServer]:
    with fake_server(tmp_path_factory.mktemp("bench") / "s") as fake:
        fake.answers["POST /predictions/m"] = (200, b"ok")
        fake.answers["GET /page"] = (200, b"ok")
        fake.answers["POST /moved"] = (301, b"")
        yield fake


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMS_API_KEY", raising=False)


def _bench(server: FakeServer, *argv: str) -> Result:
    server.asked.clear()
    return CliRunner().invoke(main, ["bench", *argv])


def _short(server: FakeServer) -> list[str]:
    where = ["--inference", server.address]
    return [*where, "--duration", "0.1", "--warm-up", "0"]


def _socket(server: FakeServer) -> list[str]:
    path = server.address.removeprefix("unix:")
    return ["--unix-socket", path, "--duration", "0.1", "--warm-up", "0"]


def test_bodies_of_files_and_folders_are_sent_in_turn_as_what_they_are(
    server: FakeServer, folder: Path
) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "a.json").write_bytes(b"[1]")
    (folder / "in" / "b.png").write_bytes(b"\x89PNG")
    (folder / "in" / ".hidden").write_bytes(b"no")
    (folder / "text").write_bytes(b"words")
    argv = ["m", "-f", "in", "-f", "text", "-d", "{}", "--rate", "200", "-H", "X-A: b"]
    result = _bench(server, *argv, *_short(server))
    assert result.exit_code == 0, result.output
    sent = {asked.body: asked.headers["Content-Type"] for asked in server.asked}
    assert sent == {
        b"[1]": "application/json",
        b"\x89PNG": "image/png",
        b"words": "text/plain; charset=utf-8",
        b"{}": "application/json",
    }
    assert all(asked.headers["X-A"] == "b" for asked in server.asked)


def test_a_key_goes_to_models_and_to_urls_only_if_that_is_said(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMS_API_KEY", "sesame")
    url = ["http://localhost/page", "--clients", "1", *_socket(server)]
    for argv, key in (
        (["m", "-d", "x", "--clients", "1", *_short(server)], "Bearer sesame"),
        (url, None),
        ([*url, "--send-key"], "Bearer sesame"),
        ([*url, "--send-key", "-H", "authorization: own"], "own"),
    ):
        assert _bench(server, *argv).exit_code == 0
        headers = [{k.lower(): v for k, v in asked.headers.items()} for asked in server.asked]
        assert {each.get("authorization") for each in headers} == {key}


def test_reports_are_printed_written_and_compared(server: FakeServer, folder: Path) -> None:
    for name in ("a", "b"):
        argv = ["m", "-d", "x", "--clients", "2", "--json", "-o", f"{name}.json", "-o", "a.html"]
        result = _bench(server, *argv, *_short(server))
        assert result.exit_code == 0, result.output
        printed = json.loads(result.stdout)
        assert printed == json.loads((folder / f"{name}.json").read_text())
        assert printed["latencies"]["counts"]
        assert printed["percentiles_ms"]["p99"] > 0
        assert (folder / "a.html").read_text().startswith("<!doctype html>")
    result = _bench(server, "compare", "a.json", "b.json", "-o", "c.html")
    assert result.exit_code == 0
    assert "p99.9" in result.output
    assert "b.json against a.json" in (folder / "c.html").read_text()
    worse = json.loads((folder / "b.json").read_text())
    worse["errors"] = {"503": 1000}
    (folder / "b.json").write_text(json.dumps(worse))
    assert _bench(server, "compare", "a.json", "b.json", "--allow", "10").exit_code == 1
    assert _bench(server, "compare", "b.json", "a.json", "--allow", "10000").exit_code == 0


@pytest.mark.parametrize(
    ("argv", "exit_code", "said"),
    [
        (["gone", "-d", "x"], 1, "404 before the load"),
        (["gone"], 1, "It had no body: -d or -f gives one."),
        (["m", "-d", "x", "--clients", "1", "--slo", "p99=1us"], 1, "not held"),
        (["m", "-d", "x", "--clients", "1", "--slo", "p99=10s"], 0, ": held"),
        (["m", "--rate", "1", "--clients", "1"], 2, "give one of them"),
        (["m", "-f", "absent"], 2, "absent cannot be read"),
        (["m", "-f", "empty"], 2, "has no files"),
        (["m", "-o", "x.pdf"], 2, "says no format"),
        (["m", "-o", "absent/x.json"], 2, "cannot be written"),
        (["m", "-H", "no colon"], 2, "is no header"),
        (["m", "-H", "X: a\r\nY: b"], 2, "is no header"),
        (["m", "-H", "Content-Length: 3"], 2, "itself"),
        (["m", "--slo", "p99"], 2, "is no goal"),
        (["m", "--send-key"], 2, "are for urls"),
        (["m", "--clients", "1", "--arrivals", "constant"], 2, "open loop"),
        (["m", "--connections", "5"], 2, "open loop"),
    ],
)
def test_what_goes_wrong_is_said(
    server: FakeServer, folder: Path, argv: list[str], exit_code: int, said: str
) -> None:
    (folder / "empty").mkdir()
    result = _bench(server, *argv, *_short(server))
    assert (result.exit_code, said in " ".join(result.output.split())) == (exit_code, True), (
        result.output
    )


@pytest.mark.parametrize(
    ("argv", "exit_code", "said"),
    [
        (["http://u:secret@localhost/", "--rate", "1"], 2, "no user and password"),
        (["ftp://localhost/"], 2, "is no url"),
        (["http://localhost:99999/"], 2, "is no url"),
        (["http://localhost/page", "--version", "1"], 2, "are for models"),
        (["http://localhost/moved", "-d", "x"], 1, "301 before the load"),
        (["http://127.0.0.1:1/"], 3, "cannot be reached"),
    ],
)
def test_urls_are_checked(server: FakeServer, argv: list[str], exit_code: int, said: str) -> None:
    through = [] if exit_code == 3 else _socket(server)
    result = _bench(server, *argv, *through)
    assert (result.exit_code, said in " ".join(result.output.split())) == (exit_code, True), (
        result.output
    )


def test_a_url_through_a_socket_has_its_own_host_and_a_named_type_is_sent(
    server: FakeServer,
) -> None:
    argv = ["http://some.host:81/page", "--content-type", "text/x", "--clients", "1"]
    assert _bench(server, *argv, *_socket(server)).exit_code == 0
    seen = {(asked.headers["Host"], asked.headers["Content-Type"]) for asked in server.asked}
    assert seen == {("some.host:81", "text/x")}


def test_a_report_has_neither_the_query_nor_the_headers_of_a_url(server: FakeServer) -> None:
    argv = ["http://localhost/page?key=sesame", "-H", "X-Key: sesame", "--json"]
    result = _bench(server, *argv, *_socket(server), "--clients", "1")
    assert result.exit_code == 0
    assert any("key=sesame" in asked.path for asked in server.asked)
    assert "sesame" not in result.output


def test_ctrl_c_shows_what_is_known_by_then(server: FakeServer, folder: Path) -> None:
    server.asked.clear()
    argv = ["m", "-d", "x", "--rate", "50", "--duration", "600", "--warm-up", "0", "-o", "a.json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mms.cli.mms", "bench", *argv, "--inference", server.address],
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    try:
        eventually("some requests are there", lambda: len(server.asked) > 5)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert b"stopped early" in output
    assert json.loads((folder / "a.json").read_text())["requests"] > 3
