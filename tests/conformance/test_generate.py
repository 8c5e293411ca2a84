"""Triton's extension for generating: inputs and parameters as members of one object, and an event for each answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.client import Reply
from support.server import Server

pytestmark = pytest.mark.better_than_mms


def _ask(server: Server, verb: str, document: Any, name: str = "") -> Reply:
    name = name or server.shared("stream")
    return server.inference.post_json(f"/v2/models/{name}/{verb}", document)


def _events(reply: Reply) -> list[Any]:
    assert reply.header("content-type") == "text/event-stream"
    return [json.loads(event.removeprefix("data: ")) for event in reply.text.split("\n\n")[:-1]]


def test_each_part_of_a_stream_is_an_event_with_the_model_and_its_output(
    main_server: Server,
) -> None:
    name = main_server.shared("stream")
    events = _events(_ask(main_server, "generate_stream", {"count": 2, "id": "7"}))
    begin = {"model_name": name, "model_version": "1", "id": "7"}
    assert events == [{**begin, "text_output": "0,"}, {**begin, "text_output": "1,"}]


def test_an_answer_of_one_part_is_one_object_and_more_are_refused(main_server: Server) -> None:
    reply = _ask(main_server, "generate", {"count": 1})
    assert (reply.status, reply.json()["text_output"]) == (200, "0,")
    reply = _ask(main_server, "generate", {"count": 2})
    assert (reply.status, reply.json()) == (
        501,
        {"error": "The model has several answers to the request; generate_stream takes them."},
    )


def test_what_goes_wrong_is_said_in_the_protocols_form(main_server: Server) -> None:
    for verb in ("generate", "generate_stream"):
        reply = _ask(main_server, verb, [1])
        assert (reply.status, reply.json()) == (
            400,
            {"error": "The body is [1]; an object is right."},
        )
        assert _ask(main_server, verb, {}, "nobody").status == 404
    last = _events(_ask(main_server, "generate_stream", {"count": 1, "raise": "broken"}))[-1]
    assert last.keys() == {"error"}


def test_a_whole_answer_is_one_event(main_server: Server) -> None:
    (event,) = _events(_ask(main_server, "generate_stream", {"send": 0}))
    assert event["text_output"] == "end"
