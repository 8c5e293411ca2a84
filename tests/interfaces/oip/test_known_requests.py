"""A request that says the same as one before is read as if it were the first of its kind: well, or refused alike."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mms.interfaces.oip.front.messages import CLASSES
from mms.interfaces.oip.worker.codec_grpc import GrpcCodec
from mms.interfaces.oip.worker.codec_json import JsonCodec
from mms.tensors.errors import InferError
from mms.tensors.known_requests import MOST_KNOWN
from mms.wire import Item, Load
from tests.interfaces.oip.codec_calls import codec, item, length_header

FLOATS = np.arange(4, dtype="<f4").tobytes()


def text(
    data: str = "[1,2,3,4]", shape: str = "[4]", more: str = "", datatype: str = "FP32"
) -> Item:
    return item(
        f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}}}]{more}}}'.encode()
    )


def binary(
    contents: bytes, document: str = "", headers: bytes = b"", *, length: int | None = None
) -> Item:
    head = document or (
        '{"inputs":[{"name":"x","datatype":"FP32","shape":[4],"parameters":{"binary_data_size":16}}]}'
    )
    block = length_header(len(head) if length is None else length) + headers
    return item(head.encode() + contents, block)


def message(contents: list[bytes], shape: list[int] | None = None, **more: Any) -> Item:
    request = CLASSES["ModelInferRequest"](model_name="m", raw_input_contents=contents, **more)
    request.inputs.add(name="x", datatype="FP32", shape=shape or [4])
    return grpc_item(request.SerializeToString())


def grpc_item(data: bytes) -> Item:
    return (b"id", 0, b"", b"", b"", 0, bytearray(data), None)


def outcome(used: JsonCodec | GrpcCodec, asked: Item) -> Any:
    """Return all that a request says, or why it is refused."""
    try:
        request, form = used.decode(asked)
    except InferError as error:
        return error.status, error.message
    tensors = [
        (*tensor[:2], tuple(tensor.shape), tensor.array.dtype, tensor.array.tolist())
        for tensor in request.inputs.values()
    ]
    assert all(tensor.array.flags.writeable for tensor in request.inputs.values())
    return tensors, request[:3], request.outputs, form


TEXTS = [
    text("[1.5,2,3,4]"),
    text("[-0.0,1e-300,3,4e38]"),
    text("[1,2,3]"),
    text("[1,2,3,4,5]"),
    text("[]"),
    text("[1,true,3,4]"),
    text('[1,"2",3,4]'),
    text('["]",2,3,4]'),
    text("[1,null,3,4]"),
    text("[1,2,3,4e39]"),
    text("[[1,2],[3,4]]"),
    text("[1,2,3,]"),
    text("[1,2,3,4],5]"),
    text('[1,2,3,4],"parameters":{"a":[1]}'),
    text("[1,2,3,4]]"),
    text("4"),
    text('"]"'),
    text("[1 , 2, 3, 4 ]"),
    text(datatype="INT8"),
    text("[1,2,3,400]", datatype="INT8"),
    text(shape="[2,2]"),
    text(more=',"id":"7"'),
    text(more=',"outputs":[{"name":"y"}]'),
    text(more=',"parameters":{"a":1}'),
    item(b'{"data":[1],"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[2]}]}'),
    item(b'{"data":[1,2],"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[3]}]}'),
    item(b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1],"data":[2]}]}'),
    item(b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[],"data":["\\"data\\":[1]"]}]}'),
    item(b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[],"data":["\\"data\\":[2]"]}]}'),
]
BINARIES = [
    binary(FLOATS[::-1]),
    binary(FLOATS[1:]),
    binary(FLOATS + b"x"),
    binary(FLOATS, headers=b"\nAccept-Encoding\ngzip"),
    binary(FLOATS, length=3),
    binary(FLOATS, length=10_000),
    binary(b"", '{"inputs":[{"name":"x","datatype":"FP32","shape":[4],"data":[1,2,3,4]}]}'),
    binary(b"", '{"inputs":[{"name":"x","datatype":"FP32","shape":[0],"data":[]}]}'),
    binary(
        FLOATS,
        '{"inputs":[{"name":"x","datatype":"FP32","shape":[4],"parameters":{"binary_data_size":16}}],'
        '"parameters":{"binary_data_output":true}}',
    ),
    binary(
        FLOATS,
        '{"inputs":[{"name":"x","datatype":"FP32","shape":[4],"parameters":{"binary_data_size":16,"a":1}}]}',
    ),
    binary(
        FLOATS,
        '{"inputs":[{"name":"x","datatype":"BOOL","shape":[16],"parameters":{"binary_data_size":16}}]}',
    ),
    binary(
        b"\1" * 16,
        '{"inputs":[{"name":"x","datatype":"BOOL","shape":[16],"parameters":{"binary_data_size":16}}]}',
    ),
]
MESSAGES = [
    message([FLOATS[::-1]]),
    message([FLOATS[1:]]),
    message([FLOATS, FLOATS]),
    message([]),
    message([FLOATS], shape=[2, 2]),
    message([FLOATS], id="7"),
    message([FLOATS], parameters={"a": {"int64_param": 1}}),
    message([FLOATS], outputs=[{"name": "y"}]),
    message([FLOATS], outputs=[{"name": "y"}, {"name": "y"}]),
    grpc_item(message([FLOATS])[6] + b"\x1a\x017"),
    grpc_item(message([FLOATS])[6][:-1]),
    grpc_item(message([FLOATS])[6][:-17]),
    grpc_item(message([FLOATS])[6][:-17] + b"\xff"),
    grpc_item(message([FLOATS])[6][:-17] + b"\xff" * 12),
    grpc_item(message([FLOATS])[6][:-18]),
]


@pytest.mark.parametrize(
    ("make", "requests"),
    [
        (codec, TEXTS),
        (codec, BINARIES),
        (codec, [*TEXTS, *BINARIES]),
        (lambda: GrpcCodec(Load("m", None, "/", "a:b")), MESSAGES),
    ],
    ids=["text", "binary", "both", "grpc"],
)
def test_requests_are_read_alike_whatever_came_before(
    make: Callable[[], JsonCodec | GrpcCodec], requests: list[Item]
) -> None:
    usual = [text(), binary(FLOATS)] if make is codec else [message([FLOATS])]
    alone = [outcome(make(), asked) for asked in [*requests, *usual]]
    used = make()
    places = list(range(len(alone))) * 6
    random.Random(5).shuffle(places)
    for place in places:
        asked = [*requests, *usual][place]
        assert outcome(used, asked) == alone[place], bytes(asked[6])


def test_arrays_of_like_requests_are_their_own() -> None:
    makes: list[tuple[Any, Callable[[], Item]]] = [
        (codec(), text),
        (codec(), lambda: binary(FLOATS)),
        (GrpcCodec(Load("m", None, "/", "a:b")), lambda: message([FLOATS])),
    ]
    for used, asked in makes:
        first, second = (used.decode(asked())[0] for _ in range(2))
        first.inputs["x"].array[0] = 9
        assert second.inputs["x"].array[0] != 9
        assert first.outputs is None or first.outputs is not second.outputs


@pytest.mark.parametrize("blanks", range(8))
def test_large_contents_are_moved_to_where_arrays_begin_and_not_copied(blanks: int) -> None:
    first, second = np.arange(20_001, dtype="<f8"), np.arange(9_000, dtype="<i2")
    inputs = [
        {"name": name, "datatype": datatype, "shape": [array.size]}
        | {"parameters": {"binary_data_size": array.nbytes}}
        for name, datatype, array in (("a", "FP64", first), ("b", "INT16", second))
    ]
    document = json.dumps({"inputs": inputs}) + " " * blanks
    used = codec()
    for _ in range(2):
        asked = binary(first.tobytes() + second.tobytes(), document)
        found = used.decode(asked)[0].inputs
        assert (found["a"].array == first).all() and (found["b"].array == second).all()
    body = np.frombuffer(asked[6], np.uint8)
    assert all(np.shares_memory(tensor.array, body) for tensor in found.values())


def test_few_requests_are_remembered() -> None:
    used = codec()
    for number in range(3 * MOST_KNOWN):
        document = {
            "inputs": [{"name": f"x{number}", "datatype": "INT8", "shape": [1], "data": [1]}]
        }
        used.decode(item(json.dumps(document).encode()))
        long = {"inputs": [{**document["inputs"][0], "name": "x" * 2000 + str(number)}]}
        used.decode(item(json.dumps(long).encode()))
    assert 0 < len(used._known_texts) <= MOST_KNOWN
    grpc = GrpcCodec(Load("m", None, "/", "a:b"))
    for number in range(40):
        grpc.decode(message([bytes(4 * number)], shape=[number]))
    assert 0 < len(grpc._known) <= 8
