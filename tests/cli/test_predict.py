"""`mms predict`: what it sends, and how it shows the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from mms.cli.mms import main
from mms.cli.predict import _for_terminal
from mms.client import Answer

from .fake_server import FakeServer, fake_server


@pytest.mark.parametrize(
    ("argv", "sent", "content_type"),
    [
        (["-d", '{"a": 1}'], b'{"a": 1}', "application/json"),
        (["-d", " [1, 2]"], b" [1, 2]", "application/json"),
        (["-d", "[1, 2"], b"[1, 2", "text/plain; charset=utf-8"),
        (["-d", "Grüße"], "Grüße".encode(), "text/plain; charset=utf-8"),
        (["-d", "@x.json"], b"[1]", "application/json"),
        (["-f", "x.json"], b"[1]", "application/json"),
        (["-f", "plain"], b"[2]", "application/json"),
        (["-d", "@-"], b"[3]", "application/json"),
        (["-f", "x.json.gz"], b"[4]", "application/octet-stream"),
        (["-d", "@x.json.gz"], b"[4]", "application/octet-stream"),
        (["-f", "bytes"], b"\x89PNG", "application/octet-stream"),
        (["-f", "bytes", "--content-type", "image/png"], b"\x89PNG", "image/png"),
    ],
)
def test_a_body_is_sent_as_what_it_looks_like(
    folder: Path, argv: Sequence[str], sent: bytes, content_type: str
) -> None:
    files = {"x.json": b"[1]", "plain": b"[2]", "x.json.gz": b"[4]", "bytes": b"\x89PNG"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with fake_server(folder / "s") as server:
        server.answers["POST /predictions/m"] = (200, b"ok")
        result = CliRunner().invoke(
            main, ["predict", "m", *argv, "--inference", server.address], "[3]"
        )
    assert (result.exit_code, result.output) == (0, "ok")
    (asked,) = server.asked
    assert (asked.body, asked.headers["Content-Type"]) == (sent, content_type)


def test_a_stream_is_printed_as_it_comes(folder: Path) -> None:
    with fake_server(folder / "s") as server:
        server.answers["POST /predictions/m"] = (200, b"one two")
        argv = ["predict", "m", "-d", "x", "--stream", "--inference", server.address]
        assert CliRunner().invoke(main, argv).output == "one two"
        assert CliRunner().invoke(main, [*argv, "--json"]).exit_code == 2


def test_two_bodies_are_a_misuse(folder: Path) -> None:
    result = CliRunner().invoke(main, ["predict", "m", "-d", "x", "-f", __file__])
    assert result.exit_code == 2
    assert "give one of them" in result.output
    result = CliRunner().invoke(main, ["predict", "m", "-d", "@gone"])
    assert (result.exit_code, "gone cannot be read" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("status", "body", "shown", "exit_code"),
    [
        (200, b'{"a": [1]}', {"a": [1]}, 0),
        (200, b"hello", "hello", 0),
        (200, b"\x89P", {"base64": "iVA="}, 0),
        (503, b'{"code": 503}', {"code": 503}, 1),
    ],
)
def test_the_whole_answer_is_printed_as_json_with_its_status(
    folder: Path, status: int, body: bytes, shown: object, exit_code: int
) -> None:
    server: FakeServer
    with fake_server(folder / "s") as server:
        server.answers["POST /predictions/m"] = (status, body)
        argv = ["predict", "m", "-d", "x", "--json", "--inference", server.address]
        result = CliRunner().invoke(main, argv)
    assert result.exit_code == exit_code
    assert json.loads(result.output) == {"status": status, "contentType": None, "body": shown}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}\n'),
        (b"hello", "hello\n"),
        (b"red \x1b[31m", "red \N{REPLACEMENT CHARACTER}[31m\n"),
        (b"\x89PNG", "4 bytes (image/png); send them to a file: mms predict ... > FILE\n"),
    ],
)
def test_a_terminal_shows_an_answer_for_people(body: bytes, shown: str) -> None:
    answer = Answer(200, {"content-type": "image/png"}, body)
    assert _for_terminal(answer).decode() == shown


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_is_given_what_completes_the_command(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0, result.output
    assert "_MMS_COMPLETE" in result.output
    completed = CliRunner().invoke(
        main,
        prog_name="mms",
        env={
            "_MMS_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "mms se",
            "COMP_CWORD": "1" if shell == "zsh" else "se",
        },
    )
    assert "serve" in completed.output
