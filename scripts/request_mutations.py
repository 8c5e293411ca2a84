"""Requests that are nearly good: seeded mutations of requests to every API, the same for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

INFERENCE = "inference"
MANAGEMENT = "management"


def _request(method: str, path: str, body: bytes | None = None, *lines: str) -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", *lines]
    if body is not None:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + (body or b"")


_JSON = "Content-Type: application/json"
_FORM = "Content-Type: application/x-www-form-urlencoded"
_MULTIPART = "Content-Type: multipart/form-data; boundary=bound"
_PARTS = (
    b'--bound\r\nContent-Disposition: form-data; name="data"\r\n\r\nvalue\r\n'
    b'--bound\r\nContent-Disposition: form-data; name="file"; filename="f.json"\r\n'
    b'Content-Type: application/json\r\n\r\n{"a": 1}\r\n--bound--\r\n'
)
_CHUNKS = b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n"
_NDARRAY = b'{"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4.5]]}, "meta": {"tags": {}}}'
_TENSOR = b'{"data": {"tensor": {"shape": [2, 2], "values": [1, 2, 3, 4]}}}'

_TENSORS = (
    b'{"id": "a", "parameters": {"timeout": 60000000, "binary_data_output": true}, "inputs": [{"name": "x", '
    b'"shape": [2], "datatype": "INT32", "data": [1, 2]}], "outputs": [{"name": "x", '
    b'"parameters": {"binary_data": false}}]}'
)
_BINARY_TENSOR = (
    b'{"inputs":[{"name":"x","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":2}}]}'
)

#: (listener, request). Management asks for a model that there is not, so that nothing it says changes anything.
GOOD: tuple[tuple[str, bytes], ...] = (
    (INFERENCE, _request("GET", "/ping")),
    (INFERENCE, _request("GET", "/readyz")),
    (INFERENCE, _request("OPTIONS", "/")),
    (INFERENCE, _request("GET", "/api-description")),
    (INFERENCE, _request("OPTIONS", "/predictions/echo")),
    (INFERENCE, _request("HEAD", "/predictions/noop")),
    (INFERENCE, _request("GET", "/predictions/echo?a=b&c=%20d")),
    (INFERENCE, _request("POST", "/predictions/noop", b"x")),
    (INFERENCE, _request("POST", "/predictions/echo", b'{"a": [1, 2.5e3, "x"]}', _JSON)),
    (INFERENCE, _request("POST", "/predictions/echo", b"a=b&c=%C3%A9&d=", _FORM)),
    (INFERENCE, _request("POST", "/predictions/echo/1.0", _PARTS, _MULTIPART)),
    (INFERENCE, _request("POST", "/predictions/echo", b"text", "Content-Type: text/plain")),
    (INFERENCE, _request("POST", "/models/echo/invoke?q=1", _PARTS, _MULTIPART)),
    (INFERENCE, _request("POST", "/invocations?model_name=echo", b"{}", _JSON)),
    (INFERENCE, _request("POST", "/echo/predict?a=b", b"x", "x-request-timeout: 60000")),
    (INFERENCE, _request("PUT", "/predictions/echo", b"x" * 3000, "x-request-priority: low")),
    (
        INFERENCE,
        _request("POST", "/predictions/echo", None, "Transfer-Encoding: chunked") + _CHUNKS,
    ),
    (INFERENCE, _request("POST", "/predictions/noop", b"x", "Expect: 100-continue")),
    (INFERENCE, _request("POST", "/predictions/absent", b"x")),
    (INFERENCE, _request("POST", "/seldon/seldon/predict", _NDARRAY, _JSON)),
    (INFERENCE, _request("POST", "/seldon/ns/seldon/api/v1.0/predictions", _TENSOR, _JSON)),
    (INFERENCE, _request("POST", "/seldon/seldon/api/v0.1/predictions", b"json=%7B%7D", _FORM)),
    (INFERENCE, _request("GET", "/v2")),
    (INFERENCE, _request("GET", "/v2/models/tensors")),
    (INFERENCE, _request("GET", "/v2/models/tensors/versions/1/ready")),
    (INFERENCE, _request("POST", "/v2/models/tensors/infer", _TENSORS, _JSON)),
    (
        INFERENCE,
        _request(
            "POST",
            "/v2/models/tensors/infer",
            _BINARY_TENSOR + b"ab",
            f"Inference-Header-Content-Length: {len(_BINARY_TENSOR)}",
            "Accept-Encoding: gzip",
        ),
    ),
    (INFERENCE, _request("GET", "/seldon/seldon/health/status")),
    (INFERENCE, _request("GET", "/seldon/seldon/predict?json=%7B%22strData%22%3A%22a%22%7D")),
    (INFERENCE, _request("POST", "/v2/models/m1/infer", b'{"inputs": [1, 2]}', _JSON)),
    (INFERENCE, _request("POST", "/v2/models/infer", b'{"model": "m1", "inputs": [5]}', _JSON)),
    (INFERENCE, _request("GET", "/v2/models/m1/ready")),
    (INFERENCE, _request("GET", "/v2/models")),
    (INFERENCE, _request("GET", "/v2/health/ready")),
    (MANAGEMENT, _request("GET", "/models?limit=5&next_page_token=1")),
    (MANAGEMENT, _request("GET", "/models/ghost")),
    (MANAGEMENT, _request("POST", "/models?url=ghost.mar&initial_workers=1&synchronous=true")),
    (MANAGEMENT, _request("POST", "/models", b'{"url": "ghost.mar", "batch_size": 2}', _JSON)),
    (MANAGEMENT, _request("PUT", "/models/ghost?min_worker=1&max_worker=2&timeout=1")),
    (MANAGEMENT, _request("DELETE", "/models/ghost/1.0?timeout=0")),
    (MANAGEMENT, _request("GET", "/metrics", None, "Accept: text/plain")),
    (MANAGEMENT, _request("OPTIONS", "/")),
)

_TOKENS: tuple[bytes, ...] = (
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\xff", b"%00", b"%zz", b"%"),
    *(b"Content-Length: 0\r\n", b"Content-Length: 99999999999\r\n", b"Content-Length: -1\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n"),
    *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"Host: a\r\n"),
    *(
        b"Content-Encoding: gzip\r\n",
        b"Content-Type: application/json\r\n",
        b"x-request-timeout: 0",
    ),
    *(b"x-request-priority: none\r\n", b"Seldon-Puid: \xff\r\n", b"Authorization: Bearer x\r\n"),
    *(b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1", b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"TRACE "),
    *(b"/../", b"/..%2f", b"//", b"?", b"&", b"=", b"#", b"*", b"http://x/", b"/v2/models/", b"+"),
    *(b"{", b"}", b"[", b"]", b'"', b",", b"null", b"1e400", b"NaN", b"-0", b"\\ud800", b"\\u0000"),
    *(b"[" * 2000, b'{"a":' * 1500, b"9" * 5000, b"A" * 5000, b"a: b\r\n" * 300, b"--bound\r\n"),
    *(b"--bound--", b'name=""', b"filename*=utf-8''a", b"ffffffff\r\n", b"0\r\n\r\n", b"binData"),
    *(b"tensor", b"ndarray", b"tftensor", b"jsonData", b"strData", b"shape", b"inputs", b"meta"),
    *(b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xf0\x9f\x98\x80", b"\xc3\x28"),
)
_LENGTH = re.compile(rb"Content-Length: \d+")


class Mutations:
    """An endless, seeded row of (listener, bytes to send)."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def next(self) -> tuple[str, bytes]:
        chance = self._random
        listener, data = chance.choice(GOOD)
        kind = chance.random()
        if kind < 0.1:
            # As it is, or several behind each other.
            others = [found for own, found in GOOD if own == listener]
            return listener, data + b"".join(chance.choices(others, k=chance.randint(0, 3)))
        if kind < 0.45:
            return listener, self._with_body(data)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 8))):
            data = self._change(data)
        return listener, data

    def _with_body(self, data: bytes) -> bytes:
        """Return the head as it is, so that the body is looked at."""
        head, blank, body = data.partition(b"\r\n\r\n")
        if not body or b"Transfer-Encoding" in head:
            return self._change(data)
        for _ in range(self._random.choice((1, 1, 2, 4))):
            body = self._change(body)
        return _LENGTH.sub(b"Content-Length: %d" % len(body), head) + blank + body

    def _change(self, data: bytes) -> bytes:
        chance = self._random
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.choice((1, 1, 2, 4, 16, 64)))
        match chance.randrange(8):
            case 0:
                return data[:at] + chance.randbytes(chance.choice((1, 1, 2, 8))) + data[at:]
            case 1:
                return data[:at] + data[end:]
            case 2:
                return data[:at] + data[at:end] * chance.choice((2, 3, 50)) + data[end:]
            case 3:
                return data[:at]
            case 4:
                lines = data.split(b"\r\n")
                lines.insert(chance.randint(0, len(lines)), chance.choice(lines))
                return b"\r\n".join(lines)
            case 5:
                return (
                    data[:at]
                    + bytes(byte ^ 1 << chance.randrange(8) for byte in data[at:end])
                    + data[end:]
                )
            case _:
                return (
                    data[:at]
                    + chance.choice(_TOKENS)
                    + data[at if chance.random() < 0.5 else end :]
                )


def pieces_of(data: bytes, chance: random.Random) -> Sequence[bytes]:
    """Return how it is sent: mostly at once."""
    if chance.random() < 0.8 or len(data) < 2:
        return [data]
    at = chance.randrange(1, len(data))
    return [data[:at], data[at:]]
