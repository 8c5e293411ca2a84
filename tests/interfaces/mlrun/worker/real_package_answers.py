"""Opens a model as a worker does, in a Python with the installed package, and prints what it answers as JSON.

Arguments: the model's folder, LOAD's part for model servers as JSON.
Standard input: a list of [operation, body, method].
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[3])]

from mlrun_served import ServedModel, item  # noqa: E402  # found by the path above

from mms.wire import Load  # noqa: E402
from mms.worker.loading.load import load_model  # noqa: E402


def main(folder: str, serving: str) -> None:
    calls = json.load(sys.stdin)
    load = Load(
        *("m", None, folder, "served:Model"),
        batch_size=4,
        of_interfaces={"mlrun": json.loads(serving)},
    )
    with contextlib.redirect_stdout(sys.stderr):
        model, loaded = load_model(load)
        if model is None:
            raise SystemExit(f"{loaded.error}\n{loaded.traceback}")
        assert model.items is not None
        served = ServedModel(model.items)  # type: ignore[arg-type]
        answers = answers_of(served, calls)
    file = sys.modules["mlrun"].__file__
    json.dump({"file": file, "interface": loaded.interface, "answers": answers}, sys.stdout)


def answers_of(served: ServedModel, calls: list[list[Any]]) -> list[dict[str, Any]]:
    """Of each call alone, then of the first two as one batch."""
    items = [item(operation, body, method=method) for operation, body, method in calls]
    replies = [served.send(one)[0] for one in items] + served.send(*items[:2])
    return [
        {"status": reply.status, "type": reply.headers["content-type"], "body": reply.text}
        for reply in replies
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
