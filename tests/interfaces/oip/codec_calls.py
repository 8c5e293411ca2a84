"""Requests of the Open Inference Protocol over REST, written for tests, and answers to them, read."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np

from mms.interfaces.oip.worker.codec_json import JsonCodec
from mms.tensors.binary import read_binary
from mms.tensors.datatypes import DATATYPES
from mms.tensors.results import response_of
from mms.tensors.tensor import InferRequest, InferResponse, Tensor
from mms.wire import Item, ModelOperation

OPERATION = ModelOperation("infer", protocol="oip-json")


def codec(version: str | None = None, tensors: Any = None) -> JsonCodec:
    load: Any = SimpleNamespace(model_name="m", model_version=version, tensors=tensors)
    return JsonCodec(load)


def item(body: bytes, headers: bytes = b"") -> Item:
    return (b"id", 0, b"", b"", headers, 0, bytearray(body), OPERATION)


def length_header(size: int) -> bytes:
    return b"Host\nx\nInference-Header-Content-Length\n%d" % size


def json_item(*inputs: dict[str, Any], headers: bytes = b"", **more: Any) -> Item:
    return item(json.dumps({"inputs": list(inputs), **more}).encode(), headers)


def binary_item(
    document: dict[str, Any], *contents: bytes, headers: bytes = b"", blanks: int = 0
) -> Item:
    """`blanks`: behind the JSON, so that tensors begin elsewhere in the body."""
    text = json.dumps(document).encode() + b" " * blanks
    block = length_header(len(text)) + (b"\n" + headers if headers else b"")
    return item(text + b"".join(contents), block)


def decoded(asked: Item, **options: Any) -> InferRequest:
    return codec(**options).decode(asked)[0]


def echo(request: InferRequest) -> InferResponse:
    """A model whose outputs are its inputs."""
    answer: Any = {tensor.name: tensor for tensor in request.inputs.values()}
    return response_of(answer, request)


def answered(asked: Item, **options: Any) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return (JSON, arrays of outputs by name, header lines) of what `echo` answers."""
    used = codec(**options)
    request, form = used.decode(asked)
    _, _, status, _, lines, body = used.encode(request, form, echo(request), 0)
    assert status == 200
    return read_answer(bytes(lines), bytes(body))


def read_answer(lines: bytes, body: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    length = len(body)
    for line in lines.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"inference-header-content-length":
            length = int(value)
    document = json.loads(body[:length])
    arrays = {}
    at = length
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            arrays[output["name"]] = output["data"]
            continue
        datatype = DATATYPES[output["datatype"]]
        arrays[output["name"]] = read_binary(
            bytearray(body), at, size, datatype, output["shape"], "it"
        )
        at += size
    assert at == len(body)
    return document, arrays, lines


def tensor(name: str, array: Any, datatype: str) -> Tensor:
    array = np.asarray(array)
    return Tensor(name, datatype, array.shape, array)
