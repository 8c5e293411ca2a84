"""The example of a text that is streamed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from example_server import ROOT, ExampleServer, pack, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    store = tmp_path_factory.mktemp("story") / "store"
    pack("story", ROOT / "examples/story", store, "--handler", "story_handler")
    with serving(store, "--models", "story=story.mar") as started:
        yield started


def test_the_story_comes_word_by_word_and_is_the_same_each_time(server: ExampleServer) -> None:
    json = "application/json"
    body = b'{"prompt": "Once upon", "words": 12}'
    text = server.predict("story", body, json)
    assert (text.status, text.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert text.headers["transfer-encoding"] == "chunked"
    assert text.body.startswith(b" a time")
    events = server.predict("story", body, json, "text/event-stream")
    lines = events.body.decode().split("\n\n")[:-1]
    assert len(lines) == 12
    assert "".join(line.removeprefix("data: ") for line in lines).encode() == text.body


def test_a_wrong_order_is_told_what_would_be_right(server: ExampleServer) -> None:
    reply = server.predict("story", b'{"words": 0}', "application/json")
    assert reply.status == 400
    assert b"1 to 2000" in reply.body


def test_a_client_of_openais_api_gets_the_same_words(server: ExampleServer) -> None:
    asked = {"model": "story", "max_tokens": 12}
    text = server.post_json("/v1/completions", {**asked, "prompt": "Once upon"})
    messages = [{"role": "user", "content": "Once upon"}]
    told = server.post_json("/v1/chat/completions", {**asked, "messages": messages})
    message = told["choices"][0]["message"]
    assert message == {"role": "assistant", "content": text["choices"][0]["text"]}
    assert message["content"].startswith(" a time")
