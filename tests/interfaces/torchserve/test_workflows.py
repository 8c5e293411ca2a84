"""What a workflow's specification says, and how its nodes are asked."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mms.errors import BadRequest, RequestTimeout, ServerError, WorkerFailure
from mms.interfaces.torchserve.front.workflows.archive import WorkflowNotFound, read_archive
from mms.interfaces.torchserve.front.workflows.run import Input, NodeFailed, run
from mms.interfaces.torchserve.front.workflows.specification import (
    InvalidDag,
    InvalidWorkflow,
    read_specification,
)
from mms.serving.model_client import ModelAnswer

DIAMOND = b"models: {}\ndag: {start: [a, b], a: [end], b: [end]}"


def test_a_specification_says_how_its_nodes_run_and_in_which_order() -> None:
    found = read_specification(
        b"models:\n  batch-size: 4\n  m: {url: m.mar, max-workers: 2, timeout-ms: 500}\n"
        b"dag:\n  before: [m]\n  m: [after]\n"
    )
    assert found.order == ["before", "m", "after"]
    assert (found.leaves, found.dag_text) == (["after"], "{before=[m], m=[after]}")
    model, function = found.rules["m"], found.rules["before"]
    assert (model.url, model.workers, model.batch_size, model.timeout_s) == ("m.mar", 2, 4, 0.5)
    assert (function.url, function.workers, function.batch_size) == ("", 1, 1)
    assert read_specification(DIAMOND).parents["end"] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (b"- 1", InvalidWorkflow, "models: and dag:"),
        (b"models: {m: {}}\ndag: {m: [a]}", InvalidWorkflow, "has no url"),
        (b"models: {batch-size: 0}\ndag: {m: [a]}", InvalidWorkflow, "batch-size"),
        (b"models: {}\ndag: {a: [b], b: [a]}", InvalidDag, "only one start node"),
        (b"models: {}\ndag: {a: [b], b: [c], c: [b]}", InvalidDag, "not a valid DAG"),
        (b"models: {}\ndag: {a: [1]}", InvalidDag, "no names"),
        (b"a: &x [*x]", InvalidWorkflow, "no YAML"),
        (
            b"models: {}\ndag: {a: [" + b",".join(b"n%d" % n for n in range(200)) + b"]}",
            InvalidDag,
            "are the most",
        ),
    ],
)
def test_a_specification_that_cannot_be_is_refused_with_its_reason(
    text: bytes, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_specification(text)


def write(path: Path, spec: str, handler: str = "f.py") -> None:
    workflow = {"workflowName": path.stem, "specFile": "spec.yaml", "handler": handler}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("WAR-INF/MANIFEST.json", json.dumps({"workflow": workflow}))
        archive.writestr("spec.yaml", spec)


def test_an_archive_is_read_where_it_lies_and_nowhere_else(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    write(store / "w.war", DIAMOND.decode())
    found = read_archive(store, "w.war")
    assert (found.name, found.handler, found.specification.order[0]) == ("w", "f.py", "start")
    write(tmp_path / "out.war", DIAMOND.decode())
    (store / "link.war").symlink_to(tmp_path / "out.war")
    for url in ("absent.war", "../out.war", "link.war", ""):
        with pytest.raises(WorkflowNotFound):
            read_archive(store, url)
    for url in ("http://host/w.war", "/etc/passwd"):
        with pytest.raises(BadRequest, match="name of an archive"):
            read_archive(store, url)
    (store / "text.war").write_text("no archive")
    write(store / "bare.war", DIAMOND.decode(), handler="")
    write(store / "large.war", "#" * (2 << 20))
    for name, words in (("text", "no archive"), ("bare", "no handler"), ("large", "larger")):
        with pytest.raises(InvalidWorkflow, match=words):
            read_archive(store, f"{name}.war")


def answers(text: bytes, status: int = 200) -> ModelAnswer:
    return ModelAnswer(status, b"", b"", text)


def ran(spec: bytes, answer: Callable[[str, bytes], ModelAnswer]) -> tuple[bytes, list[str]]:
    """Return a workflow's answer, and the nodes in the order in which they were asked."""
    asked: list[str] = []

    async def ask(node: str, given: Input) -> ModelAnswer:
        asked.append(node)
        await asyncio.sleep(0)
        return answer(node, bytes(given.body))

    return asyncio.run(run(read_specification(spec), Input(b"", b"x"), ask)), asked


def test_nodes_are_given_what_those_before_them_have_answered() -> None:
    told, asked = ran(DIAMOND, lambda node, body: answers(b"%s(%s)" % (node.encode(), body)))
    assert asked == ["start", "a", "b", "end"]
    assert b"a(start(x))" in told and b"b(start(x))" in told and b'name="a"' in told
    told, _ = ran(
        b"models: {}\ndag: {start: [a, b]}", lambda node, _: answers(b'{"n": "%s"}' % node.encode())
    )
    assert json.loads(told) == {"a": {"n": "a"}, "b": {"n": "b"}}
    with pytest.raises(NodeFailed, match="JSON object"):
        ran(b"models: {}\ndag: {start: [a, b]}", lambda node, _: answers(b"text"))


def test_a_node_that_fails_ends_the_workflow_with_its_status_and_is_tried_again_where_that_helps() -> (
    None
):
    def refuse(node: str, body: bytes) -> ModelAnswer:
        if node == "a":
            raise WorkerFailure("broken", 507)
        return answers(b"1", 400 if node == "b" else 200)

    asked: list[str] = []

    def note(node: str, body: bytes) -> ModelAnswer:
        asked.append(node)
        return refuse(node, body)

    with pytest.raises(ServerError) as caught:
        ran(b"models: {}\ndag: {start: [a]}", note)
    assert (caught.value.http_status, asked) == (507, ["start", "a", "a"])
    asked.clear()
    with pytest.raises(NodeFailed) as failed:
        ran(b"models: {}\ndag: {start: [b]}", note)
    assert (failed.value.http_status, asked) == (400, ["start", "b"])


def test_a_node_that_takes_too_long_is_given_up() -> None:
    spec = read_specification(b"models: {timeout-ms: 1, retry-attempts: 0}\ndag: {start: [a]}")
    ended = []

    async def ask(node: str, given: Input) -> ModelAnswer:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(node)
        raise AssertionError

    with pytest.raises(RequestTimeout, match="start has not answered"):
        asyncio.run(run(spec, Input(b"", b""), ask))
    assert ended == ["start"]
