"""Models of MLRun's contract served in the tests' own process, item by item."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mms.interfaces.mlrun.worker.interface import open_model
from mms.interfaces.mlrun.worker.items import MlrunItems
from mms.wire import Load, ModelOperation
from mms.worker.process.setup import enter_model

ID = b"0123456789abcdef0123456789abcdef0123"
JSON = b"application/json"


@dataclass
class Reply:
    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)

    @property
    def outputs(self) -> Any:
        assert self.status == 200, self
        return self.json()["outputs"]

    @property
    def text(self) -> str:
        return self.body.decode()


class ServedModel:
    """One model that has been opened as a worker does."""

    def __init__(self, items: MlrunItems) -> None:
        self.items = items
        self.told: list[tuple[bool, str]] = []

    @property
    def server(self) -> Any:
        return self.items._context.root

    def start(self) -> None:
        self.items.start(lambda is_ready, error: self.told.append((is_ready, error)))

    def send(self, *items: tuple[Any, ...]) -> list[Reply]:
        replies = []
        for index, result in enumerate(self.items.serve_items(list(items))):
            at, flags, status, phrase, headers, body = result
            assert (at, flags) == (index, 0)
            lines = dict(line.split(": ", 1) for line in headers.decode().splitlines())
            lines = {name.lower(): value for name, value in lines.items()}
            replies.append(Reply(status, phrase.decode(), lines, bytes(body)))
        return replies

    def ask(self, operation: str = "infer", content: Any = None, **members: Any) -> Reply:
        return self.send(item(operation, content, **members))[0]


def open_source(
    folder: Path, source: str, handler: str = "model:Model", **members: Any
) -> ServedModel:
    """Write a module and open it. `members`: of LOAD, and of its part for model servers."""
    folder.mkdir(exist_ok=True)
    # Written where Python keeps nothing of it from another test.
    module = f"model_{folder.name}_{len(sys.modules)}"
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    known = {"model_name", "model_version", "batch_size", "parameters", "calls", "model_files"}
    serving = {name: members.pop(name) for name in list(members) if name not in known}
    load = Load(
        **{
            "model_name": "m",
            "model_version": None,
            "model_dir": str(folder),
            "handler": handler.replace("model:", f"{module}:"),
            "interface": "mlrun",
            "of_interfaces": {"mlrun": serving},
            **members,
        }
    )
    enter_model(load.code_folders)
    model = open_model(load)
    assert isinstance(model.items, MlrunItems)
    return ServedModel(model.items)


def item(
    operation: str,
    content: Any = None,
    *,
    method: str = "POST",
    content_type: bytes = JSON,
    query: bytes = b"",
    headers: str = "Host\nh",
    path: str = "",
    budget_ms: int = 0,
) -> tuple[Any, ...]:
    """An item of a batch. `content`: bytes as they are, anything else as JSON, None for no body."""
    body = b"" if content is None else content
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return (
        ID,
        1,
        content_type,
        query,
        bytearray(headers.encode()),
        budget_ms,
        bytearray(body),
        ModelOperation(operation, method, path),
    )
