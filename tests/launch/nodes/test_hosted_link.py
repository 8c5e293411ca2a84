"""What the host of a worker says, and what is not believed of it."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from support.link_listener import Listener

from mms.launch.line_turns import LineTurns
from mms.launch.nodes.assignment import travelling
from mms.launch.nodes.link import HostedLink
from mms.launch.nodes.relocation import relocated
from mms.wire import LOADED, Load, ProtocolError
from mms.wire.frames import EXITED, HOSTED, OUTPUT, USAGE
from mms.wire.hosts import MOST_LINES, Exited, Hosted, Usage, encode_output
from mms.wire.messages import ROLE_HOST, ROLE_WORK


def new_link() -> tuple[HostedLink, Listener]:
    listener = Listener()
    load = Load("m", None, "/srv/m", "h", gpu_id=3, parameters=[{"value": "/srv/m/x"}])
    return HostedLink("W", load, listener, 1 << 20, LineTurns()), listener


def payload(frame: bytes) -> bytes:
    return frame[16:]


async def test_lines_of_a_worker_on_a_node_are_its_output() -> None:
    link, listener = new_link()
    (frame,) = encode_output("stderr", ["a", "b\nc"])
    link.on_frame(OUTPUT, 1, payload(frame))
    assert listener.output == ["stderr: a", "stderr: b c"]


async def test_many_lines_take_several_frames() -> None:
    assert len(encode_output("stdout", ["x"] * (MOST_LINES + 1))) == 2
    assert max(map(len, encode_output("stdout", ["x" * 100_000] * 3))) < 64 * 1024


@pytest.mark.parametrize(
    ("kind", "sequence", "data"),
    [
        (OUTPUT, 2, b"x"),
        (OUTPUT, 0, b"\n" * 200),
        (OUTPUT, 0, b"x" * 100_000),
        (USAGE, 0, b"{}"),
        (USAGE, 0, b"[" * 100_000),
        (HOSTED, 0, b'{"node": 1}'),
        (EXITED, 0, b"x" * 600_000),
        (99, 0, b""),
    ],
)
async def test_hostile_frames_of_a_host_are_errors_of_the_protocol(
    kind: int, sequence: int, data: bytes
) -> None:
    link, _ = new_link()
    with pytest.raises(ProtocolError):
        link.on_frame(kind, sequence, data)


async def test_a_worker_is_told_the_paths_and_the_gpu_of_its_node() -> None:
    link, _ = new_link()
    link.on_frame(HOSTED, 0, Hosted("n1\n2", {"/srv/m": "/tmp/n"}, 0).to_payload())
    assert link.node == "n1\\n2"
    assert (link._load.model_dir, link._load.gpu_id) == ("/tmp/n", 0)
    assert link._load.parameters == [{"value": "/tmp/n/x"}]
    # Once, whatever else comes.
    link.on_frame(HOSTED, 0, Hosted("n2", {"/tmp/n": "/"}, None).to_payload())
    assert link._load.model_dir == "/tmp/n"


async def test_what_a_node_says_of_a_process_is_what_heartbeats_see() -> None:
    link, _ = new_link()
    link.on_frame(USAGE, 0, Usage(1.5, 7, True, 4096).to_payload())
    seen = link.look(3)
    assert seen is not None
    assert (seen.beat, seen.cpu_s, seen.major_faults, seen.is_at_work) == (3, 1.5, 7, True)
    assert link.memory_bytes == 4096


async def test_a_worker_ends_with_the_connection_of_its_host_and_the_node_is_named() -> None:
    link, _ = new_link()
    work, host = Mock(), Mock()
    assert link.on_connected(ROLE_HOST, None, host)
    assert not link.on_connected(ROLE_HOST, None, Mock())
    assert link.on_connected(ROLE_WORK, None, work)
    link.on_frame(HOSTED, 0, Hosted("n1").to_payload())
    link.on_disconnected(ROLE_HOST, "connection lost")
    assert work.abort.called
    link.on_disconnected(ROLE_WORK, "connection lost")
    assert await link.end_reason() == "node n1 is gone"


async def test_how_a_process_ended_is_said_by_its_host() -> None:
    link, _ = new_link()
    link.on_connected(ROLE_HOST, None, Mock())
    link.on_connected(ROLE_WORK, None, Mock())
    link.on_frame(EXITED, 0, Exited("exit code 7").to_payload())
    link.on_disconnected(ROLE_WORK, "connection lost")
    assert await link.end_reason() == "exit code 7"


async def test_a_kill_ends_the_connection_of_the_host() -> None:
    link, _ = new_link()
    host = Mock()
    link.on_connected(ROLE_HOST, None, host)
    link.kill("unregistered")
    assert host.abort.called
    assert link.closed.result() == "unregistered"
    assert not link.on_connected(ROLE_WORK, None, Mock())


async def test_frames_of_any_worker_are_taken_as_ever() -> None:
    link, _ = new_link()
    with pytest.raises(ProtocolError):
        link.on_frame(LOADED, 0, b"no json")


def test_paths_are_replaced_whole() -> None:
    folders = {"/srv/m": "/n/1", "/srv/m/packages": "/n/2"}
    given = {"a": ["/srv/m", "/srv/m/x:/srv/m/packages", "/srv/mm", "/srv/m-2", 5], "b": None}
    found = relocated(given, folders)
    assert found == {"a": ["/n/1", "/n/1/x:/n/2", "/srv/mm", "/srv/m-2", 5], "b": None}


def test_variables_of_a_machine_stay_on_it() -> None:
    given = {"TOKEN": "t", "PATH": "/x", "HOME": "/root", "CUDA_VISIBLE_DEVICES": "0"}
    given |= {
        "RAY_ADDRESS": "a",
        "PYTHONPATH": "p",
        "MMS_WORKER_SECRET": "s",
        "OMP_NUM_THREADS": "2",
    }
    assert travelling(given) == {"TOKEN": "t", "OMP_NUM_THREADS": "2"}
