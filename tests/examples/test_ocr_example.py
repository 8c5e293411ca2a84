from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import pytest
from example_server import ROOT, ExampleServer, pack, run, serving
from PIL import Image, ImageDraw, ImageFont

# Kept between runs: the networks come out of a package of 15 MB.
MODEL_DIR = ROOT / ".models" / "ocr"
BATCH_SIZE = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    run("python", "examples/ocr/lay_out_model.py", "--model-dir", str(MODEL_DIR))
    store = tmp_path_factory.mktemp("ocr") / "store"
    pack("ocr", MODEL_DIR, store, "--handler", "ocr_handler")
    with serving(store) as started:
        reply = started.register("url=ocr.mar&initial_workers=1&batch_size=8&synchronous=true")
        assert reply.status == 200, reply
        reply = started.register(
            "url=ocr.mar&model_name=batched&initial_workers=1&synchronous=true"
            f"&batch_size={BATCH_SIZE}&max_batch_delay=60000&batch_policy=fixed"
        )
        assert reply.status == 200, reply
        yield started


def picture(lines: Sequence[str], size: tuple[int, int] = (640, 200), format: str = "PNG") -> bytes:
    """An image file with black lines of text on white."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    # The font that comes with Pillow: the machine may have none.
    font = ImageFont.load_default(36)
    for number, line in enumerate(lines):
        draw.text((20, 20 + 60 * number), line, fill="black", font=font)
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def test_the_lines_of_an_image_are_read_from_top_to_bottom(server: ExampleServer) -> None:
    reply = server.predict("ocr", picture(["Multi Model Server", "Invoice 4711"]), "image/png")
    assert reply.status == 200, reply
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()
    assert answer["text"] == "Multi Model Server\nInvoice 4711"
    boxes = [line["box"] for line in answer["lines"]]
    assert all(
        left < 30 and top < bottom and left < right < 400 for left, top, right, bottom in boxes
    )
    assert boxes[0][3] <= boxes[1][1] + 5  # the second line is below the first
    assert all(line["confidence"] > 0.9 for line in answer["lines"])


def test_an_image_in_a_form_is_read(server: ExampleServer) -> None:
    file = picture(["Paper 2024"], (400, 100), "JPEG")
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n'
    body = head + b"Content-Type: image/jpeg\r\n\r\n" + file + b"\r\n--b--\r\n"
    reply = server.predict("ocr", body, "multipart/form-data; boundary=b")
    assert (reply.status, reply.json()["text"]) == (200, "Paper 2024")


def test_an_image_without_text_has_an_empty_answer(server: ExampleServer) -> None:
    reply = server.predict("ocr", picture([]), "image/png")
    assert (reply.status, reply.json()) == (200, {"text": "", "lines": []})


def test_the_images_of_a_batch_are_answered_each_for_itself(server: ExampleServer) -> None:
    replies = server.predict_together(
        "batched",
        [
            (picture(["The quick brown fox", "jumps over 13 dogs"]), "image/png"),
            (b"this is not an image", "image/png"),
            (picture(["Second picture"], (500, 120)), "image/png"),
        ],
    )
    assert [reply.status for reply in replies] == [200, 400, 200]
    assert replies[0].json()["text"] == "The quick brown fox\njumps over 13 dogs"
    assert "no image" in replies[1].json()["message"]
    assert replies[2].json()["text"] == "Second picture"
    # Three ids in one line: it was one call of the handler, and it read three lines of text.
    ids = r"[0-9a-f-]{36}(,[0-9a-f-]{36}){2},"
    server.wait_for_model_metric(rf"TextLines\.Count:3\|#ModelName:batched,.*requestID:{ids}")
