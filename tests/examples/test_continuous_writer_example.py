"""The example of a language model that writes many texts at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from example_server import ROOT, ExampleServer, pack, serving

_EXAMPLE = ROOT / "examples/continuous_writer"
_JSON = "application/json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    folder = tmp_path_factory.mktemp("writer")
    example = shutil.copytree(
        _EXAMPLE, folder / "example", ignore=shutil.ignore_patterns("*.npz", "__pycache__")
    )
    subprocess.run([sys.executable, "train.py", "--steps", "300"], cwd=example, check=True)
    pack("writer", example, folder / "store", "--handler", "writer_handler")
    with serving(folder / "store", "--models", "writer=writer.mar") as started:
        yield started


def test_texts_that_are_written_at_once_each_have_their_own_length(server: ExampleServer) -> None:
    counts = [1 + 17 * number for number in range(20)]
    bodies = [f'{{"prompt": "the river", "characters": {count}}}'.encode() for count in counts]
    with ThreadPoolExecutor(len(bodies)) as pool:
        replies = list(pool.map(lambda body: server.predict("writer", body, _JSON), bodies))
    assert [len(reply.body) for reply in replies] == counts
    assert replies[0].headers["transfer-encoding"] == "chunked"
    # All of them are of the tale's alphabet, and most of its commonest letters.
    longest = replies[-1].body.decode()
    assert set(longest) <= set((_EXAMPLE / "tale.txt").read_text(encoding="utf-8"))
    assert longest.count("e") > longest.count("k")


def test_a_wrong_order_is_told_what_would_be_right(server: ExampleServer) -> None:
    reply = server.predict("writer", b'{"prompt": "x", "characters": 0}', _JSON)
    assert reply.status == 400
    assert b"1 to 5000" in reply.body


def test_a_client_of_openais_api_gets_as_many_characters_as_it_asks_for(
    server: ExampleServer,
) -> None:
    asked = {"model": "writer", "max_tokens": 12, "messages": [{"role": "user", "content": "A"}]}
    told = server.post_json("/v1/chat/completions", asked)
    assert len(told["choices"][0]["message"]["content"]) == 12
