"""Requests in JSON and in binary form, and their answers."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mms.tensors.binary import write_binary
from mms.tensors.datatypes import BF16, DATATYPES
from mms.tensors.errors import InferError
from mms.tensors.tensor import InferResponse
from tests.interfaces.oip.codec_calls import (
    answered,
    binary_item,
    codec,
    decoded,
    item,
    json_item,
    length_header,
    read_answer,
    tensor,
)

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = [name for name, found in DATATYPES.items() if found.kind in "bui"]
FRACTIONS = ("FP16", "FP32", "FP64")


def finite(datatype: str) -> Any:
    width = 8 * DATATYPES[datatype].item_bytes
    return arrays.arrays(
        DATATYPES[datatype].numpy,
        SHAPES,
        elements=st.floats(width=width, allow_nan=False, allow_infinity=False),
    )


ARRAYS = st.one_of(
    *(st.tuples(st.just(name), arrays.arrays(DATATYPES[name].numpy, SHAPES)) for name in NUMBERS),
    *(st.tuples(st.just(name), finite(name)) for name in FRACTIONS),
    st.tuples(
        st.just("BYTES"),
        arrays.arrays(object, SHAPES, elements=st.text(max_size=4).map(str.encode)),
    ),
)


def input_of(name: str, datatype: str, array: Any, data: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": data}


def as_json(array: Any, *, is_flat: bool) -> Any:
    if array.dtype == object:
        texts = np.array([each.decode() for each in array.ravel()] or [], object)
        array = texts.reshape(array.shape)
    found = array.ravel().tolist() if is_flat else array.tolist()
    return found if isinstance(found, list) else [found]


@given(ARRAYS, st.booleans(), st.sampled_from([b"", b"true"]))
def test_tensors_in_json_come_back_bit_by_bit(case: Any, is_flat: bool, more: bytes) -> None:
    datatype, array = case
    asked = json_item(
        input_of("x", datatype, array, as_json(array, is_flat=is_flat)), id=more.decode()
    )
    request = decoded(asked)
    found = request.inputs["x"]
    assert found.array.dtype == np.dtype(DATATYPES[datatype].numpy)
    assert found.array.shape == array.shape
    assert found.array.flags.writeable
    assert found.array.tolist() == array.tolist()
    document, outputs, lines = answered(asked)
    assert lines == b"content-type: application/json\r\n"
    again = decoded(json_item(input_of("x", datatype, array, outputs["x"])))
    if array.dtype != object:
        assert again.inputs["x"].array.tobytes() == array.tobytes()
    assert document["outputs"][0]["shape"] == list(array.shape)
    assert document["outputs"][0]["datatype"] == datatype


@given(st.lists(ARRAYS, min_size=1, max_size=4), st.data(), st.integers(0, 8))
def test_binary_and_json_tensors_mix_in_one_request(cases: Any, data: Any, blanks: int) -> None:
    inputs, contents, wanted = [], [], []
    for place, (datatype, array) in enumerate(cases):
        members = input_of(f"x{place}", datatype, array, None)
        del members["data"]
        if data.draw(st.booleans()):
            content = bytes(write_binary(array, datatype, "x"))
            members["parameters"] = {"binary_data_size": len(content)}
            contents.append(content)
        else:
            members["data"] = as_json(array, is_flat=True)
        inputs.append(members)
        wanted.append(data.draw(st.booleans()))
    document = {
        "inputs": inputs,
        "outputs": [
            {"name": f"x{place}", "parameters": {"binary_data": is_binary}}
            for place, is_binary in enumerate(wanted)
        ],
    }
    asked = binary_item(document, *contents, blanks=blanks)
    told, outputs, _ = answered(asked)
    for place, (_, array) in enumerate(cases):
        output = told["outputs"][place]
        assert ("data" in output) is not wanted[place]
        if wanted[place]:
            assert outputs[f"x{place}"].tolist() == array.tolist()
        else:
            again = decoded(json_item(output)).inputs[f"x{place}"].array
            assert again.tolist() == array.tolist()


def test_all_outputs_are_binary_where_the_request_says_so_unless_one_says_otherwise() -> None:
    inputs = [input_of(name, "INT8", np.zeros(1), [1]) for name in ("a", "b")]
    document, _, lines = answered(json_item(*inputs, parameters={"binary_data_output": True}))
    assert all(each["parameters"] == {"binary_data_size": 1} for each in document["outputs"])
    assert b"content-type: application/octet-stream\r\n" in lines
    outputs = [{"name": "b"}, {"name": "a", "parameters": {"binary_data": False}}]
    document, _, _ = answered(
        json_item(*inputs, parameters={"binary_data_output": True}, outputs=outputs)
    )
    assert [each["name"] for each in document["outputs"]] == ["b", "a"]
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 1}
    assert document["outputs"][1]["data"] == [1]


def test_the_answer_has_id_and_version_where_there_are_some() -> None:
    asked = json_item(input_of("x", "INT8", np.zeros(1), [1]), id='a"b')
    document, _, _ = answered(asked, version="1.0")
    assert (document["id"], document["model_version"]) == ('a"b', "1.0")
    document, _, _ = answered(json_item(input_of("x", "INT8", np.zeros(1), [1])))
    assert "id" not in document and "model_version" not in document


def test_a_model_sees_parameters_without_those_that_say_how_tensors_travel() -> None:
    document = {
        "inputs": [
            {
                "name": "x",
                "shape": [1],
                "datatype": "INT8",
                "parameters": {"binary_data_size": 1, "unit": "m"},
            }
        ],
        "parameters": {"binary_data_output": True, "sequence_id": 7},
        "outputs": [{"name": "x", "parameters": {"binary_data": True, "top": 3}}],
    }
    request = decoded(binary_item(document, b"\x01"))
    assert request.parameters == {"sequence_id": 7}
    assert request.inputs["x"].parameters == {"unit": "m"}
    assert request.outputs is not None and request.outputs[0].parameters == {"top": 3}


def test_a_large_list_of_numbers_is_read_straight_into_its_array() -> None:
    array = np.random.default_rng(5).standard_normal(20_000)
    asked = json_item(
        input_of("x", "FP64", array, array.tolist()),
        input_of("y", "INT64", array, list(range(20_000))),
        id='"data":[1]',
    )
    request = decoded(asked)
    assert request.inputs["x"].array.tobytes() == array.tobytes()
    assert request.inputs["y"].array.tolist() == list(range(20_000))
    assert request.id == '"data":[1]'


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda text: text.replace(b"3,", b"3,,", 1), "no JSON"),
        (lambda text: text.replace(b"39999]", b"39999,]"), "no JSON"),
        (lambda text: text.replace(b"17,", b"NaN,", 1), "no JSON"),
        (lambda text: text.replace(b"17,", b"017,", 1), "no JSON"),
        (lambda text: text.replace(b"17,", b"", 1), "39999 elements of data"),
        (lambda text: text.replace(b"17,", b"17,17,", 1), "40001 elements of data"),
        (lambda text: text.replace(b"17,", b"1.5,", 1), "has 1.5; whole numbers are right"),
        (lambda text: text.replace(b"17,", b"3000000000,", 1), "out of the range of INT32"),
        (lambda text: text.replace(b"17,", b"true,", 1), "true or false"),
        (lambda text: text.replace(b"17,", b'"a",', 1), "has data that are texts"),
        (lambda text: text.replace(b"17,", b"[17],", 1), "unequal length"),
    ],
)
def test_what_is_wrong_in_a_large_list_is_told(broken: Any, message: str) -> None:
    text = json.dumps(
        {"inputs": [input_of("x", "INT32", np.zeros(40_000), list(range(40_000)))]},
        separators=(",", ":"),
    ).encode()
    with pytest.raises(InferError) as raised:
        decoded(item(broken(text)))
    assert message in raised.value.message
    assert raised.value.status == 400


def one(**more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [2], "datatype": "INT8", "data": [1, 2], **more}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "no object with inputs"),
        ({}, "has no inputs"),
        ({"inputs": {}}, "inputs are {}"),
        ({"inputs": [3]}, "inputs[0] is 3"),
        ({"inputs": [one(name=None)]}, "inputs[0] has the name None"),
        ({"inputs": [one(), one()]}, "Input 'x' is there twice"),
        ({"inputs": [one(datatype="INT7")]}, "Input 'x' has the datatype 'INT7'"),
        ({"inputs": [one(shape=2)]}, "Input 'x' has the shape 2"),
        ({"inputs": [one(shape=[-1])]}, "Input 'x' has the shape [-1]"),
        ({"inputs": [one(shape=[3])]}, "Input 'x' has 2 elements of data; the shape [3] needs 3"),
        ({"inputs": [one(data=[[1], [2]])]}, "nested as [2, 1]"),
        ({"inputs": [one(data=[1, [2]])]}, "unequal length"),
        ({"inputs": [one(data=[1, None])]}, "has data that are null"),
        ({"inputs": [one(data=[1, "2"])]}, "has data that are texts"),
        ({"inputs": [one(data=[1, True])]}, "true or false"),
        ({"inputs": [one(data=[1, {}])]}, "has data that are objects"),
        ({"inputs": [one(data="AQI=")]}, "has data that are texts; a list is right"),
        ({"inputs": [one(data=None)]}, "has data that are null"),
        ({"inputs": [one(data=[1, 128])]}, "has 128, which is out of the range of INT8"),
        ({"inputs": [one(data=[1, -129])]}, "has -129, which is out of the range of INT8"),
        ({"inputs": [one(data=[1, 1.5])]}, "has 1.5; whole numbers are right"),
        ({"inputs": [one(data=[1, 10**30])]}, "out of the range of INT8"),
        ({"inputs": [one(datatype="UINT64", data=[2**64 - 1, -1])]}, "has -1, which is out"),
        ({"inputs": [one(datatype="FP32", data=[1, 1e39])]}, "1e+39, which is out of the range"),
        ({"inputs": [one(datatype="FP16", data=[1, 65520])]}, "65520.0, which is out of the"),
        ({"inputs": [one(datatype="BOOL", data=[1, 2])]}, "other than true and false"),
        ({"inputs": [one(datatype="BYTES")]}, "is BYTES, and has data that are numbers"),
        ({"inputs": [{"name": "x", "shape": [], "datatype": "INT8"}]}, "has no data, nor"),
        ({"inputs": [one(parameters=[])]}, "has parameters []"),
        ({"inputs": [one(parameters={"a": None})]}, "the parameter 'a' with the value None"),
        ({"inputs": [one(parameters={"binary_data_size": 2})]}, "has no header Inference-"),
        ({"inputs": [one(parameters={"binary_data_size": -2})]}, "binary_data_size -2"),
        ({"inputs": [one(parameters={"shared_memory_region": "r"})]}, "not registered"),
        ({"inputs": [one()], "id": 5}, "id is 5"),
        ({"inputs": [one()], "outputs": "x"}, "outputs are 'x'"),
        ({"inputs": [one()], "outputs": ["x"]}, "outputs[0] is 'x'"),
        ({"inputs": [one()], "outputs": [{"name": "x"}] * 2}, "Output 'x' is asked for twice"),
        (
            {"inputs": [one()], "outputs": [{"name": "x", "parameters": {"classification": 2}}]},
            "has the parameter classification, which is not supported",
        ),
        (
            {"inputs": [one()], "outputs": [{"name": "x", "parameters": {"binary_data": 1}}]},
            "Output 'x' has binary_data 1",
        ),
        ({"inputs": [one()], "parameters": {"binary_data_output": "a"}}, "binary_data_output 'a'"),
        ({"inputs": [one(shape=[1] * 40)]}, "40 dimensions; 32 are the most"),
        ({"inputs": [one(shape=[2**62, 0, 2**62], data=[])]}, "which is too large"),
    ],
)
def test_a_wrong_request_is_refused_by_name(document: Any, message: str) -> None:
    with pytest.raises(InferError) as raised:
        decoded(item(json.dumps(document).encode()))
    assert message in raised.value.message
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"inputs": [NaN]}', b"[" * 5000, b'{"a": "\\ud800"}', b"{}{}"],
)
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InferError, match="The body is not JSON: "):
        decoded(item(body))


def test_data_may_be_nested_as_deep_as_a_parser_reads() -> None:
    nested = b"[" * 900 + b"]" * 900
    text = b'{"inputs":[{"name":"x","datatype":"%b","shape":[1],"data":%b}]}'
    for datatype in (b"INT8", b"BYTES"):
        with pytest.raises(InferError) as raised:
            decoded(item(text % (datatype, nested)))
        assert raised.value.status == 400


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (b"inference-header-content-length\nx", "Content-Length is 'x'"),
        (b"inference-header-content-length\n-1", "Content-Length is '-1'"),
        (b"inference-header-content-length\n100000", "a number from 0 to"),
        (b"inference-header-content-length\n1" + b"0" * 5000, "a number from 0 to"),
        (b"inference-header-content-length\n3\nInference-Header-Content-Length\n4", "Length is"),
        (b"inference-header-content-length\n3", "not JSON"),
    ],
)
def test_a_wrong_length_of_the_json_is_refused(headers: bytes, message: str) -> None:
    asked = json_item(one(), headers=headers)
    with pytest.raises(InferError) as raised:
        decoded(asked)
    assert message in raised.value.message


@pytest.mark.parametrize(
    ("size", "content", "message"),
    [
        (2, b"\0", "has binary_data_size 2, but 1 bytes of the body are left"),
        (1, b"\0", "has 1 bytes of data; the shape [2] of INT8 needs 2"),
        (2, b"\0\0\0", "1 bytes behind its JSON and the tensors"),
        (2**60, b"\0", "but 1 bytes of the body are left"),
        (2**70, b"\0", "a number of bytes is right"),
        (True, b"\0\0", "has binary_data_size True"),
    ],
)
def test_binary_tensors_must_fill_the_body(size: Any, content: bytes, message: str) -> None:
    members = {"name": "x", "shape": [2], "datatype": "INT8"}
    document = {"inputs": [{**members, "parameters": {"binary_data_size": size}}]}
    with pytest.raises(InferError) as raised:
        decoded(binary_item(document, content))
    assert message in raised.value.message


def test_an_aligned_binary_tensor_is_the_body_s_own_memory_and_another_one_is_copied() -> None:
    array = np.arange(1000, dtype="<f4")
    document = {
        "inputs": [
            {
                "name": "x",
                "shape": [1000],
                "datatype": "FP32",
                "parameters": {"binary_data_size": 4000},
            }
        ]
    }
    shared = set()
    for blanks in range(4):
        asked = binary_item(document, array.tobytes(), blanks=blanks)
        found = decoded(asked).inputs["x"].array
        assert found.tolist() == array.tolist()
        assert found.flags.aligned and found.flags.writeable
        body: Any = asked[6]
        shared.add(np.shares_memory(found, np.frombuffer(body, np.uint8)))
    assert shared == {True, False}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_json_does_not_have_are_refused_with_what_to_ask_for(value: float) -> None:
    used = codec()
    request, form = used.decode(json_item(one()))
    response = InferResponse([tensor("y", np.array([value], np.float32), "FP32")])
    with pytest.raises(InferError, match="Output 'y' has NaN or infinities.*binary_data") as raised:
        used.encode(request, form, response, 0)
    assert raised.value.status == 400
    request, form = used.decode(json_item(one(), parameters={"binary_data_output": True}))
    *_, lines, body = used.encode(request, form, response, 0)
    found = read_answer(lines, bytes(body))[1]["y"]
    assert found.tobytes() == np.array([value], np.float32).tobytes()


def test_bytes_that_are_no_text_are_refused_with_what_to_ask_for() -> None:
    used = codec()
    request, form = used.decode(json_item(one()))
    response = InferResponse([tensor("y", np.array([b"\xff"], object), "BYTES")])
    with pytest.raises(InferError, match="Output 'y' has bytes that are no text.*binary_data"):
        used.encode(request, form, response, 0)


def test_bf16_in_json_is_what_its_bits_hold() -> None:
    document, outputs, _ = answered(json_item(one(datatype=BF16, data=[1.00390625, 3])))
    assert outputs["x"] == [1.0, 3.0]
    assert document["outputs"][0]["datatype"] == BF16


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"gzip, deflate", b"gzip"),
        (b"gzip;q=0.1, deflate", b"deflate"),
        (b"gzip;q=0", b""),
        (b"br", b""),
        (b"identity", b""),
        (b"gzip;q=x", b""),
    ],
)
def test_a_large_answer_is_compressed_as_the_client_can_read(
    accepted: bytes, coding: bytes
) -> None:
    headers = b"Accept-Encoding\n" + accepted
    data = [7] * 2000
    used = codec()
    request, form = used.decode(json_item(one(shape=[2000], data=data), headers=headers))
    response = InferResponse([tensor("y", np.array(data, np.int64), "INT64")])
    *_, lines, body = used.encode(request, form, response, 0)
    unfolded = {b"gzip": gzip.decompress, b"deflate": zlib.decompress, b"": bytes}[coding](body)
    assert (b"content-encoding: %b\r\n" % coding in lines) is bool(coding)
    assert json.loads(unfolded)["outputs"][0]["data"] == data


def test_a_short_answer_is_not_compressed() -> None:
    document, _, lines = answered(json_item(one(), headers=b"accept-encoding\ngzip"))
    assert b"content-encoding" not in lines
    assert document["outputs"][0]["data"] == [1, 2]


def declared(datatype: str, shape: list[int], **more: Any) -> Any:
    only = {"name": "only", "datatype": datatype, "shape": shape}
    return {"inputs": [only], "outputs": [], **more}


@pytest.mark.parametrize(
    ("tensors", "body", "shape"),
    [
        (declared("FP32", [2]), bytes(8), [2]),
        (declared("FP32", [-1, 2]), bytes(16), [2, 2]),
        (declared("FP32", [-1, 2], max_batch_size=4), bytes(8), [1, 2]),
        (declared("BYTES", [1]), b"abc", [1]),
        (declared("BYTES", [-1, 1], max_batch_size=4), b"", [1, 1]),
    ],
)
def test_a_body_without_json_is_the_one_declared_input(
    tensors: Any, body: bytes, shape: list[int]
) -> None:
    asked = item(body, length_header(0))
    found = decoded(asked, tensors=tensors).inputs["only"]
    assert list(found.shape) == shape and list(found.array.shape) == shape
    if found.datatype == "BYTES":
        assert found.array.ravel().tolist() == [body]
    _, _, lines = answered(asked, tensors=tensors)
    assert b"application/octet-stream" in lines


@pytest.mark.parametrize(
    ("tensors", "body", "message"),
    [
        (None, b"", "needs a model that declares one input; this one declares 0"),
        (declared("FP32", [-1, -1]), bytes(8), "one dimension may be of any size"),
        (declared("FP32", [-1, 2]), bytes(9), "a multiple of 8 is right"),
        (declared("FP32", [-1, 0]), bytes(9), "a multiple of 0 is right"),
        (declared("FP32", [2]), bytes(9), "has 9 bytes of data"),
        (declared("BYTES", [2]), b"", "one element of BYTES"),
    ],
)
def test_a_body_without_json_that_is_no_such_input_is_refused(
    tensors: Any, body: bytes, message: str
) -> None:
    with pytest.raises(InferError) as raised:
        decoded(item(body, length_header(0)), tensors=tensors)
    assert message in raised.value.message
    assert raised.value.status == 400
