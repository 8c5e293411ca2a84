"""A few hundred calls for Seldon's wrapper and for ours: as JSON in all places it may come in, and as protobuf."""

from __future__ import annotations

import base64
import itertools
import json
import random
from typing import Any
from urllib.parse import urlencode

from oracle_components import RESULTS

from mms.interfaces.seldon.codec.messages import Feedback, SeldonMessage, SeldonMessageList

ARRAYS: list[Any] = [
    [[1, 2]],
    [[1.0, 2.5], [3, 4]],
    [1, 2, 3],
    [],
    [[]],
    [[], []],
    5,
    2.5,
    None,
    "a",
    ["a", "b"],
    [["a", 1]],
    [[True, False]],
    [[1, None]],
    [{"a": 1}],
    [[1, 2], [3]],
    [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
    [18446744073709551615],
    [9223372036854775807, -1],
    [1e16, 1e-5, 1e300],
    [[0.1 + 0.2, -0.0]],
]
METAS: list[Any] = [
    {},
    {"puid": "123"},
    {"puid": ""},
    {"tags": {"foo": "bar", "shared": "request"}},
    {"metrics": [{"key": "k", "type": "GAUGE", "value": 100}]},
    {"requestPath": {"m": "i:1"}, "routing": {"a": 1}, "unknown": 1},
    None,
    [],
    "text",
]
#: Written in another way than Seldon says, and understood by its wrapper.
HARMLESS: list[Any] = [
    *(
        {"data": {"tensor": tensor}}
        for tensor in (
            {"shape": [-1], "values": [1, 2]},
            {"shape": [-1, 2], "values": [1, 2, 3, 4]},
            {"shape": [2, -1], "values": [1.5, 2, 3, 4]},
            {"shape": [2, 2], "values": [[1, 2], [3, 4]]},
            {"shape": [4], "values": [[1, 2], [3, 4]]},
            {"shape": [1], "values": 5},
            {"shape": [], "values": 5},
            {"shape": 2, "values": [1, 2]},
            {"shape": [1], "values": "ab"},
        )
    ),
    *({"data": {"names": names, "ndarray": [[1, 2]]}} for names in ("a", "ab", "", 5, {"a": 1})),
    *({"meta": {"puid": puid}, "strData": "a"} for puid in (5, 0, 1.5, True, [1], {"a": 1})),
    *({"meta": {name: []}, "strData": "a"} for name in ("tags", "metrics", "routing")),
    *({"meta": {"routing": routing}, "strData": "a"} for routing in (5, "a", {"a": "b"})),
    *({"strData": value} for value in (["a"], [], [[1, 2]], {"a": 1})),
]
MESSAGES: list[Any] = [
    *HARMLESS,
    *({"data": {"names": ["a", "b"], "ndarray": array}} for array in ARRAYS),
    *({"data": {"tensor": {"shape": [1, 2], "values": values}}} for values in ([1, 2], [1.5, 2.0])),
    {"data": {"tensor": {"shape": [2, 1], "values": [1, 2]}, "ndarray": [[7]]}},
    {"data": {"tensor": {"shape": [2, 2], "values": [1]}}},
    {"data": {"tensor": {"shape": [0], "values": []}}},
    {"data": {"tensor": {"shape": [], "values": [1]}}},
    {"data": {"tensor": {"values": [1]}}},
    {"data": {"tensor": {"shape": [1]}}},
    {"data": {"tensor": {"shape": [1, 2], "values": ["a", "b"]}}},
    {"data": {}},
    {"data": {"names": None, "ndarray": [[1]]}},
    {"data": {"names": "ab", "ndarray": [[1]], "unknown": 1}},
    {"data": None},
    {"data": 5},
    {"data": [1, 2]},
    {"data": "ndarray"},
    *(
        {"jsonData": value}
        for value in ({"a": [1, 2.5]}, [1, 2], [], "text", 5, None, True, [[1], [2, 3]])
    ),
    {"strData": "abc"},
    {"strData": "é\u2028\U0001f600\x7f\x00"},
    {"strData": ""},
    {"strData": 5},
    {"strData": None},
    {"binData": "MTIz"},
    {"binData": "@@@"},
    {"binData": "MTI"},
    {"binData": "é"},
    {"binData": 5},
    {"binData": ""},
    {"customData": {}},
    {},
    {"meta": {}},
    {"data": {"ndarray": [[1]]}, "jsonData": 1, "strData": "a"},
    {"jsonData": {"a": 1}, "strData": "a"},
    {"unknown": 1, "strData": "a", "status": {"code": 400}},
    *({"meta": meta, "data": {"ndarray": [[1, 2]]}} for meta in METAS),
    *({"meta": meta, "strData": "a"} for meta in METAS[:6]),
]


def rest_call(component: str, path: str, message: Any, **changes: Any) -> dict[str, Any]:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return {
        "kind": "rest",
        "component": component,
        "path": path,
        "method": "POST",
        "query": "",
        "content_type": "application/json",
        "body": base64.b64encode(body).decode(),
        **changes,
    }


def _form(**fields: Any) -> bytes:
    parts = []
    for name, (filename, content) in fields.items():
        file = f'; filename="{filename}"' if filename else ""
        head = f'--B\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + b"--B--\r\n"


def _random_messages(count: int) -> list[Any]:
    """Arrays of random shape and kind, in random forms, with random names and meta."""
    chosen = random.Random(7)
    makers = (
        lambda: chosen.randint(-(10**6), 10**6),
        lambda: chosen.uniform(-1e3, 1e3),
        lambda: chosen.choice(["x", "y", "ä"]),
        lambda: chosen.random() < 0.5,
    )
    messages = []
    for _ in range(count):
        rows, columns = chosen.randint(0, 4), chosen.randint(1, 5)
        make = chosen.choice(makers)
        values = [[make() for _ in range(columns)] for _ in range(rows)]
        if chosen.random() < 0.5:
            data: dict[str, Any] = {"ndarray": values}
        else:
            flat = list(itertools.chain.from_iterable(values))
            data = {"tensor": {"shape": [rows, columns], "values": flat}}
        if chosen.random() < 0.5:
            data["names"] = [f"n{index}" for index in range(columns)]
        messages.append({"data": data, "meta": chosen.choice(METAS[:6])})
    return messages


def rest_cases() -> list[dict[str, Any]]:
    cases = [
        rest_call("identity", "/predict", message) for message in MESSAGES + _random_messages(120)
    ]
    cases += [rest_call("tagged", "/predict", {**message}) for message in MESSAGES[-16:]]
    for name in RESULTS:
        for request in (
            {"data": {"ndarray": [[1]]}},
            {"data": {"tensor": {"shape": [1], "values": [1]}}},
            {"strData": "a"},
        ):
            cases.append(rest_call(name, "/predict", request))
    lists = [MESSAGES[0:2], [{"strData": "a"}], [{"binData": "MTIz"}], [], [{"x": 1}], ["a"]]
    lists.append([{"strData": "a", "meta": meta} for meta in METAS[1:6]])
    for content in (
        *lists,
        *({"seldonMessages": entry} for entry in (*lists, "x", None)),
        {"wrong": []},
    ):
        cases.append(rest_call("tagged", "/aggregate", content))
    feedbacks: list[Any] = [
        {},
        {"reward": 1.0},
        {"reward": 0.7, "request": {"data": {"ndarray": [[1, 2]]}, "meta": {"puid": "p"}}},
        {"reward": 1, "truth": {"strData": "a"}, "response": {"meta": {"routing": {"0": 1}}}},
        {"request": {"data": {"tensor": {"shape": [1, 1], "values": [1]}}}},
        {"request": {"strData": "a"}},
    ]
    for component in ("identity", "feedback"):
        cases += [rest_call(component, "/send-feedback", feedback) for feedback in feedbacks]
    message = json.dumps({"data": {"ndarray": [[1, 2]]}})
    urlencoded = "application/x-www-form-urlencoded"
    multipart = "multipart/form-data; boundary=B"
    for change in (
        {"method": "GET", "query": urlencode({"json": message}), "content_type": ""},
        {"method": "GET", "query": "json=", "content_type": ""},
        {"method": "GET", "query": "json=[1", "content_type": ""},
        {"method": "GET", "query": "", "content_type": ""},
        {"query": urlencode({"json": '{"strData":"query"}'})},
        {"query": "other=1&json="},
    ):
        body = b"" if change.get("method") == "GET" else message.encode()
        cases.append(rest_call("identity", "/predict", body, **change))
    for content_type in (
        "application/json; charset=utf-8",
        "application/vnd.x+json",
        "APPLICATION/JSON",
        "text/plain",
        "",
        "text/json",
        urlencoded,
    ):
        cases.append(rest_call("identity", "/predict", message.encode(), content_type=content_type))
    for body in (
        urlencode({"json": message}).encode(),
        urlencode([("a", "1"), ("json", message), ("json", "x")]).encode(),
        b"json=%7Bx",
        b"other=1",
    ):
        cases.append(rest_call("identity", "/predict", body, content_type=urlencoded))
    for body in (
        _form(binData=("a.png", b"\x00\xff\x10")),
        _form(strData=("", "é".encode())),
        _form(strData=("a.txt", "é".encode())),
        _form(strData=("a.txt", b"\xff")),
        _form(data=("", b'{"names":["a"],"ndarray":[[1]]}'), meta=("", b'{"puid":"1234"}')),
        _form(binData=("", b"MTIz")),
        _form(binData=("", b'"MTIz"')),
        _form(json=("", message.encode())),
        _form(strData=("", b"text"), binData=("a", b"x")),
        b"",
        b"no form",
    ):
        cases.append(rest_call("identity", "/predict", body, content_type=multipart))
    for bad in (
        b"",
        b"null",
        b"{",
        b'"text"',
        b"5",
        b"\xff",
        b'{"strData": "\\ud800"}',
        b"\xef\xbb\xbf{}",
    ):
        cases.append(rest_call("identity", "/predict", bad))
    for token in (b"NaN", b"Infinity", b"-Infinity"):
        body = b'{"data":{"ndarray":[[' + token + b",1.5]]}}"
        cases.append(rest_call("identity", "/predict", body))
    return cases


def _grpc(component: str, method: str, message: Any) -> dict[str, Any]:
    body = base64.b64encode(message.SerializeToString()).decode()
    return {"kind": "grpc", "component": component, "method": method, "body": body}


def _as_proto(message: Any) -> Any:
    from google.protobuf import json_format

    try:
        return json_format.ParseDict(message, SeldonMessage())
    except (json_format.ParseError, ValueError, TypeError):
        return None


def grpc_cases() -> list[dict[str, Any]]:
    found = [_as_proto(message) for message in MESSAGES + _random_messages(80)]
    messages = [message for message in found if message is not None]
    cases = [_grpc("identity", "Predict", message) for message in messages]
    cases += [_grpc("tagged", "Predict", message) for message in messages[:12]]
    ndarray = SeldonMessage.FromString(messages[0].SerializeToString())
    tensor = SeldonMessage()
    tensor.data.tensor.shape.extend([1])
    tensor.data.tensor.values.extend([1])
    custom = SeldonMessage()
    custom.customData.Pack(ndarray)
    for name in RESULTS:
        for request in (ndarray, tensor, SeldonMessage(strData="a")):
            cases.append(_grpc(name, "Predict", request))
    cases.append(_grpc("identity", "Predict", custom))
    more = SeldonMessage()
    more.data.tensor.shape.extend([2])
    more.data.tensor.values.extend([1, 2, 3])
    cases.append(_grpc("identity", "Predict", more))
    cases.append(_grpc("identity", "Aggregate", SeldonMessageList(seldonMessages=messages[:3])))
    cases.append(_grpc("tagged", "Aggregate", SeldonMessageList(seldonMessages=[custom])))
    feedback = Feedback(request=ndarray, reward=0.7)
    feedback.response.meta.routing["0"] = 3
    for component in ("identity", "feedback"):
        cases.append(_grpc(component, "SendFeedback", feedback))
        cases.append(_grpc(component, "SendFeedback", Feedback()))
    return cases
