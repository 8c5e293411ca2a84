from __future__ import annotations

from collections.abc import Iterator

import pytest
from example_server import ROOT, ExampleServer, pack, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    store = tmp_path_factory.mktemp("sentiment") / "store"
    pack(
        "sentiment",
        ROOT / "examples/model_handler",
        store,
        "--handler",
        "sentiment_handler:handle",
    )
    with serving(store) as started:
        yield started


@pytest.fixture(scope="module")
def single(server: ExampleServer) -> str:
    """The model as the README registers it; a lone request goes at once."""
    query = "url=sentiment.mar&initial_workers=1&batch_size=8&synchronous=true"
    reply = server.register(query)
    assert reply.status == 200, reply
    return "sentiment"


@pytest.fixture(scope="module")
def batched(server: ExampleServer) -> str:
    """The model with batches of exactly four: they go when they are full, or after a minute."""
    reply = server.register(
        "url=sentiment.mar&model_name=batched&initial_workers=1&synchronous=true"
        "&batch_size=4&max_batch_delay=60000&batch_policy=fixed"
    )
    assert reply.status == 200, reply
    return "batched"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("A charming film, and never boring.", {"sentiment": "positive", "score": 0.5}),
        ("What a TERRIBLE waste", {"sentiment": "negative", "score": -3.5}),
        ("It has an end.", {"sentiment": "neutral", "score": 0.0}),
    ],
)
def test_a_text_is_weighed(
    server: ExampleServer, single: str, text: str, answer: dict[str, object]
) -> None:
    reply = server.predict(single, text.encode(), "text/plain")
    assert (reply.status, reply.json()) == (200, answer)


def test_a_batch_answers_each_request_at_its_own_place(server: ExampleServer, batched: str) -> None:
    texts = ("good", "bad", "great great", "nothing")
    replies = server.predict_together(batched, [(text.encode(), "text/plain") for text in texts])
    assert [reply.json()["score"] for reply in replies] == [1.0, -1.0, 3.0, 0.0]


def test_a_request_that_cannot_be_read_fails_alone_in_its_batch(
    server: ExampleServer, batched: str
) -> None:
    replies = server.predict_together(
        batched,
        [
            (b"good", "text/plain"),
            (b"\xff\xfe", "application/octet-stream"),
            (b'{"a": 1}', "application/json"),
            (b"bad", "text/plain"),
        ],
    )
    assert [reply.status for reply in replies] == [200, 400, 400, 200]
    assert "no UTF-8 text" in replies[1].json()["message"]
    assert "has to be a text" in replies[2].json()["message"]


def test_the_times_of_its_steps_are_among_the_models_metrics(
    server: ExampleServer, single: str
) -> None:
    server.predict(single, b"good", "text/plain")
    server.wait_for_model_metric(r"PreprocessTime\.Milliseconds:[\d.]+\|#ModelName:sentiment,")
    server.wait_for_model_metric(r"InferenceTime\.Milliseconds:[\d.]+\|#ModelName:sentiment,")
