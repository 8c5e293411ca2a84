"""Workflows are models: the registry has them, and a state file brings them back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mms.errors import Conflict, ServerError
from mms.interfaces.torchserve.front.workflows.model import WorkflowModel
from mms.interfaces.torchserve.front.workflows.registered import Workflows
from mms.serving import RegisterOptions

FUNCTIONS = "def first(data, context):\n    return data and [b'1'] * len(data)\nsecond = first\n"
HANDLER = "def handle(data, context):\n    return data and ['m'] * len(data)\n"
SPEC = "models:\n  m: {url: m, max-workers: 2}\ndag: {first: [m], m: [second]}\n"


def write(store: Path, name: str, spec: str = SPEC, spec_file: str = "s.yaml") -> None:
    workflow = {"workflowName": name, "specFile": spec_file, "handler": "f.py"}
    with zipfile.ZipFile(store / f"{name}.war", "w") as archive:
        archive.writestr("WAR-INF/MANIFEST.json", json.dumps({"workflow": workflow}))
        archive.writestr("s.yaml", spec)
        archive.writestr("f.py", FUNCTIONS)


async def registered(bench: Any, name: str = "w") -> Workflows:
    workflows = Workflows(bench.host, bench.store)
    await workflows.register(f"{name}.war", None, response_timeout_s=None, load_timeout_s=None)
    return workflows


async def test_a_state_file_brings_a_workflow_back_with_its_models(
    make_bench: Any, tmp_path: Path
) -> None:
    state = str(tmp_path / "state.jsonl")
    bench = await make_bench(state_file=state)
    bench.write("m", HANDLER)
    write(bench.store, "w")
    workflows = await registered(bench)
    models = ["w__first", "w__m", "w__second"]
    assert {served.name for served in bench.host.registry.all()} == {"w", *models}
    assert [each.min_workers for each in workflows.get("w").parts] == [1, 2, 1]
    # A model that the workflow asks stays for as long as it does.
    with pytest.raises(Conflict):
        await bench.host.unregister("w__m")
    described = bench.described("w")
    assert [node["model"] for node in described["graph"]["nodes"]] == models

    again = await make_bench(state_file=state)
    again.write("m", HANDLER)
    await again.host.load_startup_models()
    back = again.host.registry.get("w")
    assert isinstance(back, WorkflowModel)
    assert [each.min_workers for each in back.parts] == [1, 2, 1]
    await Workflows(again.host, again.store).unregister("w")
    assert again.host.registry.all() == []


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("models: {m: {url: absent.mar}}\ndag: {first: [m]}", "absent.mar"),
        ("models: {m: {url: w.war}}\ndag: {first: [m]}", "cannot be a workflow itself"),
        ("models: {m: {url: ../m}}\ndag: {first: [m]}", "elative path"),
        ("models: {m: {url: 'file:///etc/passwd'}}\ndag: {first: [m]}", "allowed_urls|match"),
        (
            "models: {m: {url: m, max-workers: 900}}\ndag: {first: [m]}",
            "901 workers together; 5",
        ),
    ],
)
async def test_a_workflow_that_cannot_be_leaves_no_model(
    make_bench: Any, spec: str, told: str
) -> None:
    bench = await make_bench(max_workers_per_model=5, allowed_urls=("https://.*",))
    bench.write("m", FUNCTIONS)
    write(bench.store, "w", spec)
    with pytest.raises(ServerError, match=told):
        await registered(bench)
    assert bench.host.registry.all() == []


async def test_its_specification_is_a_file_of_the_archive(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SPEC)
    for spec_file in ("../s.yaml", str(tmp_path / "s.yaml"), "absent", "a\0b"):
        write(bench.store, "w", spec_file=spec_file)
        with pytest.raises(ServerError, match="has no"):
            await bench.host.register(RegisterOptions("w.war"))
    assert bench.host.registry.all() == []
