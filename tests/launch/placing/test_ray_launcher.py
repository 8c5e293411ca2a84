"""Workers on nodes, from their place to their end, with processes in place of Ray's actors."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from fake_node import FakeNode
from support.link_listener import Listener

from mms.errors import ConfigurationError
from mms.launch import LaunchFailed, ProcessLauncher, WorkerSpec
from mms.launch.nodes.link import HostedLink
from mms.launch.ray.launcher import RayLauncher, RayOptions
from mms.wire import Load

FAKE = Path(__file__).parents[1] / "fake_ray"
HANDLER = """
import os
print("loaded by", os.environ["TOKEN"], os.environ.get("HOME_OF_MODEL"))

def handle(data, context):
    return ["x"]
"""
Make = Callable[[RayOptions], RayLauncher]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short path, as sockets take no long ones."""
    with tempfile.TemporaryDirectory(prefix="mmsr-") as folder:
        yield Path(folder)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    node = FakeNode(tmp_path)
    yield node
    node.close()


@pytest.fixture
async def make(
    tmp_path: Path, node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Make]:
    """Make a launcher. Its folder of models on the node is one of the test's own."""
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("FAKE_NODE", node.path)
    (tmp_path / "s").mkdir()
    local = ProcessLauncher(tmp_path / "s", hello_timeout_s=5)
    await local.start()
    made: list[RayLauncher] = []

    def make(options: RayOptions) -> RayLauncher:
        made.append(RayLauncher(options, local))
        return made[-1]

    yield make
    for launcher in made:
        await launcher.close()
    await local.close()


def spec_of(tmp_path: Path, **more: object) -> WorkerSpec:
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "service.py").write_text(HANDLER)
    variables = {**os.environ, "TOKEN": "t1", "HOME_OF_MODEL": str(folder)}
    load = Load("m", None, str(folder), "service:handle")
    return WorkerSpec("W-m-0", "key", "python", load, variables, launcher="ray", **more)  # type: ignore[arg-type]


async def loaded(launcher: RayLauncher, spec: WorkerSpec, listener: Listener) -> HostedLink:
    link = await launcher.launch(spec, listener, 30)  # type: ignore[arg-type]
    assert (await link.load(30)).code == 200
    assert isinstance(link, HostedLink)
    return link


async def test_workers_come_by_tls_share_the_model_s_folder_and_leave_nothing(
    make: Make, tmp_path: Path
) -> None:
    launcher = make(RayOptions(address="auto", listen=("127.0.0.1", 0)))
    listeners = [Listener(), Listener()]
    environment = {"env_vars": {"TOKEN": "t2"}}
    spec = spec_of(tmp_path, resources={"num_gpus": 1}, runtime_env=environment)
    links = await asyncio.gather(*(loaded(launcher, spec, each) for each in listeners))
    root = tmp_path / f"mms-node-{os.getuid()}"
    (folder,) = {name.partition(".")[0] for name in os.listdir(root) if name.endswith(".lock")}
    for link, listener in zip(links, listeners, strict=True):
        assert link.node == "127.0.0.1 (fake0000)"
        # It is known by its node alone.
        assert link.pid == 0
        assert link._load.gpu_id == 0
        of_node = root / folder / "content" / "model"
        assert f"stdout: loaded by t2 {of_node}" in listener.output
        assert listener.waiting[-1] == ""
    links[0].kill("seen")
    links[1].drain()
    assert await links[1].end_reason() == "exit code 0"
    await asyncio.gather(*launcher._reapers)
    assert os.listdir(root) == []


async def test_a_worker_on_the_server_s_machine_dials_its_unix_socket(
    make: Make, tmp_path: Path
) -> None:
    launcher = make(RayOptions(address="local"))
    link = await loaded(launcher, spec_of(tmp_path), Listener())
    assert link.pid > 0
    os.kill(link.pid, 9)
    assert await link.end_reason() == "killed by SIGKILL"
    # The host says what its keeper saw, and nobody else is asked.
    await asyncio.gather(*launcher._reapers)


async def test_a_worker_that_cannot_start_on_its_node_says_why(make: Make, tmp_path: Path) -> None:
    launcher = make(RayOptions(address="local"))
    spec = spec_of(tmp_path)
    spec.runtime = "/no/such/python"
    with pytest.raises(LaunchFailed, match=r"on node 127.0.0.1 \(fake0000\): runtime /no/such"):
        await launcher.launch(spec, Listener(), 30)  # type: ignore[arg-type]


async def test_workers_outlive_the_process_that_talks_to_ray(
    make: Make, tmp_path: Path, node: FakeNode
) -> None:
    launcher = make(RayOptions(address="local"))
    spec = spec_of(tmp_path)
    kept, given_up = [await loaded(launcher, spec, Listener()) for _ in range(2)]
    process = launcher._placer._process
    assert process is not None
    process.kill()
    await process.ended
    given_up.kill("seen")
    # Another one finds the worker again: it says how that ends, and ends the other one's actor.
    later = await loaded(launcher, spec, Listener())
    assert not kept.closed.done()
    assert launcher._placer._process not in (None, process)
    os.kill(kept.pid, 9)
    assert await kept.end_reason() == "killed by SIGKILL"
    later.drain()
    assert await later.end_reason() == "exit code 0"
    await asyncio.gather(*launcher._reapers)
    await asyncio.to_thread(wait_for_all, node)


async def test_a_worker_without_a_node_is_placed_anew_by_the_next_process_that_talks_to_ray(
    make: Make, tmp_path: Path
) -> None:
    launcher = make(RayOptions(address="local"))
    await launcher.start()
    process = launcher._placer._process
    assert process is not None
    process.kill()
    link = await loaded(launcher, spec_of(tmp_path), Listener())
    assert launcher._placer._process is not process
    assert not link.closed.done()


async def test_a_worker_that_asks_for_a_node_just_as_the_connection_to_ray_is_lost_gets_one(
    make: Make, tmp_path: Path
) -> None:
    launcher = make(RayOptions(address="local"))
    await launcher.start()
    placer = launcher._placer
    connect = placer.connect

    async def lose_when_connected() -> str:
        placer.connect = connect  # type: ignore[method-assign]
        address = await connect()
        placer._lose("as a test wants it")
        return address

    placer.connect = lose_when_connected  # type: ignore[method-assign]
    link = await loaded(launcher, spec_of(tmp_path), Listener())
    assert not link.closed.done()


def wait_for_all(node: FakeNode) -> None:
    """Wait until all actors have ended: none of these tests ends without it."""
    for actor in [*node.actors.values()]:
        actor.wait(20)


async def test_a_cluster_that_is_not_there_is_told_at_the_start(make: Make) -> None:
    launcher = make(RayOptions(address="unreachable:1"))
    with pytest.raises(ConfigurationError, match="ray_address=unreachable:1: Ray: there is no"):
        await launcher.start()
