"""Generated requests over gRPC to the same models by the protocol's other servers and by this one: the same answers,
but for the differences that `docs/open-inference.md` lists.

Variables name the other servers' Pythons: see `test_oracles.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import oracles
import pytest
from support.processes import free_port
from support.server import Server

from mms.interfaces.oip.front.messages import CLASSES
from mms.tensors.binary import read_binary, write_binary
from mms.tensors.datatypes import DATATYPES

Request, Response = CLASSES["ModelInferRequest"], CLASSES["ModelInferResponse"]
CALL = "/inference.GRPCInferenceService/ModelInfer"
REQUESTS = 300
LIMIT_S = 20.0
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class Asked(NamedTuple):
    """`kind`: what is particular about the request."""

    kind: str
    message: bytes


class Answer(NamedTuple):
    """`code`: `OK`, or the error's. `arrays`: (datatype, shape, bytes) of outputs by name."""

    code: str
    id: str
    arrays: dict[str, tuple[str, tuple[int, ...], bytes]]
    details: str = ""


class Caller:
    """Asks one server."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target)
        self._call = self._channel.unary_unary(CALL, None, Response.FromString)

    def close(self) -> None:
        self._channel.close()

    def ask(self, asked: Asked) -> Answer:
        try:
            found = self._call(asked.message, timeout=LIMIT_S)
        except grpc.RpcError as error:
            return Answer(error.code().name, "", {}, error.details() or "")
        arrays = {}
        for place, output in enumerate(found.outputs):
            shape = tuple(output.shape)
            datatype = DATATYPES[output.datatype]
            if found.raw_output_contents:
                data = bytes(found.raw_output_contents[place])
                read_binary(bytearray(data), 0, len(data), datatype, shape, "it")
            else:
                values = list(getattr(output.contents, CONTENTS[datatype.name]))
                data = bytes(write_binary(_array(values, datatype.name), datatype.name, "it"))
            arrays[output.name] = (datatype.name, shape, data)
        return Answer("OK", found.id, arrays)


def _array(values: list[Any], datatype: str) -> Any:
    if datatype != "BYTES":
        return np.array(values, DATATYPES[datatype].numpy)
    array = np.empty(len(values), object)
    array[:] = values
    return array


class Requests:
    """The same for the same seed. `model`: of all of them; empty: each datatype, and `pair`, have one.

    `ids`: clients' own.
    """

    def __init__(
        self,
        seed: int,
        model: str = "",
        ids: Sequence[str] = ("", "7", "a b", "ü", "x" * 200),
        *,
        has_texts: bool = True,
    ) -> None:
        self._random = random.Random(seed)
        self._model = model
        self._ids = ids
        self._models = [*oracles.DATATYPES, "pair"]
        if not has_texts:
            self._models.remove("BYTES")

    def next(self) -> Asked:
        chance = self._random
        model = chance.choice(self._models)
        datatypes = ["FP32", "INT64"] if model == "pair" else [model]
        message = Request(model_name=self._model or model, id=chance.choice(self._ids))
        is_raw = "FP16" in datatypes or chance.random() < 0.5
        for place, datatype in enumerate(datatypes):
            self._add(message, f"x{place}", datatype, is_raw)
        if chance.random() < 0.3:
            for place in range(len(datatypes)):
                message.outputs.add(name=f"out_x{place}")
        kind = "good"
        if chance.random() < 0.4:
            kind = chance.choice(sorted(FAULTS))
            FAULTS[kind](message)
        data = message.SerializeToString()
        if kind == "broken message":
            data = data[:-3]
        return Asked(kind, data)

    def _add(self, message: Any, name: str, datatype: str, is_raw: bool) -> None:
        chance = self._random
        shape = [chance.randint(1, 4), chance.randint(1, 5)]
        count = shape[0] * shape[1]
        numpy = DATATYPES[datatype].numpy
        values: list[Any]
        if datatype == "BYTES":
            values = [chance.choice([b"", b"a", "ü".encode(), b"x" * 70]) for _ in range(count)]
        elif datatype == "BOOL":
            values = [chance.random() < 0.5 for _ in range(count)]
        elif datatype.startswith("FP"):
            values = [chance.choice([0.5, -1.25, 3.0, 0.0]) for _ in range(count)]
        else:
            most, least = int(np.iinfo(numpy).max), int(np.iinfo(numpy).min)
            values = [chance.choice([0, 1, most, least]) for _ in range(count)]
        tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
        if is_raw:
            data = write_binary(_array(values, datatype), datatype, name)
            message.raw_input_contents.append(bytes(data))
        else:
            getattr(tensor.contents, CONTENTS[datatype]).extend(values)


def _set_shape(message: Any, *shape: int) -> None:
    del message.inputs[0].shape[:]
    message.inputs[0].shape.extend(shape)


def _other_datatype(message: Any) -> None:
    first = message.inputs[0]
    other = "INT32" if first.datatype != "INT32" else "FP32"
    del message.inputs[:], message.raw_input_contents[:]
    message.inputs.add(name="x0", datatype=other, shape=[1, 1])
    message.raw_input_contents.append(bytes(4))


def _no_inputs(message: Any) -> None:
    del message.inputs[:], message.raw_input_contents[:]


def _no_contents(message: Any) -> None:
    del message.raw_input_contents[:]
    for each in message.inputs:
        each.ClearField("contents")


def _twice(message: Any) -> None:
    message.inputs.extend([*message.inputs])
    message.raw_input_contents.extend([*message.raw_input_contents])


def _cut_raw(message: Any) -> None:
    if message.raw_input_contents:
        message.raw_input_contents[0] = message.raw_input_contents[0][:-1]


def _longer_raw(message: Any) -> None:
    if message.raw_input_contents:
        message.raw_input_contents[0] += b"x"


def _raw_beside_contents(message: Any) -> None:
    message.inputs[0].contents.int_contents.append(1)
    if not message.raw_input_contents:
        message.raw_input_contents.extend([bytes(4)] * len(message.inputs))


def _one_raw_more(message: Any) -> None:
    if message.raw_input_contents:
        message.raw_input_contents.append(bytes(4))


FAULTS: dict[str, Callable[[Any], None]] = {
    "unknown model": lambda message: setattr(message, "model_name", "nobody"),
    "other datatype": _other_datatype,
    "other name": lambda message: setattr(message.inputs[0], "name", "z"),
    "no inputs": _no_inputs,
    "unknown output": lambda message: message.outputs.add(name="z"),
    "no shape": _set_shape,
    "negative shape": lambda message: _set_shape(message, -1, 2),
    "wrong count": lambda message: _set_shape(message, 7, 11),
    "no datatype": lambda message: setattr(message.inputs[0], "datatype", ""),
    "unknown datatype": lambda message: setattr(message.inputs[0], "datatype", "FP31"),
    "other rank": lambda message: _set_shape(message, int(np.prod(message.inputs[0].shape))),
    "input twice": _twice,
    "no contents": _no_contents,
    "short raw contents": _cut_raw,
    "long raw contents": _longer_raw,
    "raw contents beside others": _raw_beside_contents,
    "one raw contents more": _one_raw_more,
    "broken message": lambda message: None,
}

#: (their code, ours) of what differs, by the kind of the request.
_MADE_OF_IT = ("OK", "INVALID_ARGUMENT")
_FAILED = ("INTERNAL", "INVALID_ARGUMENT")
_UNREADABLE = ("UNKNOWN", "INVALID_ARGUMENT")
TRITON_DIFFERENCES = {"broken message": {_FAILED}, "one raw contents more": {_MADE_OF_IT}}
#: Of both servers in Python.
_DIFFERENCES = {
    "broken message": {_UNREADABLE},
    **dict.fromkeys(("input twice", "unknown output"), {_MADE_OF_IT}),
    # With outputs that are asked for, which the model did not give.
    **dict.fromkeys(("no inputs", "other name"), {_MADE_OF_IT}),
    **dict.fromkeys(("no contents", "no shape", "wrong count"), {_FAILED}),
    **dict.fromkeys(("short raw contents", "long raw contents"), {_FAILED}),
    # It takes what numpy can make of it.
    "negative shape": {_FAILED, _MADE_OF_IT},
}
KSERVE_DIFFERENCES = _DIFFERENCES
MLSERVER_DIFFERENCES = {
    **_DIFFERENCES,
    **dict.fromkeys(("no datatype", "unknown datatype"), {_FAILED}),
    **dict.fromkeys(("one raw contents more", "other datatype"), {_MADE_OF_IT}),
    "raw contents beside others": {_FAILED, _MADE_OF_IT},
}


def compare(
    theirs: str, ours: str, requests: list[Asked], known: dict[str, set[tuple[str, str]]]
) -> None:
    assert {asked.kind for asked in requests} == {"good", *FAULTS}
    left, right = Caller(theirs), Caller(ours)
    try:
        unknown = [
            found
            for found in differences(left, right, requests)
            if found[1] not in known.get(found[0], ())
        ]
    finally:
        left.close()
        right.close()
    assert not unknown, f"{len(unknown)} differences, the first ones are {unknown[:3]}"


def differences(
    theirs: Caller, ours: Caller, requests: list[Asked]
) -> Iterator[tuple[str, tuple[str, str], Answer, Answer, bytes]]:
    """Yield (kind of request, both codes, both answers, request) where answers differ."""
    for asked in requests:
        left, right = theirs.ask(asked), ours.ask(asked)
        assert right.code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND"), (asked, right)
        if left.code == "OK" and not Request.FromString(asked.message).id:
            # MLServer and KServe make one.
            left = left._replace(id="")
        if left[:3] != right[:3]:
            yield asked.kind, (left.code, right.code), left, right, asked.message


def made(requests: Requests, is_full: bool) -> list[Asked]:
    return [requests.next() for _ in range(5 * REQUESTS if is_full else REQUESTS)]


def served(folder: Path, store: Path) -> tuple[Server, str]:
    target = f"127.0.0.1:{free_port()}"
    settings = {"load_models": "all", "default_workers_per_model": "1", "model_store": str(store)}
    return Server(folder / "server", {**settings, "grpc_address": f"grpc://{target}"}), target


@pytest.mark.skipif(not oracles.TRITON, reason="TRITON_PYTHON names no Python with nvidia-pytriton")
def test_answers_over_grpc_are_tritons(tmp_path: Path, is_full: bool) -> None:
    oracles.write_triton_models(tmp_path / "models")
    server, target = served(tmp_path, tmp_path / "models")
    try:
        server.start()
        with oracles.triton(tmp_path / "models") as theirs:
            compare(theirs.grpc, target, made(Requests(8), is_full), TRITON_DIFFERENCES)
    finally:
        server.stop()


@pytest.mark.skipif(not oracles.MLSERVER, reason="MLSERVER_PYTHON names no Python with mlserver")
def test_answers_over_grpc_are_mlservers(tmp_path: Path, is_full: bool) -> None:
    oracles.write_mlserver_model(tmp_path / "models" / "echo")
    own = oracles.write_mlserver_model(tmp_path / "own")
    server, target = served(tmp_path, tmp_path / "models")
    try:
        server.start()
        with oracles.mlserver(own) as theirs:
            # It fails for an id that is not ASCII, and makes other texts of BYTES, or fails.
            requests = Requests(9, "echo", ("", "7", "a b"), has_texts=False)
            compare(theirs.grpc, target, made(requests, is_full), MLSERVER_DIFFERENCES)
    finally:
        server.stop()


@pytest.mark.skipif(not oracles.KSERVE, reason="KSERVE_PYTHON names no Python with kserve")
def test_answers_over_grpc_are_kserves(tmp_path: Path, is_full: bool) -> None:
    oracles.write_handler(tmp_path / "models" / "echo")
    server, target = served(tmp_path, tmp_path / "models")
    try:
        server.start()
        with oracles.kserve(tmp_path / "kserve") as theirs:
            compare(theirs.grpc, target, made(Requests(10, "echo"), is_full), KSERVE_DIFFERENCES)
    finally:
        server.stop()
