"""What is asked of an identity model that is written to MLRun's contract, and of the same as a handler of MMS."""

from __future__ import annotations

import json
from typing import Final

from benchmarks.deployment import MODEL_NAME, Answer, Form, WorkKind

#: The flowers' classic: a row of four numbers.
ROWS: Final = [[5.1, 3.5, 1.4, 0.2]]
#: Kind of work -> (file of the model, handler, interface, path).
MODELS: Final[dict[WorkKind, tuple[str, str, str, str]]] = {
    "infer-class": (
        "InferClass.py",
        "InferClass:Identity",
        "mlrun",
        f"/v2/models/{MODEL_NAME}/infer",
    ),
    "infer-handler": (
        "infer_handler.py",
        "infer_handler:handle",
        "mms",
        f"/predictions/{MODEL_NAME}",
    ),
}


def infer_form(kind: WorkKind) -> Form:
    body = json.dumps({"inputs": ROWS}).encode()
    return Form((MODELS[kind][3],), body, {"Content-Type": "application/json"})


def is_inferred(answer: Answer) -> bool:
    return bool(json.loads(answer.body)["outputs"] == ROWS)
