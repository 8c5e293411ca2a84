"""Requests of the Open Inference Protocol and of KServe's first one, generated: good ones, and ones with a fault of a
known kind.

Each has a header `X-Fuzz` that says what must come of it: `good` (200), `bad` (4xx), or `any` (no 5xx).
"""

from __future__ import annotations

import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

from request_mutations import INFERENCE

#: Of the model that answers with its inputs.
HANDLER = "def handle(data, context):\n    return [item['inputs'] for item in data or ()]\n"
#: struct's letter, lowest and highest value.
_WHOLE = {
    "UINT8": ("B", 0, 2**8 - 1),
    "UINT16": ("H", 0, 2**16 - 1),
    "UINT32": ("I", 0, 2**32 - 1),
    "UINT64": ("Q", 0, 2**64 - 1),
    "INT8": ("b", -(2**7), 2**7 - 1),
    "INT16": ("h", -(2**15), 2**15 - 1),
    "INT32": ("i", -(2**31), 2**31 - 1),
    "INT64": ("q", -(2**63), 2**63 - 1),
}
_FRACTIONS = {"FP16": "e", "FP32": "f", "FP64": "d"}
_DATATYPES = ("BOOL", *_WHOLE, *_FRACTIONS, "BF16", "BYTES")
_CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
_STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 2**63, 10**30, "", "x", [], [[]], [None], {}, {"a": 1}),
    *([-1], [2**62, 2**62], [1.0], "FP32", ["x"], [1, "x"], [[1], [2, 3]], [1e400], "\x00"),
)


class TensorRequests:
    """The same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def next(self) -> tuple[str, bytes]:
        """Return (listener, request)."""
        chance = self._random
        document, contents = self._good()
        kind = chance.random()
        if chance.random() < 0.2:
            return INFERENCE, self._rows()
        if kind < 0.4:
            return INFERENCE, self._request(document, contents, "good")
        if kind < 0.7:
            return INFERENCE, self._request(*self._with_fault(document, contents))
        if kind < 0.85:
            return INFERENCE, self._request(*self._with_something_strange(document, contents))
        return INFERENCE, self._with_broken_bytes(document, contents)

    # Rows of JSON

    def _rows(self) -> bytes:
        """A request of KServe's first protocol; the model reads rows that are no tensors, too."""
        chance = self._random
        names = chance.sample(("a", "b", "b64", "ä"), chance.choice((0, 0, 1, 2)))
        width = chance.choice((0, 1, 3))
        rows: list[Any] = []
        for _ in range(chance.choice((0, 1, 2, 5))):
            datatype = chance.choice(("BOOL", "INT64", "FP64", "BYTES"))
            row = [self._value(datatype, is_binary=False) for _ in range(max(width, len(names)))]
            if names:
                rows.append(dict(zip(names, row, strict=False)))
            else:
                rows.append(row if width else chance.choice((1, 2.5, "x", {"b64": "AAE="})))
        document: dict[str, Any] = {chance.choice(("instances", "instances", "inputs")): rows}
        wanted = "good"
        fault = chance.random()
        if fault < 0.1:
            document, wanted = {"instances": chance.choice((3, "x", None, {}))}, "any"
        elif fault < 0.3:
            rows.append(chance.choice(_STRANGE))
            wanted = "any"
        text = json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "replace")
        if fault > 0.9:
            text, wanted = text[: chance.randint(0, len(text) - 1)], "bad"
        lines = ["POST /v1/models/tensors:predict HTTP/1.1", "Host: localhost", f"X-Fuzz: {wanted}"]
        lines.append(f"Content-Length: {len(text)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + text

    # Good ones

    def _good(self) -> tuple[dict[str, Any], list[bytes]]:
        chance = self._random
        inputs = []
        outputs = []
        contents = []
        for place in range(chance.choice((1, 1, 1, 2, 3))):
            name = chance.choice(("x", "ä", "a b", '"', "\\", "data", "é\u2028")) + str(place)
            datatype = chance.choice(_DATATYPES)
            shape = [chance.choice((0, 1, 1, 2, 3, 5)) for _ in range(chance.choice((0, 1, 2, 3)))]
            if chance.random() < 0.02:
                shape = [chance.choice((3000, 20_000))]
            count = 1
            for size in shape:
                count *= size
            is_binary = chance.random() < 0.5
            values = [self._value(datatype, is_binary=is_binary) for _ in range(count)]
            tensor: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
            if is_binary:
                content = _binary(datatype, values)
                contents.append(content)
                tensor["parameters"] = {"binary_data_size": len(content)}
            else:
                is_flat = chance.random() < 0.5 or not shape
                tensor["data"] = values if is_flat else _nested(values, shape)
            inputs.append(tensor)
            # What JSON does not have is asked for in binary form.
            outputs.append(
                {"name": name, "parameters": {"binary_data": is_binary or chance.random() < 0.3}}
            )
        document: dict[str, Any] = {"inputs": inputs, "outputs": outputs}
        if chance.random() < 0.5:
            document["id"] = chance.choice(("", "7", "ü", "x" * 100))
        if chance.random() < 0.3:
            document["parameters"] = chance.choice(
                (
                    {},
                    {"priority": 1},
                    {"timeout": 60_000_000},
                    {"binary_data_output": True, "a": 1.5},
                )
            )
        return document, contents

    def _value(self, datatype: str, *, is_binary: bool) -> Any:
        chance = self._random
        if datatype == "BOOL":
            return chance.random() < 0.5
        if datatype == "BYTES":
            if is_binary:
                return chance.randbytes(chance.choice((0, 1, 3, 40)))
            return chance.choice(("", "a", "ä\x00", "\U0001f600", '"\\', '"data":[1]'))
        if datatype in _WHOLE:
            _, least, most = _WHOLE[datatype]
            return chance.choice((least, most, 0, 1, chance.randint(least, most)))
        if datatype == "BF16" or datatype == "FP16":
            return chance.choice((0.0, -0.0, 1.5, -2.0, 1024.0))
        if is_binary and chance.random() < 0.1:
            return chance.choice((float("nan"), float("inf")))
        return chance.choice((0.0, -1.5, 3.0e38, 1e-38, chance.uniform(-1e6, 1e6)))

    # Bad ones

    def _with_fault(
        self, document: dict[str, Any], contents: list[bytes]
    ) -> tuple[dict[str, Any], list[bytes], str]:
        """One that the protocol forbids, whatever the tensors are."""
        chance = self._random
        tensor = chance.choice(document["inputs"])
        match chance.randrange(12):
            case 0:
                del document["inputs"]
            case 1:
                tensor["datatype"] = chance.choice(("FP8", "float", "", None, 3))
            case 2:
                tensor["shape"] = [*tensor["shape"], chance.choice((-1, 7, 1.5, "1", 2**70))]
                if not all(isinstance(size, int) and size >= 0 for size in tensor["shape"]):
                    return document, contents, "bad"
                # Of no elements there are none however many they are.
                return document, contents, "any" if 0 in tensor["shape"] else "bad"
            case 3:
                del tensor[chance.choice(("name", "datatype", "shape"))]
            case 4:
                document["inputs"].append(dict(tensor))
            case 5:
                document["outputs"].append({"name": "absent"})
            case 6:
                tensor.pop("data", None)
                tensor["parameters"] = {
                    "binary_data_size": chance.choice((-1, 10**9, "4", True, 2**70))
                }
            case 7:
                contents.append(b"\0" * chance.choice((1, 5)))
            case 8:
                document["id"] = chance.choice((5, [], {}, True))
            case 9:
                document["parameters"] = chance.choice(([], "x", {"a": None}, {"timeout": -1}))
            case 10:
                document["outputs"].append(chance.choice((document["outputs"][0], 3, {})))
            case _:
                tensor.pop("data", None)
                tensor["parameters"] = {"shared_memory_region": "r"}
        return document, contents, "bad"

    def _with_something_strange(
        self, document: dict[str, Any], contents: list[bytes]
    ) -> tuple[dict[str, Any], list[bytes], str]:
        """Some member has a value that is strange there."""
        chance = self._random
        place: Any = chance.choice([document, *document["inputs"], *document["outputs"]])
        for _ in range(3):
            name = chance.choice([*place, "data", "parameters", "more"])
            if isinstance(place.get(name), dict) and chance.random() < 0.5:
                place = place[name]
        place[name] = chance.choice(_STRANGE)
        return document, contents, "any"

    def _with_broken_bytes(self, document: dict[str, Any], contents: list[bytes]) -> bytes:
        chance = self._random
        whole = self._request(document, contents, "any")
        head, blank, body = whole.partition(b"\r\n\r\n")
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randint(0, len(body))
            end = at + chance.choice((1, 1, 3, 20))
            body = chance.choice(
                (
                    body[:at],
                    body[:at] + body[end:],
                    body[:at] + chance.randbytes(2) + body[at:],
                    body[:at]
                    + chance.choice((b"NaN", b"]", b"[[", b",,", b'"', b"\xff"))
                    + body[end:],
                )
            )
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        if chance.random() < 0.2:
            length = chance.choice((b"0", b"-1", b"x", b"5", b"99999999999999999999", b"1e1", b""))
            lines.append(b"Inference-Header-Content-Length: " + length)
        return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + blank + body

    def _request(self, document: Any, contents: list[bytes], wanted: str) -> bytes:
        chance = self._random
        text = json.dumps(document, ensure_ascii=chance.random() < 0.5).encode("utf-8", "replace")
        body = text + b"".join(contents)
        lines = ["POST /v2/models/tensors/infer HTTP/1.1", "Host: localhost", f"X-Fuzz: {wanted}"]
        if contents or chance.random() < 0.1:
            lines.append(f"Inference-Header-Content-Length: {len(text)}")
        if chance.random() < 0.1:
            coding = chance.choice(tuple(_CODINGS))
            body = _CODINGS[coding](body)
            lines.append(f"Content-Encoding: {coding}")
        if chance.random() < 0.2:
            lines.append(
                f"Accept-Encoding: {chance.choice(('gzip', 'deflate', 'gzip;q=0', '*', ''))}"
            )
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _nested(values: list[Any], shape: list[int]) -> list[Any]:
    if len(shape) == 1:
        return values
    size = len(values) // shape[0] if shape[0] else 0
    return [_nested(values[at * size : (at + 1) * size], shape[1:]) for at in range(shape[0])]


def _binary(datatype: str, values: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    if datatype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    letter = "?" if datatype == "BOOL" else _FRACTIONS.get(datatype) or _WHOLE[datatype][0]
    return struct.pack(f"<{len(values)}{letter}", *values)
