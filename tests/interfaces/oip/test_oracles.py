"""Generated requests to the same models by the protocol's other servers and by this one: the same answers, but for
the differences that `docs/open-inference.md` lists.

TRITON_PYTHON names a Python that has nvidia-pytriton 0.7, MLSERVER_PYTHON one that has mlserver 1.7, KSERVE_PYTHON one
that has kserve 0.21.
"""

from __future__ import annotations

import json
import math
import random
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import oracles
import pytest
from support.server import Server

from mms.tensors.binary import read_binary, write_binary
from mms.tensors.datatypes import DATATYPES

LENGTH = "Inference-Header-Content-Length"
REQUESTS = 400


class Asked(NamedTuple):
    """`kind`: what is particular about the request."""

    kind: str
    model: str
    document: Any
    contents: bytes = b""
    headers: dict[str, str] = {}
    path: str = "infer"


class Answer(NamedTuple):
    status: int
    document: Any
    arrays: dict[str, tuple[str, tuple[int, ...], bytes]]
    content_type: str


def ask(address: str, asked: Asked) -> Answer:
    text = (
        asked.document if isinstance(asked.document, bytes) else json.dumps(asked.document).encode()
    )
    headers = dict(asked.headers)
    if asked.contents:
        headers.setdefault(LENGTH, str(len(text)))
    request = urllib.request.Request(
        f"{address}/v2/models/{asked.model}/{asked.path}",
        text + asked.contents,
        {"Content-Type": "application/json", **headers},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            status, lines, body = reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        status, lines, body = error.code, error.headers, error.read()
    length = int(lines.get(LENGTH) or len(body))
    try:
        document = json.loads(body[:length])
    except ValueError:
        # Of MLServer, where something unforeseen happened.
        return Answer(status, body.decode(), {}, lines.get_content_type())
    if not isinstance(document, dict):
        # Of KServe, where something unforeseen happened.
        return Answer(status, document, {}, lines.get_content_type())
    arrays: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    at = length
    if "id" not in (asked.document if isinstance(asked.document, dict) else ()):
        # MLServer makes one.
        document.pop("id", None)
    # KServe writes null for what there is not.
    document = {name: said for name, said in document.items() if said not in (None, {})}
    for output in document.pop("outputs", ()):
        datatype, shape = DATATYPES[output["datatype"]], tuple(output["shape"])
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is None:
            data = output["data"]
            if datatype.name == "BYTES":
                data = [each.encode() for each in np.array(data, object).ravel()]
            array = np.array(data, datatype.numpy)
            if array.size == math.prod(shape):
                array = array.reshape(shape)
        else:
            array = read_binary(bytearray(body), at, size, datatype, shape, "it")
            at += size
        form = "binary" if size is not None else "json"
        arrays[output["name"]] = (
            f"{datatype.name} {form}",
            shape,
            bytes(write_binary(array, datatype.name, "it")),
        )
    assert at == len(body)
    return Answer(status, document, arrays, lines.get_content_type())


class Requests:
    """The same for the same seed."""

    def __init__(self, seed: int, *, has_binary: bool) -> None:
        self._random = random.Random(seed)
        self._has_binary = has_binary

    def next(self) -> Asked:
        chance = self._random
        model = chance.choice([*oracles.DATATYPES, "pair"])
        datatypes = ["FP32", "INT64"] if model == "pair" else [model]
        document: dict[str, Any] = {"inputs": []}
        contents = []
        for place, datatype in enumerate(datatypes):
            member, content = self._tensor(f"x{place}", datatype)
            document["inputs"].append(member)
            contents.append(content)
        if chance.random() < 0.5:
            document["id"] = chance.choice(["7", "a b", "ü", "x" * 200])
        if chance.random() < 0.3:
            document["parameters"] = chance.choice(
                [{}, {"a": 1}, {"a": "b", "c": True}, {"d": 1.5}]
            )
        if self._has_binary and chance.random() < 0.4:
            document.setdefault("parameters", {})["binary_data_output"] = True
        elif chance.random() < 0.3:
            document["outputs"] = [{"name": f"out_x{place}"} for place in range(len(datatypes))]
            if self._has_binary and chance.random() < 0.5:
                document["outputs"][0]["parameters"] = {"binary_data": chance.random() < 0.8}
        asked = Asked("good", model, document, b"".join(contents))
        return chance.choice(self._faults())(asked) if chance.random() < 0.4 else asked

    def _tensor(self, name: str, datatype: str) -> tuple[dict[str, Any], bytes]:
        chance = self._random
        shape = [chance.randint(1, 4), chance.randint(1, 5)]
        count = shape[0] * shape[1]
        array: Any
        if datatype == "BYTES":
            array = np.array(
                [chance.choice([b"", b"a", "ü".encode(), b"x" * 70]) for _ in range(count)], object
            )
        elif datatype == "BOOL":
            array = np.array([chance.random() < 0.5 for _ in range(count)])
        elif datatype.startswith("FP"):
            array = np.array(
                [chance.choice([0.5, -1.25, 3.0, 0.0]) for _ in range(count)],
                DATATYPES[datatype].numpy,
            )
        else:
            limits = np.iinfo(DATATYPES[datatype].numpy)
            array = np.array(
                [chance.choice([0, 1, int(limits.max), int(limits.min)]) for _ in range(count)],
                DATATYPES[datatype].numpy,
            )
        member = {"name": name, "datatype": datatype, "shape": shape}
        if self._has_binary and (datatype == "FP16" or chance.random() < 0.5):
            content = bytes(write_binary(array, datatype, name))
            return {**member, "parameters": {"binary_data_size": len(content)}}, content
        values = array.tolist()
        if datatype == "BYTES":
            values = [each.decode() for each in values]
        # MLServer makes other texts of nested ones, or answers with 500.
        if chance.random() < 0.3 and (datatype != "BYTES" or self._has_binary):
            values = [values[at : at + shape[1]] for at in range(0, count, shape[1])]
        return {**member, "data": values}, b""

    def _faults(self) -> list[Callable[[Asked], Asked]]:
        faults = [
            _unknown_model,
            _other_datatype,
            _other_name,
            _no_inputs,
            _empty_inputs,
            _no_json,
            _unknown_output,
            _no_shape,
            _negative_shape,
            _wrong_count,
            _no_datatype,
            _unknown_datatype,
            _other_rank,
            _number_as_id,
            _twice,
            _no_data,
        ]
        if self._has_binary:
            faults += [_short_contents, _long_contents, _wrong_length, _length_of_text]
        return faults


def _changed(asked: Asked, kind: str, **members: Any) -> Asked:
    first, *others = asked.document["inputs"]
    changed = {name: value for name, value in {**first, **members}.items() if value is not ...}
    return asked._replace(kind=kind, document={**asked.document, "inputs": [changed, *others]})


def _unknown_model(asked: Asked) -> Asked:
    return asked._replace(kind="unknown model", model="nobody")


def _other_datatype(asked: Asked) -> Asked:
    other = "INT32" if asked.document["inputs"][0]["datatype"] != "INT32" else "FP32"
    member = {"name": "x0", "shape": [1, 1], "datatype": other, "data": [1]}
    return asked._replace(
        kind="other datatype",
        contents=b"",
        document={"inputs": [member]},
        model="FP64" if asked.model == "pair" else asked.model,
    )


def _other_name(asked: Asked) -> Asked:
    return _changed(asked, "other name", name="z")


def _no_inputs(asked: Asked) -> Asked:
    return asked._replace(kind="no inputs", contents=b"", document={"id": "1"})


def _empty_inputs(asked: Asked) -> Asked:
    return asked._replace(kind="empty inputs", contents=b"", document={"inputs": []})


def _no_json(asked: Asked) -> Asked:
    return asked._replace(kind="no JSON", contents=b"", document=b'{"inputs": [')


def _unknown_output(asked: Asked) -> Asked:
    return asked._replace(
        kind="unknown output", document={**asked.document, "outputs": [{"name": "z"}]}
    )


def _no_shape(asked: Asked) -> Asked:
    return _changed(asked, "no shape", shape=...)


def _negative_shape(asked: Asked) -> Asked:
    return _changed(asked, "negative shape", shape=[-1, 2])


def _wrong_count(asked: Asked) -> Asked:
    return _changed(asked, "wrong count", shape=[7, 11])


def _no_datatype(asked: Asked) -> Asked:
    return _changed(asked, "no datatype", datatype=...)


def _unknown_datatype(asked: Asked) -> Asked:
    return _changed(asked, "unknown datatype", datatype="FP31")


def _other_rank(asked: Asked) -> Asked:
    rows, columns = asked.document["inputs"][0]["shape"]
    return _changed(asked, "other rank", shape=[rows * columns])


def _number_as_id(asked: Asked) -> Asked:
    return asked._replace(kind="number as id", document={**asked.document, "id": 7})


def _twice(asked: Asked) -> Asked:
    inputs = asked.document["inputs"]
    return asked._replace(
        kind="input twice",
        document={**asked.document, "inputs": [*inputs, *inputs]},
        contents=asked.contents * 2,
    )


def _no_data(asked: Asked) -> Asked:
    return _changed(asked._replace(contents=b""), "no data", data=..., parameters=...)


def _short_contents(asked: Asked) -> Asked:
    return (
        asked._replace(kind="short contents", contents=asked.contents[:-1])
        if asked.contents
        else asked
    )


def _long_contents(asked: Asked) -> Asked:
    return (
        asked._replace(kind="long contents", contents=asked.contents + b"x")
        if asked.contents
        else asked
    )


def _wrong_length(asked: Asked) -> Asked:
    return asked._replace(kind="wrong length", headers={LENGTH: "1000000"})


def _length_of_text(asked: Asked) -> Asked:
    return asked._replace(kind="length of no number", headers={LENGTH: "many"})


#: (their status, ours) of what differs, by the kind of the request.
TRITON_DIFFERENCES = {
    **dict.fromkeys(
        ("no JSON", "no inputs", "no shape", "negative shape", "no datatype", "number as id"),
        {(500, 400)},
    ),
    # In JSON; in binary form it is 400.
    "wrong count": {(500, 400)},
    # FP16 as JSON.
    "good": {(400, 200)},
}
MLSERVER_DIFFERENCES = {
    **dict.fromkeys(
        (
            "no JSON",
            "no inputs",
            "no shape",
            "no datatype",
            "unknown datatype",
            "no data",
            "number as id",
        ),
        {(422, 400)},
    ),
    "wrong count": {(500, 400)},
    # It takes what numpy can make of it.
    "negative shape": {(500, 400), (200, 400)},
    "unknown output": {(200, 400)},
    "input twice": {(200, 400)},
    # With outputs that are asked for, which the model did not give.
    "other name": {(200, 400)},
    "other rank": {(200, 400)},
}
KSERVE_DIFFERENCES = {
    **dict.fromkeys(("no JSON", "no inputs", "no data"), {(422, 400)}),
    # In JSON and in binary form.
    **dict.fromkeys(("no shape", "no datatype"), {(422, 400), (500, 400)}),
    "number as id": {(422, 400), (500, 400), (200, 400)},
    **dict.fromkeys(("wrong count", "short contents"), {(500, 400)}),
    **dict.fromkeys(("negative shape", "length of no number"), {(500, 400), (200, 400)}),
    **dict.fromkeys(("input twice", "long contents", "wrong length"), {(200, 400)}),
    # FP16 as JSON.
    **dict.fromkeys(("good", "other name"), {(400, 200)}),
    # Nested as it was in JSON.
    "other rank": {(200, 400), (400, 200)},
}
#: Kinds of requests without binary forms.
EVERY_KIND = 17


def differences(
    theirs: str, ours: str, requests: list[Asked]
) -> Iterator[tuple[str, tuple[int, int], Answer, Answer, Asked]]:
    """Yield (kind of request, both statuses, both answers, request) where answers differ."""
    for asked in requests:
        left, right = ask(theirs, asked), ask(ours, asked)
        if right.status != 200:
            assert list(right.document) == ["error"], asked
        if left.content_type == "text/plain" and left.arrays:
            # KServe's answers in binary form.
            left = left._replace(content_type=right.content_type)
        if left.status != right.status or (left.status == 200 and left != right):
            yield asked.kind, (left.status, right.status), left, right, asked


def compare(
    theirs: str, ours: str, requests: list[Asked], known: dict[str, set[tuple[int, int]]]
) -> None:
    assert len({asked.kind for asked in requests}) >= EVERY_KIND
    unknown = [
        found
        for found in differences(theirs, ours, requests)
        if found[1] not in known.get(found[0], ())
    ]
    assert not unknown, f"{len(unknown)} differences, the first ones are {unknown[:3]}"


def served(folder: Path, store: Path) -> Server:
    settings = {"load_models": "all", "default_workers_per_model": "1", "model_store": str(store)}
    return Server(folder / "server", settings)


def address_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.inference.address.port}"


@pytest.mark.skipif(not oracles.TRITON, reason="TRITON_PYTHON names no Python with nvidia-pytriton")
def test_answers_are_tritons(tmp_path: Path, is_full: bool) -> None:
    oracles.write_triton_models(tmp_path / "models")
    made = Requests(5, has_binary=True)
    requests = [made.next() for _ in range(5 * REQUESTS if is_full else REQUESTS)]
    server = served(tmp_path, tmp_path / "models")
    try:
        server.start()
        with oracles.triton(tmp_path / "models") as theirs:
            compare(theirs.rest, address_of(server), requests, TRITON_DIFFERENCES)
    finally:
        server.stop()


@pytest.mark.skipif(not oracles.MLSERVER, reason="MLSERVER_PYTHON names no Python with mlserver")
def test_answers_are_mlservers(tmp_path: Path, is_full: bool) -> None:
    oracles.write_mlserver_model(tmp_path / "models" / "echo")
    own = oracles.write_mlserver_model(tmp_path / "own")
    made = Requests(6, has_binary=False)
    requests = [
        asked if asked.model == "nobody" else asked._replace(model="echo")
        for asked in (made.next() for _ in range(5 * REQUESTS if is_full else REQUESTS))
    ]
    server = served(tmp_path, tmp_path / "models")
    try:
        server.start()
        with oracles.mlserver(own) as theirs:
            compare(theirs.rest, address_of(server), requests, MLSERVER_DIFFERENCES)
    finally:
        server.stop()


@pytest.mark.skipif(not oracles.KSERVE, reason="KSERVE_PYTHON names no Python with kserve")
def test_answers_are_kserves(tmp_path: Path, is_full: bool) -> None:
    oracles.write_handler(tmp_path / "models" / "echo")
    made = Requests(7, has_binary=True)
    requests = []
    for asked in (made.next() for _ in range(5 * REQUESTS if is_full else REQUESTS)):
        if asked.contents:
            # It reads no binary tensors of other types.
            headers = {**asked.headers, "Content-Type": "application/octet-stream"}
            asked = asked._replace(headers=headers)
        requests.append(asked if asked.model == "nobody" else asked._replace(model="echo"))
    server = served(tmp_path, tmp_path / "models")
    try:
        server.start()
        with oracles.kserve(tmp_path / "kserve") as theirs:
            compare(theirs.rest, address_of(server), requests, KSERVE_DIFFERENCES)
    finally:
        server.stop()
