"""Live samples of requests, black box."""

from __future__ import annotations

import json

import pytest
from support.server import Server

pytestmark = pytest.mark.better_than_mms


def test_the_next_requests_of_a_model_are_shown_without_what_is_secret(main_server: Server) -> None:
    server = main_server
    with server.management.wire() as wire:
        wire.send(
            b"GET /models/noop/samples?count=2&seconds=30 HTTP/1.0\r\nHost: localhost\r\n\r\n"
        )
        # The head is there once requests are looked at.
        assert wire.read_reply(is_head=True).status == 200
        for body in ('{"password": "s3cret", "a": [1]}', "plain"):
            reply = server.inference.post(
                "/predictions/noop?token=s3cret", body, headers={"Authorization": "Bearer s3cret"}
            )
            assert reply.text == "OK"
        samples = [json.loads(line) for line in wire.read_to_end().splitlines() if line.strip()]
    assert "s3cret" not in json.dumps(samples)
    assert samples[0]["request"]["body"]["json"] == {"password": "***", "a": [1]}
    assert samples[1]["request"]["body"]["text"] == "plain"
    assert [found["answer"]["body"]["text"] for found in samples] == ["OK", "OK"]
    assert samples[0]["modelName"] == "noop"


@pytest.mark.parametrize(
    ("path", "status"),
    [("none/samples", 404), ("noop/samples?count=101", 400), ("noop/samples?seconds=0", 400)],
)
def test_what_cannot_be_shown_is_refused(main_server: Server, path: str, status: int) -> None:
    assert main_server.management.get(f"/models/{path}").status == status
