"""ModelInferRequest and ModelInferResponse are read and written as protobuf's own library does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mms.interfaces.oip.front.messages import CLASSES
from mms.interfaces.oip.worker.codec_grpc import AnswerForm, GrpcCodec
from mms.interfaces.oip.worker.typed_contents import FIELDS
from mms.tensors.binary import write_binary
from mms.tensors.datatypes import DATATYPES
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferRequest, InferResponse, Tensor
from mms.wire import Item, Load

Request, Response = CLASSES["ModelInferRequest"], CLASSES["ModelInferResponse"]
CODEC = GrpcCodec(Load("m", "2", "/", "service:handle"))
FIELD_NAMES = {
    field.number: field.name for field in CLASSES["InferTensorContents"].DESCRIPTOR.fields
}


def decode(message: Any) -> tuple[InferRequest, AnswerForm]:
    data = message if isinstance(message, bytes) else message.SerializeToString()
    item: Item = (b"id", 0, b"", b"", b"", 0, bytearray(data), None)
    return CODEC.decode(item)


def encode(request: InferRequest, is_raw: bool, *outputs: Tensor, **parameters: Any) -> Any:
    answer = InferResponse(list(outputs), parameters)
    index, flags, status, _, _, body = CODEC.encode(request, AnswerForm(is_raw), answer, 3)
    assert (index, flags, status) == (3, 0, 200)
    return Response.FromString(bytes(body))


def refusal(message: Any) -> str:
    with pytest.raises(InferError) as caught:
        decode(message)
    assert caught.value.status == 400
    return caught.value.message


ARRAYS = st.sampled_from(sorted(set(DATATYPES) - {"BYTES", "BF16"})).flatmap(
    lambda name: st.tuples(
        st.just(name),
        hnp.arrays(DATATYPES[name].numpy, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)),
    )
)
TEXTS = hnp.array_shapes(max_dims=2, min_side=0, max_side=4).flatmap(
    lambda shape: st.lists(
        st.binary(max_size=20), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))
    ).map(lambda values: ("BYTES", _objects(values).reshape(shape)))
)


def _objects(values: list[bytes]) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def same(left: Any, right: Any) -> bool:
    if left.dtype == object:
        return left.shape == right.shape and left.ravel().tolist() == right.ravel().tolist()
    return left.shape == right.shape and left.tobytes() == right.tobytes()


@given(st.lists(st.one_of(ARRAYS, TEXTS), max_size=3), st.booleans())
def test_tensors_survive_both_ways_in_both_forms(
    tensors: list[tuple[str, Any]], is_raw: bool
) -> None:
    message = Request(model_name="m", id="7")
    for place, (datatype, array) in enumerate(tensors):
        if not is_raw and datatype not in FIELDS:
            return
        each = message.inputs.add(name=f"x{place}", datatype=datatype, shape=array.shape)
        if is_raw:
            message.raw_input_contents.append(bytes(write_binary(array, datatype, "x")))
        else:
            getattr(each.contents, FIELD_NAMES[FIELDS[datatype]]).extend(array.ravel().tolist())
    request, answers_raw = decode(message)
    assert answers_raw.is_raw == (is_raw or not tensors)
    assert request.id == "7"
    for place, (datatype, array) in enumerate(tensors):
        tensor = request.inputs[f"x{place}"]
        assert tensor.datatype == datatype
        assert same(tensor.array, array)
        assert array.dtype == object or tensor.array.flags.writeable
    answer = encode(request, is_raw, *request.inputs.values())
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "2", "7")
    assert list(answer.raw_output_contents) == list(message.raw_input_contents)
    for given_one, output in zip(message.inputs, answer.outputs, strict=True):
        assert output.SerializeToString(deterministic=True) == (
            CLASSES["ModelInferResponse"]
            .InferOutputTensor.FromString(given_one.SerializeToString())
            .SerializeToString(deterministic=True)
        )


def test_parameters_of_all_kinds_survive_at_every_place() -> None:
    message = Request(model_version="3")
    for place in (
        message.parameters,
        message.inputs.add(name="x", datatype="INT8", shape=[0]).parameters,
        message.outputs.add(name="y").parameters,
    ):
        place["b"].bool_param = False
        place["i"].int64_param = -5
        place["u"].uint64_param = 2**64 - 1
        place["s"].string_param = "ü"
        place["d"].double_param = 0.25
    wanted = {"b": False, "i": -5, "u": 2**64 - 1, "s": "ü", "d": 0.25}
    request, _ = decode(message)
    assert request.model_version == "3"
    assert request.outputs is not None
    for found in (
        request.parameters,
        request.inputs["x"].parameters,
        request.outputs[0].parameters,
    ):
        assert found == wanted
        assert {type(value) for value in found.values()} == {bool, int, str, float}
    output = Tensor("y", "INT8", (1,), np.array([1], np.int8), wanted)
    answer = encode(request, True, output, **wanted)
    for place in (answer.parameters, answer.outputs[0].parameters):
        assert {
            name: getattr(p, p.WhichOneof("parameter_choice")) for name, p in place.items()
        } == wanted


def test_unpacked_numbers_are_read_too() -> None:
    # Tags and numbers of int64_contents [1, -1], each a field of its own, and a packed shape in two parts.
    contents = b"\x18\x01\x18" + b"\xff" * 9 + b"\x01"
    tensor = b"\x0a\x01x\x12\x05INT64\x18\x01\x1a\x01\x02\x2a" + bytes((len(contents),)) + contents
    request, is_raw = decode(b"\x2a" + bytes((len(tensor),)) + tensor)
    assert request.inputs["x"].array.tolist() == [[1, -1]]
    assert not is_raw.is_raw


def test_an_output_that_only_travels_raw_takes_the_others_with_it() -> None:
    request, _ = decode(Request())
    half = Tensor("h", "FP16", (1,), np.array([1.5], np.float16))
    whole = Tensor("w", "INT32", (1,), np.array([3], np.int32))
    answer = encode(request, False, half, whole)
    assert list(answer.raw_output_contents) == [b"\x00\x3e", b"\x03\x00\x00\x00"]


def test_a_raw_tensor_that_is_aligned_is_the_memory_of_the_message() -> None:
    message = Request()
    message.inputs.add(name="x", datatype="UINT8", shape=[1000])
    message.raw_input_contents.append(bytes(1000))
    data = bytearray(message.SerializeToString())
    request, _ = CODEC.decode((b"", 0, b"", b"", b"", 0, data, None))
    request.inputs["x"].array[:] = 7
    assert data.count(7) >= 1000


def wrong(**changes: Any) -> Any:
    message = Request()
    tensor = message.inputs.add(name="x", datatype="INT8", shape=[2])
    for name, value in changes.items():
        if name == "raw":
            message.raw_input_contents.extend(value)
        elif name == "again":
            message.inputs.add().CopyFrom(tensor)
        elif name == "shape":
            tensor.ClearField("shape")
            tensor.shape.extend(value)
        elif name == "datatype":
            tensor.datatype = value
        elif name == "outputs":
            for each in value:
                message.outputs.add(name=each)
        elif name == "shared":
            tensor.parameters["shared_memory_region"].string_param = value
        elif name == "of_output":
            message.outputs.add(name="y").parameters[value].int64_param = 2
        elif name == "empty_parameter":
            tensor.parameters[value].SetInParent()
        else:
            getattr(tensor.contents, name).extend(value)
    return message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"raw": [b"abc"]}, "Input 'x'"),
        ({"raw": [b"ab", b"ab"]}, "1 inputs and 2 raw_input_contents"),
        ({"raw": [b"ab"], "int_contents": [1, 2]}, "beside raw_input_contents"),
        ({"int_contents": [1]}, "1 elements in int_contents; its shape [2] needs 2"),
        ({"int_contents": [1, 128]}, "128 as element 1, which INT8 cannot hold"),
        ({"int_contents": [-129, 1]}, "-129 as element 0"),
        ({"int64_contents": [1, 2]}, "has int64_contents; INT8 is in int_contents"),
        ({"datatype": "INT9", "raw": [b"ab"]}, "INT9"),
        ({"datatype": "FP16", "fp32_contents": [1, 2]}, "FP16, which only raw_input_contents"),
        ({"datatype": "UINT8", "uint_contents": [256, 1]}, "256 as element 0"),
        ({"datatype": "BYTES", "raw": [b"\x05\0\0\0a"]}, "Input 'x'"),
        ({"shape": [-1], "raw": [b"ab"]}, "[-1]"),
        ({"shape": [2**62, 2**62], "raw": [b"ab"]}, "Input 'x'"),
        ({"shape": [2**62, 0, 2**62], "raw": [b""]}, "Input 'x'"),
        ({"shape": [1] * 100, "raw": [b"a"]}, "100 dimensions"),
        ({"shape": [2**63 - 1]}, "its shape [9223372036854775807] needs"),
        ({"raw": [b"ab", b"ab"], "again": 1}, "comes twice"),
        ({"raw": [b"ab"], "outputs": ["y", "y"]}, "asked for twice"),
        ({"raw": [b"ab"], "shared": "r"}, "region 'r', which is not registered"),
        (
            {"raw": [b"ab"], "of_output": "classification"},
            "Output 'y' has the parameter classification, which is not supported",
        ),
        (
            {"raw": [b"ab"], "of_output": "shared_memory_region"},
            "Output 'y' is in the shared memory region 2, which is not registered",
        ),
        ({"raw": [b"ab"], "empty_parameter": "p"}, "'p' without a value"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(wrong(**changes))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except InferError as error:
        assert error.status == 400


@given(st.data())
def test_a_request_that_is_changed_somewhere_is_a_request_or_refused(data: st.DataObject) -> None:
    message = bytearray(
        wrong(raw=[b"ab"], outputs=["y"]).SerializeToString()
        + wrong(int_contents=[1, 300]).SerializeToString()
    )
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(message)))
    try:
        decode(bytes(message[:end]))
    except InferError as error:
        assert error.status == 400


def test_a_number_that_never_ends_takes_no_time() -> None:
    assert "breaks off" in refusal(b"\xff" * 1_000_000)
