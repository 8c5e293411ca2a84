"""What the front reads of a ModelInferRequest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms.core.priority_queue import HIGH, LOW, NORMAL
from mms.errors import BadRequest
from mms.interfaces.oip.front.messages import CLASSES
from mms.interfaces.oip.front.requests.infer_head import InferHead, InferHeads, read_infer_head

Request = CLASSES["ModelInferRequest"]


def body(**members: object) -> bytes:
    return bytes(Request(**members).SerializeToString())


def test_model_version_and_id_are_found_wherever_they_stand() -> None:
    tensors = body(raw_input_contents=[bytes(100)], inputs=[{"name": "x"}])
    for message in (
        body(model_name="m", model_version="1", id="7") + tensors,
        tensors + body(model_name="m", model_version="1", id="7"),
    ):
        head = read_infer_head(message)
        assert (head.name, head.version, head.id) == ("m", "1", "7")


@pytest.mark.parametrize(("given_one", "priority"), [(0, NORMAL), (1, HIGH), (2, NORMAL), (9, LOW)])
def test_timeout_and_priority_are_read_of_the_parameters(given_one: int, priority: int) -> None:
    message = Request(model_name="m")
    message.parameters["timeout"].int64_param = 1_500_000
    message.parameters["priority"].uint64_param = given_one
    message.parameters["other"].string_param = "x"
    head = read_infer_head(message.SerializeToString())
    assert head.options.timeout_s == pytest.approx(1.5)
    assert head.options.priority == priority


@pytest.mark.parametrize("kind", ["string_param", "double_param"])
def test_a_timeout_that_is_no_whole_number_is_refused(kind: str) -> None:
    message = Request(model_name="m")
    setattr(message.parameters["timeout"], kind, "1" if kind == "string_param" else 1.5)
    with pytest.raises(BadRequest, match="timeout"):
        read_infer_head(message.SerializeToString())


def test_a_request_without_a_model_or_with_no_end_of_fields_is_refused() -> None:
    with pytest.raises(BadRequest, match="no model_name"):
        read_infer_head(b"")
    with pytest.raises(BadRequest, match="too many fields"):
        read_infer_head(body(model_name="m") + b"\x3a\x00" * 5000)
    with pytest.raises(BadRequest, match="UTF-8"):
        read_infer_head(b"\x0a\x01\xff")


def test_heads_are_read_alike_whatever_came_before() -> None:
    usual = body(model_name="m", inputs=[{"name": "x"}], raw_input_contents=[bytes(300)])
    messages = [
        usual,
        body(model_name="m", inputs=[{"name": "x"}], raw_input_contents=[bytes(5), b""]),
        body(model_name="m", inputs=[{"name": "x"}]),
        body(model_name="m", model_version="2", raw_input_contents=[bytes(5)]),
        body(model_name="m", id="7", raw_input_contents=[bytes(5)]),
        body(model_name="m", raw_input_contents=[b""] * 100),
        body(model_name="m" * 3000, raw_input_contents=[b"x"]),
        *(body(model_name=f"m{number}", raw_input_contents=[b"x"]) for number in range(20)),
        usual + body(model_name="other"),
        usual + body(id="8"),
        usual[:-1],
        usual[:-301],
        usual[:-302],
        usual + b"\x3a",
        usual + b"\x3a\xff",
        usual + b"\x00",
    ]
    heads = InferHeads()
    for _ in range(3):
        for message in messages:
            assert outcome(heads.read, bytearray(message)) == outcome(read_infer_head, message)
    assert 0 < len(heads._known) <= 8


def outcome(read: Callable[[bytes | bytearray], InferHead], message: bytes | bytearray) -> object:
    try:
        return read(message)
    except BadRequest as error:
        return error.message


@given(st.binary(max_size=80))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        assert read_infer_head(data).name
    except BadRequest:
        return
