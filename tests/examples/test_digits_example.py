from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_server import ExampleServer, pack, run, serving


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the held-out images; the packed model is beside it, in `store`."""
    folder = tmp_path_factory.mktemp("digits")
    run(
        *("python", "examples/digits/train.py", "--model-dir", str(folder / "model")),
        *("--images-dir", str(folder / "images")),
    )
    pack("digits", folder / "model", folder / "store", "--handler", "digits_handler")
    return folder / "images"


@pytest.fixture(scope="module")
def server(images: Path) -> Iterator[ExampleServer]:
    with serving(images.parent / "store", "--models", "digits=digits.mar") as started:
        yield started


def test_the_held_out_digits_are_named(server: ExampleServer, images: Path) -> None:
    files = sorted(images.glob("*.json"))
    right = 0
    for file in files:
        reply = server.predict("digits", file.read_bytes(), "application/json")
        assert reply.status == 200, reply
        assert reply.headers["content-type"] == "application/json"
        right += reply.json()["digit"] == int(file.stem.rpartition("-")[2])
    assert len(files) == 12
    assert right >= 11


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"image": [1, 2, 3]}, '"image" has 3 numbers, expected 8 rows of 8'),
        ({"image": [[0] * 8] * 7 + [[0] * 7 + [17]]}, "between 0 and 16"),
        ({"image": [["ink"] * 8] * 8}, '"image" has to be 8 rows of 8 numbers'),
        ([1, 2], 'a JSON object with the member "image"'),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(
    server: ExampleServer, body: object, message: str
) -> None:
    reply = server.predict("digits", json.dumps(body).encode(), "application/json")
    assert reply.status == 400
    assert message in reply.json()["message"]


def test_json_without_its_content_type_is_understood(server: ExampleServer, images: Path) -> None:
    file = min(images.glob("*.json"))
    reply = server.predict("digits", file.read_bytes(), "application/octet-stream")
    assert reply.status == 200, reply
