from __future__ import annotations

import base64
import json
import math
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from google.protobuf import any_pb2, json_format
from google.protobuf.struct_pb2 import ListValue

from mms.interfaces.seldon.codec.body import read_json_body, read_undecoded_body
from mms.interfaces.seldon.codec.forms import Form
from mms.interfaces.seldon.codec.json_decoding import decode_json
from mms.interfaces.seldon.codec.json_encoding import encode_json
from mms.interfaces.seldon.codec.json_text import dump_json
from mms.interfaces.seldon.codec.messages import (
    SERVICES,
    DefaultData,
    Feedback,
    SeldonMessage,
    parse_message,
)
from mms.interfaces.seldon.codec.proto_payload import (
    decode_aggregate_proto_bytes,
    decode_proto,
    decode_proto_bytes,
    encode_proto,
    encode_proto_bytes,
)
from mms.interfaces.seldon.codec.wire_numbers import list_of_numbers, read_list_of_numbers
from mms.interfaces.seldon.components.formats import JsonFormat
from mms.interfaces.seldon.errors import SeldonMicroserviceException


def no_names() -> None:
    return None


def dumped(result: Any, form: Form, strict: bool = False) -> str:
    return dump_json(encode_json(result, form, no_names, {}), strict).decode()


# JSON


def test_answers_are_compact_sorted_and_end_in_a_line_feed() -> None:
    ndarray = '{"data":{"names":["t:0","t:1"],"ndarray":[[1.0,2.0]]},"meta":{}}\n'
    assert dumped(np.array([[1.0, 2.0]]), Form.NDARRAY) == ndarray
    tensor = '{"data":{"names":["t:0"],"tensor":{"shape":[1,1],"values":[1]}},"meta":{}}\n'
    assert dumped(np.array([[1]]), Form.TENSOR) == tensor


def test_text_is_written_in_ascii() -> None:
    assert (
        dumped("é\x7f\U0001f600", Form.NONE)
        == '{"meta":{},"strData":"\\u00e9\\u007f\\ud83d\\ude00"}\n'
    )


def test_float32_has_the_digits_of_the_double_it_is() -> None:
    assert "0.10000000149011612" in dumped(np.array([0.1], np.float32), Form.NDARRAY)


def test_nan_is_null_and_in_strict_mode_a_token() -> None:
    array = np.array([np.nan, np.inf])
    assert '"ndarray":[null,null]' in dumped(array, Form.NDARRAY)
    assert '"ndarray":[NaN,Infinity]' in dumped(array, Form.NDARRAY, strict=True)
    wide = {"a": [float("nan"), 1 << 70]}
    assert '"a":[null,1180591620717411303424]' in dumped(wide, Form.NONE)


def test_numbers_of_numpy_are_taken_anywhere() -> None:
    assert '"p":0.5' in dumped({"p": np.float64(0.5), "n": np.array([1])}, Form.NONE)


def test_what_has_no_json_form_is_named() -> None:
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        dumped({"a": object()}, Form.NONE)


def test_a_bare_list_is_no_message_and_the_error_says_what_is_one() -> None:
    for message in ([[1, 2]], [], [{"a": 1}], [None], "a", 5):
        with pytest.raises(SeldonMicroserviceException) as raised:
            decode_json(message)
        said = raised.value.message
        assert said.startswith(f"Invalid request data type: {message}. A request has data, ")
        with pytest.raises(SeldonMicroserviceException) as raised:
            decode_json(message, strict=True)
        assert raised.value.message == f"Invalid request data type: {message}"


def test_what_is_no_message_is_shown_in_a_line_however_long_it_is() -> None:
    for message in ([1.0] * 10**6, {"a": 10**5000}, "x" * 10**6):
        with pytest.raises(SeldonMicroserviceException) as raised:
            decode_json(message, False)
        assert len(raised.value.message) < 500


def test_names_are_asked_for_arrays_of_two_axes_alone() -> None:
    def refuse() -> None:
        raise AssertionError

    encode_json(np.array([1]), Form.NDARRAY, refuse, {})
    data = encode_json(np.zeros((1, 2)), Form.NDARRAY, lambda: ["a", "b"], {})["data"]
    assert data["names"] == ["a", "b"]


# HTTP bodies


def test_a_file_of_a_form_is_not_decoded_from_base64_again() -> None:
    form = b'--B\r\nContent-Disposition: form-data; name="binData"; filename="f"\r\n\r\n\x00\xff\r\n--B--'
    message = read_json_body(b"multipart/form-data; boundary=B", b"", form)
    assert base64.b64decode(message["binData"]) == b"\x00\xff"
    assert decode_json(message).value is message["binData"].content


def test_a_binary_body_is_bindata_unless_strict() -> None:
    message = read_json_body(b"image/png", b"", b"\x89PNG")
    assert decode_json(message).value == b"\x89PNG"
    for body, strict in ((b"\x89PNG", True), (b"", False)):
        with pytest.raises(SeldonMicroserviceException) as raised:
            read_json_body(b"image/png", b"", body, strict=strict)
        assert raised.value.message == "Can't find JSON in data"


def test_a_form_without_boundary_is_named() -> None:
    with pytest.raises(SeldonMicroserviceException, match="has no boundary"):
        read_json_body(b"multipart/form-data", b"", b"")


@pytest.mark.parametrize(
    ("content_type", "query", "body"),
    [
        (b"", b'json={"strData":"%ED%A0%80"}', b""),
        (b"application/x-www-form-urlencoded", b"", b'json={"strData":"%FF"}'),
        (b"application/x-www-form-urlencoded", b"", b'json={"strData":"\xff"}'),
        (
            b"multipart/form-data; boundary=B",
            b"",
            b'--B\r\nContent-Disposition: form-data; name="strData"\r\n\r\n\xff\r\n--B--\r\n',
        ),
    ],
)
def test_texts_that_are_not_utf_8_are_refused_unless_strict(
    content_type: bytes, query: bytes, body: bytes
) -> None:
    with pytest.raises(SeldonMicroserviceException, match="is not UTF-8"):
        read_json_body(content_type, query, body)
    assert read_json_body(content_type, query, body, strict=True)["strData"].startswith("\ufffd")


def test_an_undecoded_body_is_the_bytes_or_the_text_of_json() -> None:
    assert read_undecoded_body(b"application/json", b"", b"{bad") == b"{bad"
    assert read_undecoded_body(b"", b"json=%7B%7D", b"x") == "{}"


# Protobuf


SHAPES = [
    (1,),
    (0,),
    (3,),
    (1, 64),
    (2, 0),
    (0, 2),
    (3, 20),
    (2, 3, 4),
    (200, 3, 7),
    (1, 1, 1, 1),
    (12, 300),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_lists_of_numbers_have_the_bytes_that_protobuf_writes(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).normal(size=shape)
    expected = json_format.ParseDict(array.tolist(), ListValue())
    content = list_of_numbers(array)
    assert ListValue.FromString(content) == expected
    assert content == expected.SerializeToString()
    found = read_list_of_numbers(content)
    assert found is not None
    np.testing.assert_array_equal(found, np.array(array.tolist()))
    assert found.flags.writeable and found.flags.aligned and found.flags.c_contiguous


@pytest.mark.parametrize(
    "value",
    [
        ["a"],
        [1, "a"],
        [[1], [2, 3]],
        [[1], 2],
        [1, [2]],
        [None],
        [{"a": 1}],
        [True],
        [[], [1]],
        [[[1]], [[1, 2]]],
    ],
)
def test_other_lists_are_left_to_protobuf(value: Any) -> None:
    content = json_format.ParseDict(value, ListValue()).SerializeToString()
    assert read_list_of_numbers(content) is None


def test_cut_and_changed_bytes_are_never_numbers_that_protobuf_does_not_see() -> None:
    content = list_of_numbers(np.arange(6.0).reshape(2, 3))
    random = np.random.default_rng(2)
    for _ in range(2000):
        changed = bytearray(content[: random.integers(len(content) + 1)])
        if changed:
            changed[random.integers(len(changed))] = random.integers(256)
        found = read_list_of_numbers(bytes(changed))
        if found is not None:
            expected = json_format.MessageToDict(ListValue.FromString(bytes(changed)))
            np.testing.assert_array_equal(found, np.array(expected, dtype=np.float64))


def large_messages() -> list[Any]:
    array = np.random.default_rng(3).normal(size=(50, 30))
    names = [f"näme{index}" for index in range(30)]
    messages = []
    for form in (Form.TENSOR, Form.NDARRAY, Form.TFTENSOR):
        meta = {"puid": "p", "tags": {"a": [1]}}
        messages.append(encode_proto(array, form, lambda: names, meta))
    messages.append(SeldonMessage(binData=bytes(10_000)))
    messages.append(SeldonMessage(strData="é" * 10_000))
    texts = DefaultData(ndarray=json_format.ParseDict([["text"] * 2000], ListValue()))
    messages.append(SeldonMessage(data=texts))
    messages.append(SeldonMessage(data=DefaultData(names=["n" * 5000])))
    return messages


@pytest.mark.parametrize("index", range(7))
def test_large_messages_are_read_from_their_bytes_as_from_their_class(index: int) -> None:
    message = large_messages()[index]
    from_class = decode_proto(message)
    from_bytes = decode_proto_bytes(message.SerializeToString())
    np.testing.assert_array_equal(from_class.value, from_bytes.value)
    assert list(from_class.names) == list(from_bytes.names)
    assert from_class[2:] == from_bytes[2:]


def test_a_merged_message_is_read_as_protobuf_merges_it() -> None:
    first, second = large_messages()[:2]
    merged = first.SerializeToString() + second.SerializeToString()
    expected = decode_proto(SeldonMessage.FromString(merged))
    found = decode_proto_bytes(merged)
    np.testing.assert_array_equal(found.value, expected.value)
    assert list(found.names) == list(expected.names)


def test_an_any_is_custom_data() -> None:
    custom = any_pb2.Any()
    custom.Pack(SeldonMessage(strData="a"))
    message = encode_proto(custom, Form.NONE, no_names, {})
    assert message.customData == custom
    assert decode_proto(message).value == custom


def test_a_tensor_that_does_not_fit_is_the_clients_error_unless_strict() -> None:
    message = SeldonMessage()
    message.data.tensor.values.extend([1, 2, 3])
    message.data.tensor.shape.append(2)
    with pytest.raises(
        SeldonMicroserviceException, match=r"data.tensor.shape \[2\] needs 2 values"
    ):
        decode_proto_bytes(message.SerializeToString())
    assert decode_proto(message, strict=True).value.tolist() == [2, 3]


def test_one_size_of_a_tensors_shape_may_be_left_to_its_values_over_grpc_too() -> None:
    message = SeldonMessage()
    message.data.tensor.shape.extend([-1, 2])
    message.data.tensor.values.extend([1, 2, 3, 4])
    assert decode_proto(message).value.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    message.data.tensor.shape[1] = -1
    with pytest.raises(
        SeldonMicroserviceException, match=r"one of them -1 at most, not \[-1, -1\]"
    ):
        decode_proto(message)


def test_bytes_that_are_no_message_are_the_clients_error() -> None:
    for decode_it in (
        decode_proto_bytes,
        decode_aggregate_proto_bytes,
        lambda body: parse_message(Feedback, body),
    ):
        with pytest.raises(SeldonMicroserviceException, match="The body is not ") as raised:
            decode_it(b"\xff\xff\xff")
        assert raised.value.status_code == 400


def test_arrays_of_a_request_may_be_written_to() -> None:
    for form in (Form.TENSOR, Form.NDARRAY, Form.TFTENSOR):
        for rows in (1, 1000):
            body = encode_proto_bytes(np.zeros((rows, 4)), form, no_names, {})
            value = decode_proto_bytes(body).value
            value += 1


@pytest.mark.parametrize(
    "dtype",
    ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16", ">i4"],
)
@pytest.mark.parametrize("shape", [(1,), (2, 3), (), (0, 2)])
def test_a_tftensor_keeps_type_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    from mms.interfaces.seldon.codec.tensor_proto import (
        array_of,
        array_of_json,
        json_of_array,
        tensor_of,
    )

    array = np.ones(shape, dtype)
    for found in (array_of(tensor_of(array)), array_of_json(json_of_array(array))):
        assert found.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, array)


def test_a_tftensors_last_value_stands_for_the_rest() -> None:
    from mms.interfaces.seldon.codec.tensor_proto import array_of_json

    shape = {"dim": [{"size": "2"}, {"size": "2"}]}
    array = array_of_json({"dtype": "DT_FLOAT", "tensorShape": shape, "floatVal": [1, 2]})
    assert array.tolist() == [[1, 2], [2, 2]]
    with pytest.raises(SeldonMicroserviceException, match="has 3 values, but its shape needs 4"):
        content = base64.b64encode(np.zeros(3, "<f4").tobytes()).decode()
        array_of_json({"dtype": "DT_FLOAT", "tensorShape": shape, "tensorContent": content})


def test_all_seven_services_are_there() -> None:
    names = ("Generic", "Model", "Router", "Transformer", "OutputTransformer", "Combiner", "Seldon")
    assert list(SERVICES) == [f"seldon.protos.{name}" for name in names]
    method = SERVICES["seldon.protos.Model"]["Predict"]
    assert (method.request_class, method.operation) == (SeldonMessage, "predict")


def test_descriptors_of_an_installed_tensorflow_are_taken_without_importing_it(
    tmp_path: Any,
) -> None:
    """Whose files differ from ours, so that it could not be imported after us otherwise."""
    script = f"""
import sys
from google.protobuf import descriptor_pb2, descriptor_pool
from mms.interfaces.seldon.codec.tensor_descriptors import _own_files
files = _own_files()
files[-1].message_type[0].field.add(name="float8_val", number=18, type=12, label=1)
from pathlib import Path
root = Path({str(tmp_path)!r})
(root / "tensorflow").mkdir()
(root / "tensorflow" / "__init__.py").write_text("raise AssertionError")
for file in files:
    path = root / file.name.replace(".proto", "_pb2.py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"DESCRIPTOR = _pool.Default().AddSerializedFile({{file.SerializeToString()!r}})")
sys.path.insert(0, str(root))
from mms.interfaces.seldon.codec.messages import TensorProto
print(TensorProto(float8_val=b"x").float8_val)
for file in files:
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.stdout == "b'x'\n", finished.stderr


def test_a_json_document_survives_feedbacks_detour_through_protobuf() -> None:
    messages = JsonFormat(False)
    content = messages.encode_message(encode_proto([], Form.NDARRAY, no_names, {}))
    assert json.loads(content) == {"data": {"ndarray": []}, "meta": {}}
    content = messages.encode_message(encode_proto([], Form.NONE, no_names, {}))
    assert content == b'{"data":{"tensor":{"shape":[0]}},"meta":{}}\n'


MASKED = np.ma.masked_equal(np.array([[1.0, -999.0]]), -999.0)


@pytest.mark.parametrize(
    "masked",
    [
        MASKED,
        np.ma.masked_equal(np.array([[1, -999]]), -999),
        [MASKED[0]],
        {"a": MASKED},
        [[MASKED[0]], [MASKED[0]]],
    ],
    ids=["floats", "integers", "in a list", "in a dict", "deep in a list"],
)
@pytest.mark.parametrize("form", list(Form))
def test_what_is_masked_is_told_in_no_form(masked: Any, form: Form) -> None:
    text = dumped(masked, form)
    assert "999" not in text
    message = encode_proto(masked, form, no_names, {})
    assert "999" not in str(message)
    assert struct.pack("<d", -999.0) not in message.data.tftensor.tensor_content


def test_an_array_s_masked_values_are_null_and_as_doubles_nan() -> None:
    names = {"names": ["t:0", "t:1"]}
    found = json.loads(dumped(MASKED, Form.NDARRAY))
    assert found["data"] == names | {"ndarray": [[1.0, None]]}
    found = json.loads(dumped(MASKED, Form.TENSOR))
    assert found["data"] == names | {"tensor": {"shape": [1, 2], "values": [1.0, None]}}
    message = encode_proto(MASKED, Form.NDARRAY, no_names, {})
    assert json_format.MessageToDict(message.data.ndarray) == [[1.0, None]]
    message = encode_proto(MASKED, Form.TENSOR, no_names, {})
    assert message.data.tensor.values[0] == 1.0
    assert math.isnan(message.data.tensor.values[1])


def test_numbers_longer_than_pythons_are_written() -> None:
    long = np.array([[1.5]], np.longdouble)
    assert dump_json(long) == b"[[1.5]]\n"
    assert dump_json({"a": long[0, 0], "b": 2**70}) == b'{"a":1.5,"b":1180591620717411303424}\n'


def test_numpys_values_in_a_dict_pass_over_grpc_as_over_rest() -> None:
    result = {"a": np.float32(0.5), "b": np.arange(2), "c": (1, 2)}
    message = encode_proto(result, Form.NONE, no_names, {})
    found = json_format.MessageToDict(message.jsonData)
    assert found == {"a": 0.5, "b": [0.0, 1.0], "c": [1.0, 2.0]}
