"""Archives with a requirements.txt: their packages are installed for their workers, or it is said that they are not."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.server import Server, ServerPool, manifest, unique_name
from support.waiting import eventually
from support.wheels import write_wheel

pytestmark = pytest.mark.better_than_mms

HANDLER = """
import sys
import tinypackage
def handle(data, context):
    return [f"{tinypackage.WORD} {sys.prefix} {tinypackage.__file__}"] * len(data or [1])
"""


@pytest.fixture(scope="module")
def server(servers: ServerPool) -> Iterator[Server]:
    """A server whose pip asks no index."""
    server = Server(servers.new_directory(), environment={"PIP_NO_INDEX": "1"})
    server.start()
    yield server
    server.stop()


def write_model(
    server: Server, requirements: str = "tinypackage==1.0\n", word: str = "tiny", **model: str
) -> str:
    url = unique_name("packages")
    server.write_model(url, HANDLER, manifest(url, model=model))
    folder = server.store / url
    (folder / model.get("requirementsFile", "requirements.txt")).write_text(requirements)
    write_wheel(folder / "wheels", word=word)
    return url


@pytest.mark.parametrize(("way", "file"), [("folder", "needs.txt"), ("venv", "requirements.txt")])
def test_packages_are_installed_from_wheels_of_the_archive_and_shared(
    server: Server, way: str, file: str
) -> None:
    """The manifest may name another file."""
    url = write_model(server, word=way, **({"requirementsFile": file} if way == "folder" else {}))
    name = unique_name("m")
    reply = server.register(
        url, model_name=name, initial_workers=2, synchronous="true", install_requirements=way
    )
    assert reply.status == 200, reply.text
    word, prefix, module = server.inference.get(f"/predictions/{name}").text.split(" ")
    assert word == way
    assert (module.startswith(prefix)) is (way == "venv")
    described = server.describe(name)["requirements"]
    assert described == {"file": file, "install": way, "state": "installed"}
    # The same once more finds what is there.
    with server.registered(url, install_requirements=way) as again:
        answer = server.inference.get(f"/predictions/{again}").text
    assert answer.split(" ")[2] == module
    log = server.log("mms_log.log")
    # Once, though two workers waited for it.
    assert log.count(f"{file} of model {name}: Successfully installed tinypackage-1.0") == 1
    assert f"{file} of model {again}: Successfully installed" not in log
    server.unregister(name)


def test_what_pip_says_last_is_the_error_of_the_load(server: Server) -> None:
    url = write_model(server, "tinypackage==1.0\nabsent-package==7\n")
    name = unique_name("m")
    options = {"model_name": name, "initial_workers": 1, "install_requirements": "folder"}
    assert server.register(url, synchronous="false", **options).status == 202
    described = eventually(
        "it has failed", lambda: (d := server.describe(name)).get("loadError") and d
    )
    server.unregister(name)
    assert described["loadError"].startswith("requirements.txt could not be installed: ")
    assert "absent-package==7" in described["loadError"]
    assert "No matching distribution found for absent-package==7" in described["loadTraceback"]
    assert described["requirements"]["state"] in ("failed", "installing")


def test_without_the_switch_a_warning_names_the_file(server: Server) -> None:
    url = write_model(server)
    name = unique_name("m")
    reply = server.register(url, model_name=name, initial_workers=1, synchronous="true")
    assert reply.json()["reason"] == "ModuleNotFoundError: No module named 'tinypackage'"
    server.wait_for_log(
        "mms_log.log",
        rf"WARN.*requirements\.txt of model {name} is not installed: install_requirements",
    )


def test_a_way_that_does_not_exist_is_refused(server: Server) -> None:
    reply = server.register(write_model(server), install_requirements="always")
    assert reply.status == 400
    assert "install_requirements" in reply.json()["message"]


def test_where_packages_are_not_allowed_a_model_that_has_them_installed_is_refused(
    start_server: Callable[..., Server],
) -> None:
    server = start_server({"allowed_requirements": "false"})
    url = write_model(server)
    reply = server.register(url, model_name="m", install_requirements="folder")
    assert reply.status == 400
    assert "allowed_requirements=false" in reply.json()["message"]
    assert server.register(url, model_name="m").status == 200


def test_servers_of_one_cache_install_the_same_once_and_anew_where_that_was_cut_off(
    start_server: Callable[..., Server], scratch: Path, is_full: bool
) -> None:
    if not is_full:
        pytest.skip("makes environments by pip five times, and runs with --full")
    cache = scratch / "cache"
    # One of them by TorchServe's name of the switch.
    switches = ({"install_requirements": "folder"}, {"install_py_dep_per_model": "true"})
    servers = [
        start_server({**switch, "model_cache": str(cache)}, environment={"PIP_NO_INDEX": "1"})
        for switch in switches
    ]
    urls = [write_model(server) for server in servers]

    def log() -> str:
        return "".join(server.log("mms_log.log") for server in servers)

    answers = []
    for server, url in zip(servers, urls, strict=True):
        with server.registered(url) as name:
            answers.append(server.inference.get(f"/predictions/{name}").text)
    assert log().count(": Successfully installed") == 1
    assert answers[0] == answers[1]
    assert str(cache) in answers[0]

    (lock,) = cache.rglob("*.lock")
    lock.with_suffix(".complete").unlink()
    shutil.rmtree(lock.with_suffix("") / "tinypackage")
    # The test is a third one, which is installing the same.
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for server, url in zip(servers, urls, strict=True):
            options = {"model_name": "m", "initial_workers": 1, "synchronous": "false"}
            assert server.register(url, **options).status == 202
        for server in servers:
            server.wait_for_log("mms_log.log", "waiting for another server that is installing")
    for server in servers:
        eventually("it is up", lambda s=server: s.inference.get("/predictions/m").status == 200)
        assert server.inference.get("/predictions/m").text == answers[0]
    assert log().count("requirements.txt of model m: Successfully installed") == 1
