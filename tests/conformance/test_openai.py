"""Clients of OpenAI's API: chats and completions by models that say `openai`, and what they are told of models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.client import Reply
from support.server import Server

pytestmark = pytest.mark.better_than_mms

_CHAT = "/v1/chat/completions"
_TEXT = "/v1/completions"
_MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def model(server: Server) -> str:
    return server.shared("stream", openai="true")


def ask(server: Server, path: str, document: Any, **headers: str) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return server.inference.post(path, body, headers=headers)


def chat(server: Server, model: str, **order: Any) -> Reply:
    return ask(server, _CHAT, {"model": model, "messages": _MESSAGES, **order})


def events(reply: Reply) -> list[Any]:
    """The documents of a stream that ends as it should."""
    assert (reply.status, reply.header("content-type")) == (200, "text/event-stream")
    told = reply.text.split("\n\n")
    assert told[-2:] == ["data: [DONE]", ""]
    return [json.loads(each.removeprefix("data: ")) for each in told[:-2]]


def test_a_chat_is_answered_with_one_message(server: Server, model: str) -> None:
    reply = chat(server, model, count=3)
    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    told = reply.json()
    assert told["id"] == f"chatcmpl-{reply.header('x-request-id')}"
    assert (told["object"], told["model"]) == ("chat.completion", model)
    assert told["choices"] == [
        {
            "index": 0,
            "logprobs": None,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "0,1,2,"},
        }
    ]


def test_a_chat_streams_a_delta_for_each_part_and_ends_with_done(
    server: Server, model: str
) -> None:
    told = events(chat(server, model, count=2, stream=True))
    assert {each["object"] for each in told} == {"chat.completion.chunk"}
    assert len({each["id"] for each in told}) == 1
    choices = [each["choices"][0] for each in told]
    assert [each["delta"] for each in choices] == [
        {"role": "assistant", "content": "0,"},
        {"content": "1,"},
        {},
    ]
    assert [each["finish_reason"] for each in choices] == [None, None, "stop"]


def test_a_completion_is_text_whole_and_in_parts(server: Server, model: str) -> None:
    order = {"model": model, "prompt": "Hello", "count": 2}
    whole = ask(server, _TEXT, order).json()
    assert whole["object"] == "text_completion"
    assert (whole["choices"][0]["text"], whole["choices"][0]["finish_reason"]) == ("0,1,", "stop")
    told = events(ask(server, _TEXT, {**order, "stream": True}))
    assert [each["choices"][0]["text"] for each in told] == ["0,", "1,", ""]


def test_deltas_reasons_and_usage_are_the_handlers(server: Server, model: str) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    values = ["a", {"delta": {"content": "b"}}, {"finish_reason": "length", "usage": usage}]
    whole = chat(server, model, values=values).json()
    assert whole["usage"] == usage
    assert whole["choices"][0]["message"]["content"] == "ab"
    assert whole["choices"][0]["finish_reason"] == "length"
    told = events(
        chat(server, model, values=values, stream=True, stream_options={"include_usage": True})
    )
    assert (told[-1]["choices"], told[-1]["usage"]) == ([], usage)
    reasons = [choice["finish_reason"] for each in told for choice in each["choices"]]
    assert reasons == [None, None, "length"]
    assert all(
        "usage" not in each for each in events(chat(server, model, values=values, stream=True))
    )


def _call(name: str, arguments: str, **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    return {"function": function, **more}


_WEATHER = _call("weather", "", id="1", type="function")
_TIME = _call("time", "{}", id="2", type="function")


@pytest.mark.parametrize(
    "parts",
    [
        [
            [{**_WEATHER, "index": 0}],
            [{**_call("", '{"at":'), "index": 0}],
            [{**_call("", '"here"}'), "index": 0}],
            [{**_TIME, "index": 1}],
        ],
        [[_WEATHER], [_call("", '{"at":')], [_call("", '"here"}')], [_TIME]],
        [[_call("weather", '{"at":"here"}', id="1", type="function"), _TIME]],
    ],
    ids=["in pieces", "in pieces without places", "whole"],
)
def test_calls_of_tools_come_whole_and_in_pieces_by_their_places(
    server: Server, model: str, parts: list[Any]
) -> None:
    values = [{"delta": {"tool_calls": calls}} for calls in parts]
    values.append({"finish_reason": "tool_calls"})
    [choice] = chat(server, model, values=values).json()["choices"]
    calls = [_call("weather", '{"at":"here"}', id="1", type="function"), _TIME]
    assert choice["message"] == {"role": "assistant", "content": None, "tool_calls": calls}
    assert choice["finish_reason"] == "tool_calls"
    told = events(chat(server, model, values=values, stream=True))
    found: dict[int, str] = {}
    for each in told:
        for piece in each["choices"][0]["delta"].get("tool_calls", ()):
            found[piece["index"]] = found.get(piece["index"], "") + piece["function"]["arguments"]
    assert found == {0: '{"at":"here"}', 1: "{}"}


def test_openais_libraries_are_told_of_models_in_their_own_form(server: Server, model: str) -> None:
    library = {"X-Stainless-Lang": "python"}
    for name in ("nobody", server.shared("stream")):
        reply = server.inference.get(f"/v1/models/{name}", headers=library)
        error = reply.json()["error"]
        assert (reply.status, error["code"]) == (404, "model_not_found")
        assert "openai=true" in error["message"]
    reply = server.inference.request("DELETE", f"/v1/models/{model}", headers=library)
    assert (reply.status, reply.json()["error"]["type"]) == (405, "invalid_request_error")
    assert server.inference.get(f"/v1/models/{model}", headers=library).json()["id"] == model
    # KServe's clients have theirs.
    assert server.inference.get("/v1/models/nobody").json() == {"error": "Model not found: nobody"}
    assert server.inference.get(f"/v1/models/{server.shared('stream')}").json()["ready"] is True


def test_a_failure_is_told_in_openais_form_before_and_within_a_stream(
    server: Server, model: str
) -> None:
    reply = chat(server, model, stream=True, **{"raise at once": "broken"})
    assert (reply.status, reply.json()["error"]["type"]) == (503, "server_error")
    reply = chat(server, model, count=1, stream=True, **{"raise": "broken"})
    assert reply.status == 200
    *_, last, rest = reply.text.split("\n\n")
    assert rest == ""
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "Prediction failed"
    assert chat(server, model, count=1, **{"raise": "broken"}).status == 503


@pytest.mark.parametrize(
    ("document", "status", "words"),
    [
        (b"{", 400, "no JSON"),
        (b"[" * 100_000, 400, "no JSON"),
        ([], 400, "JSON object"),
        ({"messages": _MESSAGES}, 400, "`model`"),
        ({"model": "?", "messages": []}, 400, "`messages`"),
        ({"model": "?", "messages": _MESSAGES, "stream": "yes"}, 400, "`stream`"),
        ({"model": "nobody", "messages": _MESSAGES}, 404, "openai=true"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(
    server: Server, model: str, document: Any, status: int, words: str
) -> None:
    reply = ask(server, _CHAT, document)
    error = reply.json()["error"]
    assert (reply.status, error["type"]) == (status, "invalid_request_error")
    assert words in error["message"]


def test_only_models_that_say_so_are_asked_and_listed_for_these_clients(
    server: Server, model: str
) -> None:
    other = server.shared("stream")
    reply = chat(server, other, count=1)
    assert (reply.status, reply.json()["error"]["code"]) == (404, "model_not_found")
    told = server.inference.get("/v1/models").json()
    names = [each["id"] for each in told["data"]]
    assert told["object"] == "list"
    assert model in names and other not in names
    assert {model, other} <= set(told["models"])
    one = server.inference.get(f"/v1/models/{model}").json()
    assert (one["id"], one["object"], one["ready"]) == (model, "model", True)


def test_a_deadline_ends_a_stream_as_one_that_came_to_its_length(
    server: Server, model: str
) -> None:
    order = {"model": model, "messages": _MESSAGES, "count": 1, "wait for": "/no/such/file"}
    limit = {"Request-Timeout": "0.4"}
    whole = ask(server, _CHAT, order, **limit).json()["choices"][0]
    assert (whole["message"]["content"], whole["finish_reason"]) == ("0,", "length")
    told = events(ask(server, _CHAT, {**order, "stream": True}, **limit))
    assert told[-1]["choices"][0]["finish_reason"] == "length"
