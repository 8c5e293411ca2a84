"""What is asked of models of MLRun's contract: of one alone, of the same as a handler of MMS, of three that vote."""

from __future__ import annotations

import json
from typing import Final

from benchmarks.deployment import MODEL_NAME, Answer, PeerRequest, WorkKind

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


#: The three that vote, by how long each takes as a share of the slowest.
VOTERS: Final = {"m1": 0.25, "m2": 0.5, "m3": 1.0}
_ENSEMBLE: Final = "VotingEnsemble"
#: Kind of work -> path. Both are asked of the same server, with all three models.
VOTES: Final[dict[WorkKind, str]] = {
    "infer-ensemble": f"/v2/models/{_ENSEMBLE}/infer",
    "infer-child": f"/v2/models/{max(VOTERS, key=lambda name: VOTERS[name])}/infer",
}


def ensemble_spec(slowest_ms: float, code: str) -> str:
    """Return the serving spec of the three, with the code of their class inside."""
    routes = {
        name: {
            "class_name": "Voter",
            "class_args": {"model_path": "", "sleep_s": share * slowest_ms / 1000},
        }
        for name, share in VOTERS.items()
    }
    graph = {
        "kind": "router",
        "class_name": f"mlrun.serving.{_ENSEMBLE}",
        "class_args": {"vote_type": "regression"},
        "routes": routes,
    }
    return json.dumps(
        {"function_uri": MODEL_NAME, "graph": graph, "filename": "voters.py", "code": code}
    )


def model_spec() -> str:
    """Return the serving spec of the class that gives back what it gets."""
    route = {"class_name": "Identity", "class_args": {"model_path": ""}}
    return json.dumps({"graph": {"kind": "router", "routes": {MODEL_NAME: route}}})


def vote_request(kind: WorkKind) -> PeerRequest:
    body = json.dumps({"inputs": ROWS}).encode()
    return PeerRequest((VOTES[kind],), body, {"Content-Type": "application/json"})


def is_voted(answer: Answer) -> bool:
    """Check the answer: all models sum the row up, and so does their mean."""
    (total,) = json.loads(answer.body)["outputs"]
    return abs(float(total) - sum(ROWS[0])) < 1e-9


def infer_request(kind: WorkKind) -> PeerRequest:
    body = json.dumps({"inputs": ROWS}).encode()
    return PeerRequest((MODELS[kind][3],), body, {"Content-Type": "application/json"})


def is_inferred(answer: Answer) -> bool:
    return bool(json.loads(answer.body)["outputs"] == ROWS)
