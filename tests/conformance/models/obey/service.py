"""Does what the JSON body says, so that a test can state an outcome beside its request."""

from __future__ import annotations

import builtins
import json
import os
import sys
import time

from mms.service import PredictionException

_circular = []
_circular.append(_circular)

# What `handle` returns instead of a list with one element.
_RETURNS = {
    "tuple": ("one",),
    "dict": {"one": 1},
    "str": "one",
    "none": None,
    "generator": (item for item in ["one"]),
    "empty list": [],
    "two": ["one", "two"],
}
# The one element of the list that `handle` returns.
_ELEMENTS = {
    "bytes": b"\x00\xffraw",
    "bytearray": bytearray(b"\x00\xffraw"),
    "object": object(),
    "set": {1},
    "circular": _circular,
    "nan": float("nan"),
    "infinity": [float("inf"), float("-inf")],
    "lone surrogate": "\ud800",
    "number keys": {1: "one"},
    "large": "x" * 20000,
    "rather large": "x" * 6000000,
    "very large": "x" * 7000000,
}


def _wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def handle(data, context):
    if data is None:
        return None
    order = data[0].get("body")
    if isinstance(order, (bytes, bytearray)):
        order = json.loads(order) if order else {}
    if "write" in order:
        print(order["write"])
        print(order["write"], file=sys.stderr)
    if "touch" in order:
        with open(order["touch"], "w"):
            pass
    if "wait for" in order:
        _wait_for(order["wait for"])
    if "sleep" in order:
        time.sleep(order["sleep"])
    if "exit" in order:
        os._exit(order["exit"])
    if "sys.exit" in order:
        sys.exit(order["sys.exit"])
    if "raise" in order:
        raise getattr(builtins, order["raise"])("no")
    if "PredictionException" in order:
        raise PredictionException(*order["PredictionException"])
    if "status" in order:
        context.set_response_status(order["status"], *order.get("phrase", []))
    if "all status" in order:
        context.set_all_response_status(*order["all status"])
    if "content type" in order:
        context.set_response_content_type(0, order["content type"])
    for name, value in order.get("headers", []):
        context.set_response_header(0, name, value)
    if "return" in order:
        return _RETURNS[order["return"]]
    if "element" in order:
        return [_ELEMENTS[order["element"]]]
    return [order.get("value", str(os.getpid()))]
