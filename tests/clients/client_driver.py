"""Calls a SeldonClient as told on standard input, in whichever Python runs it; started with `seldon_core` on the path.

Each line of input is a JSON object: `call` (a method of the client), `made_with` (the constructor's
arguments) and `arguments`. For each, a line of output: `success`, `msg`, `request`, `response` (messages as
JSON), `response_type`; or `raised` and `msg`.

JSON has no arrays, bytes or messages. An argument is therefore a value of its own or `{"array": [...]}`,
`{"bytes": base64}`, `{"any": text}` (that text as a message in an Any), `{"message": {...}}` (a SeldonMessage), or
`{"earlier": [n, "request" | "response"]}` (of the n-th call) or `{"token": text}` (call credentials).
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
from typing import Any

import numpy as np
from google.protobuf import any_pb2, json_format, wrappers_pb2
from google.protobuf.message import Message
from seldon_core import seldon_client
from seldon_core.proto import prediction_pb2

_outcomes: list[Any] = []


def _argument(value: Any) -> Any:
    if isinstance(value, list):
        return [_argument(item) for item in value]
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return np.array(content)
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "any":
        packed = any_pb2.Any()
        packed.Pack(wrappers_pb2.StringValue(value=content))
        return packed
    if kind == "message":
        return json_format.ParseDict(content, prediction_pb2.SeldonMessage())
    if kind == "earlier":
        return getattr(_outcomes[content[0]], content[1])
    if kind == "token":
        return seldon_client.SeldonCallCredentials(token=content)
    return value


def _as_json(value: Any) -> Any:
    return json_format.MessageToDict(value) if isinstance(value, Message) else value


def answer(line: str) -> dict[str, Any]:
    asked = json.loads(line)
    arguments = {name: _argument(value) for name, value in asked["arguments"].items()}
    made_with = {name: _argument(value) for name, value in asked["made_with"].items()}
    client = seldon_client.SeldonClient(**made_with)
    try:
        outcome = getattr(client, asked["call"])(**arguments)
    except Exception as error:
        _outcomes.append(None)
        return {"raised": type(error).__name__, "msg": str(error)}
    _outcomes.append(outcome)
    return {
        "success": outcome.success,
        "msg": outcome.msg,
        "request": _as_json(outcome.request),
        "response": _as_json(outcome.response),
        "response_type": type(outcome.response).__name__,
        "shown": repr(outcome),
    }


def main() -> None:
    logging.disable(logging.CRITICAL)
    # Standard output is for the answers, whatever the package prints.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"package": seldon_client.__file__}), file=output, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(line)), file=output, flush=True)


if __name__ == "__main__":
    main()
