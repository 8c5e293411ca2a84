"""The official client of OpenAI's API drives a server. OPENAI_PYTHON names a Python that has it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from support.server import Server, manifest, unique_name

pytestmark = [
    pytest.mark.better_than_mms,
    pytest.mark.skipif(
        "OPENAI_PYTHON" not in os.environ, reason="OPENAI_PYTHON names no Python with openai"
    ),
]

_HANDLER = """
def handle(data, context):
    return [answer(item["body"]) for item in data or ()]


def answer(asked):
    said = asked["prompt"] if "prompt" in asked else asked["messages"][-1]["content"]
    if said == "fail":
        raise ValueError("asked to")
    words = said.split()
    for word in words:
        yield word + " "
    count = len(words)
    yield {"usage": {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count}}
"""
_CALLS = """
import json, sys
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
for name, asked in (("absent", model + "x"), ("failed", model)):
    try:
        client.chat.completions.create(model=asked, messages=[{"role": "user", "content": "fail"}])
    except openai.APIStatusError as error:
        told[name] = [type(error).__name__, error.status_code]
print(json.dumps(told))
"""


def test_the_official_client_gets_texts_streams_models_and_errors(server: Server) -> None:
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
        "absent": ["NotFoundError", 404],
        "failed": ["InternalServerError", 503],
    }
    server.unregister(name)
