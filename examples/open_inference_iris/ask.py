"""Asks the model over HTTP, with nothing but Python's own library. Run: python ask.py [address]."""

from __future__ import annotations

import json
import sys
import urllib.request

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
irises = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def call(path: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{address}{path}", data) as answer:
        return json.load(answer)


for tensor in call("/v2/models/iris")["inputs"]:
    print(f"takes {tensor['name']}: {tensor['datatype']} {tensor['shape']}")
answer = call(
    "/v2/models/iris/infer",
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": irises}]},
)
for output in answer["outputs"]:
    print(f"{output['name']}: {output['data']}")
