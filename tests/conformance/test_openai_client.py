"""The official client of OpenAI's API drives a server. OPENAI_PYTHON names a Python that has it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.server import Server, manifest, unique_name
from support.waiting import eventually

pytestmark = [
    pytest.mark.better_than_mms,
    pytest.mark.skipif(
        "OPENAI_PYTHON" not in os.environ, reason="OPENAI_PYTHON names no Python with openai"
    ),
]

_HANDLER = """
import time


def handle(data, context):
    return [answer(item["body"]) for item in data or ()]


def answer(asked):
    said = asked["prompt"] if "prompt" in asked else asked["messages"][-1]["content"]
    if said == "fail":
        raise ValueError("asked to")
    if said == "tools":
        for number in (1, 2):
            function = {"name": f"tool_{number}", "arguments": "{}"}
            yield {"delta": {"tool_calls": [{"id": str(number), "type": "function", "function": function}]}}
        return
    if said.startswith("endless "):
        try:
            while True:
                yield "on and on "
                time.sleep(0.01)
        finally:
            with open(said.partition(" ")[2], "a") as file:
                file.write("closed\\n")
    words = said.split()
    for word in words:
        yield word + " "
    count = len(words)
    yield {"usage": {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count}}
"""
_CALLS = """
import asyncio, json, sys
import openai
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0)
model = sys.argv[2]
said = [{"role": "user", "content": "one two"}]
told = {}
whole = client.chat.completions.create(model=model, messages=said)
told["chat"] = [whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.total_tokens]
parts = client.chat.completions.create(
    model=model, messages=said, stream=True, stream_options={"include_usage": True}
)
found = list(parts)
told["deltas"] = [each.choices[0].delta.content for each in found if each.choices and each.choices[0].delta.content]
told["usage"] = found[-1].usage.total_tokens
told["text"] = client.completions.create(model=model, prompt="one two").choices[0].text
told["texts"] = [
    each.choices[0].text
    for each in client.completions.create(model=model, prompt="one two", stream=True)
    if each.choices[0].text
]
told["listed"] = model in [each.id for each in client.models.list()]
told["retrieved"] = client.models.retrieve(model).id == model
failing = [{"role": "user", "content": "fail"}]
calls = {
    "absent": lambda: client.chat.completions.create(model=model + "x", messages=failing),
    "failed": lambda: client.chat.completions.create(model=model, messages=failing),
    "unknown": lambda: client.models.retrieve(model + "x"),
}
for name, call in calls.items():
    try:
        call()
    except openai.APIStatusError as error:
        told[name] = [type(error).__name__, error.status_code, error.code]
tools = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "tools"}])
told["tools"] = [[each.id, each.function.name] for each in tools.choices[0].message.tool_calls]
with client.chat.completions.stream(model=model, messages=[{"role": "user", "content": "tools"}]) as stream:
    for event in stream:
        pass
    told["streamed tools"] = [
        each.function.arguments for each in stream.get_final_completion().choices[0].message.tool_calls
    ]


async def cancelled():
    # A deadline of the client's own, and a task that is cancelled while it reads.
    other = openai.AsyncOpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0)
    endless = [{"role": "user", "content": "endless " + sys.argv[3]}]
    try:
        await other.with_options(timeout=0.3).chat.completions.create(model=model, messages=endless)
    except openai.APITimeoutError as error:
        told["timeout"] = type(error).__name__
    begun = asyncio.Event()

    async def read():
        async for chunk in await other.chat.completions.create(model=model, messages=endless, stream=True):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await other.close()


asyncio.run(cancelled())
print(json.dumps(told))
"""


def test_the_official_client_gets_texts_streams_models_and_errors(
    server: Server, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.touch()
    name = unique_name("chat")
    server.write_model(name, _HANDLER, manifest(name))
    assert server.register(name, openai="true", initial_workers=1, synchronous="true").status == 200
    ran = subprocess.run(
        [
            os.environ["OPENAI_PYTHON"],
            "-c",
            _CALLS,
            f"http://127.0.0.1:{server.inference.address.port}",
            name,
            str(closed),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "chat": ["one two ", "stop", 4],
        "deltas": ["one ", "two "],
        "usage": 4,
        "text": "one two ",
        "texts": ["one ", "two "],
        "listed": True,
        "retrieved": True,
        "absent": ["NotFoundError", 404, "model_not_found"],
        "failed": ["InternalServerError", 503, None],
        "unknown": ["NotFoundError", 404, "model_not_found"],
        "tools": [["1", "tool_1"], ["2", "tool_2"]],
        "streamed tools": ["{}", "{}"],
        "timeout": "APITimeoutError",
    }
    # That of the client's own deadline, and the cancelled one.
    eventually("both generators are closed", lambda: closed.read_text().count("closed") == 2)
    server.unregister(name)
