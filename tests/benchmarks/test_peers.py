from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.archives import build_archive
from benchmarks.cells import all_cells
from benchmarks.cli import main
from benchmarks.deployment import STREAM_PART, Answer, Deployment, Load, Work
from benchmarks.mlrun_requests import ensemble_spec
from benchmarks.peers import Peer, all_peers
from benchmarks.peers.before import Before
from benchmarks.peers.compiled import Compiled
from benchmarks.peers.ours import Ours, project_dependencies
from benchmarks.peers.peer import STREAM
from benchmarks.venvs import Venv

PEERS = list(all_peers().values())
KIB = 1024


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: str(peer.name))
def test_a_json_body_has_the_size_that_was_asked_for(peer: Peer) -> None:
    request = peer.request(Deployment(), KIB)
    if request.headers["Content-Type"] == "application/json":
        json.loads(request.body)
        assert len(request.body) == KIB
    else:
        assert request.body.endswith(b"x" * KIB)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: str(peer.name))
def test_every_package_of_a_peer_is_pinned(peer: Peer) -> None:
    if peer.name == "ours":
        return
    assert peer.package in {
        requirement.partition("==")[0].partition("[")[0] for requirement in peer.requirements
    }
    assert all("==" in requirement or "<" in requirement for requirement in peer.requirements)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: str(peer.name))
def test_only_our_own_server_takes_our_options(peer: Peer) -> None:
    reason = peer.refuses(Deployment(options=(("metrics", "false"),)), Load())
    assert (reason is None) == (peer.name == "ours")


def test_a_wrong_answer_is_not_taken_for_a_right_one() -> None:
    for name in ("ours", "mms", "torchserve", "mosec", "ray"):
        peer = all_peers()[name]
        assert peer.is_right(Deployment(), Answer(200, b"OK"))
        assert not peer.is_right(Deployment(), Answer(200, b"OKOK"))
        digits = Deployment(work=Work("digits"))
        assert peer.is_right(digits, Answer(200, b'{"digit": 4}'))
        assert not peer.is_right(digits, Answer(200, b'{"digit": 5}'))


def test_an_ensemble_and_its_slowest_model_are_asked_of_one_server() -> None:
    ours = all_peers()["ours"]
    requests = {}
    for kind in ("infer-ensemble", "infer-child"):
        deployment = Deployment(work=Work(kind, 10))
        requests[kind] = ours.request(deployment, KIB)
        assert ours.is_right(deployment, Answer(200, b'{"outputs": [10.2]}'))
        assert not ours.is_right(deployment, Answer(200, b'{"outputs": [30.6]}'))
    assert requests["infer-ensemble"].paths == ("/v2/models/VotingEnsemble/infer",)
    assert requests["infer-child"].paths == ("/v2/models/m3/infer",)
    assert requests["infer-ensemble"].body == requests["infer-child"].body
    routes = json.loads(ensemble_spec(10, "code"))["graph"]["routes"]
    slept = [route["class_args"]["sleep_s"] for route in routes.values()]
    assert slept == [0.0025, 0.005, 0.01]


def test_a_stream_is_right_when_all_its_parts_have_come() -> None:
    deployment = Deployment(work=Work("stream"), batch_size=64)
    (cell,) = (cell for cell in all_cells() if cell.deployment == deployment)
    for name in cell.peers:
        peer = all_peers()[name]
        assert peer.is_right(deployment, Answer(200, STREAM))
        assert not peer.is_right(deployment, Answer(200, STREAM[: -len(STREAM_PART)]))


def test_servers_without_batching_or_registration_say_so() -> None:
    peers = all_peers()
    assert peers["seldon"].refuses(Deployment(batch_size=32), None) == "it does not batch"
    assert peers["mosec"].refuses(Deployment(registered_models=10), None) is not None
    assert peers["mms"].refuses(Deployment(registered_models=10, batch_size=32), None) is None


def test_the_archive_names_its_handler_for_all_three_servers(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_archive(tmp_path)) as archive:
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        assert manifest["model"]["handler"] == "archive_handler.py:handle"
        assert {"archive_handler.py", "work.py"} <= set(archive.namelist())


def test_our_own_requirements_are_those_of_the_project() -> None:
    assert any(requirement.startswith("aiohttp") for requirement in project_dependencies())


def test_an_earlier_commit_is_measured_where_the_server_is() -> None:
    before = Before("HEAD")
    assert re.fullmatch("[0-9a-f]{40}", before.commit)
    assert before.venv.folder != Ours().venv.folder
    assert [cell.name for cell in all_cells() if cell.asks(before.asked_as)] == [
        cell.name for cell in all_cells() if cell.asks("ours")
    ]


def test_the_compiled_form_is_measured_where_the_server_is() -> None:
    compiled = Compiled()
    assert compiled.venv.folder != Ours().venv.folder
    assert [cell.name for cell in all_cells() if cell.asks(compiled.asked_as)] == [
        cell.name for cell in all_cells() if cell.asks("ours")
    ]


def test_what_is_compiled_already_is_not_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, made = tmp_path / "root", []
    for folder in ("mms", "archiver"):
        (root / folder).mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "mms/a.py"):
        (root / name).write_text(name)
    monkeypatch.setattr("benchmarks.venvs.VENVS", tmp_path / "venvs")
    monkeypatch.setattr(Venv, "_pip", lambda venv, *arguments, **given: made.append(given))
    for _ in range(2):
        Venv("x").install_project(root, is_compiled=True)
    assert made == [{"MMS_COMPILE": "1"}]
    (root / "mms" / "a.py").write_text("changed")
    Venv("x").install_project(root, is_compiled=True)
    Venv("x").install_project(root)
    Venv("x").install_project(root, is_compiled=True)
    assert [given["MMS_COMPILE"] for given in made] == ["1", "1", "0", "1"]


def test_a_package_that_a_peer_does_without_is_left_out_of_what_others_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: str) -> str:
        commands.append(command)
        (tmp_path / "x").mkdir(exist_ok=True)
        return ""

    monkeypatch.setattr("benchmarks.venvs.VENVS", tmp_path)
    monkeypatch.setattr("benchmarks.venvs._run", run)
    for _ in range(2):
        Venv("x").ensure(["outer==1"], without=["inner"])
    *_, last = commands
    assert Path(last[0]).name == "uv"
    assert last[-1] == "outer==1"
    overrides = Path(last[last.index("--overrides") + 1])
    assert overrides.read_text() == "inner; sys_platform == 'none'\n"
    count = len(commands)
    Venv("x").ensure(["outer==1"])
    assert len(commands) > count


def test_a_commit_that_is_none_is_refused_with_its_name() -> None:
    done = CliRunner().invoke(main, ["--before", "no-such-commit", "--install-only"])
    assert done.exit_code == 2
    assert "no commit is called 'no-such-commit'" in " ".join(done.output.split())
