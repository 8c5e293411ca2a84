"""What workers may not: more than their limits, other users' files, the server's secrets."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from support.server import Server, unique_name
from support.waiting import eventually
from support.wheels import write_wheel

from .load import Load, Target
from .models import write_echo
from .users import WORKERS_OF_NOBODY, is_open_to_all, nobody, open_folders, python_for_all

__all__ = ["nobody"]

#: Evaluates the body, and answers with the value as JSON.
_OBEDIENT = """
import json, os
def handle(data, context):
    if data is None:
        return None
    answers = []
    for row in data:
        try:
            answers.append(json.dumps(eval(row["body"], {"os": os})))
        except (OSError, MemoryError) as error:
            answers.append(json.dumps(type(error).__name__))
    return answers
"""


def _register(server: Server, **options: object) -> str:
    name = write_echo(server, unique_name("obedient"), _OBEDIENT)
    reply = server.register(name, **{"initial_workers": 1, "synchronous": "true", **options})
    assert reply.status == 200, reply
    return name


def _evaluate(server: Server, name: str, expression: str) -> Any:
    reply = server.inference.post(f"/predictions/{name}", expression, content_type="text/plain")
    assert reply.status == 200, reply
    return reply.json()


_LIMITED = {"worker_rlimits": "as=2G, nofile=64, core=0"}
_STATUS = "dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())"


@pytest.mark.parametrize("preload", ["false", "true"])
def test_a_worker_has_the_limits_of_the_settings_and_cannot_raise_them(
    shared_server: Callable[..., Server], preload: str
) -> None:
    server = shared_server(_LIMITED)
    name = _register(server, preload_model=preload)
    limits = "[list(__import__('resource').getrlimit(n)) for n in (9, 7, 4)]"
    assert _evaluate(server, name, limits) == [[2**31] * 2, [64] * 2, [0] * 2]
    assert _evaluate(server, name, "[os.open('/dev/null', 0) for _ in range(100)]") == "OSError"


def test_a_request_beyond_the_memory_limit_fails_alone(
    shared_server: Callable[..., Server],
) -> None:
    server = shared_server(_LIMITED)
    name = _register(server)
    target = Target(f"/predictions/{name}", encode=lambda token: f"'{token}'".encode())
    target.is_right = lambda status, body, token: (status, body) == (200, f'"{token}"'.encode())
    with Load(server.inference.address.port, [target], connections=2) as load:
        load.wait_for_right(10)
        for _ in range(5):
            assert _evaluate(server, name, "len(bytearray(3 << 30))") == "MemoryError"
        load.wait_for_right(10)
    load.count.check(failures=0)
    assert server.describe(name)["workers"][0]["pid"] == _evaluate(server, name, "os.getpid()")


def loose(shared_server: Callable[..., Server]) -> Server:
    secrets = {"MMS_KEYSTORE_PASS": "secret", "MMS_DEFAULT": "kept"}
    return shared_server({"no_new_privs": "false"}, environment=secrets)


@pytest.mark.parametrize(("setting", "flag"), [(None, "1"), ("false", "0")])
def test_programs_of_a_worker_gain_no_rights_unless_allowed(
    shared_server: Callable[..., Server], setting: str | None, flag: str
) -> None:
    server = shared_server() if setting is None else loose(shared_server)
    name = _register(server)
    assert _evaluate(server, name, _STATUS)["NoNewPrivs"].strip() == flag


def test_with_an_allow_list_a_worker_sees_what_it_names_and_what_programs_need(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(
        {"worker_env_allow": "MODEL_.*", "blacklist_env_vars": "MODEL_SECRET"},
        environment={"MODEL_SIZE": "1", "MODEL_SECRET": "2", "TOKEN": "3", "LC_ALL": "C.UTF-8"},
    )
    name = _register(server)
    seen = _evaluate(server, name, "dict(os.environ)")
    assert seen["MODEL_SIZE"] == "1"
    assert {"PATH", "PYTHONPATH", "LC_ALL", "TMPDIR"} <= set(seen)
    assert not {"MODEL_SECRET", "TOKEN"} & set(seen)


def test_the_servers_own_password_is_never_handed_on(shared_server: Callable[..., Server]) -> None:
    server = loose(shared_server)
    name = _register(server)
    seen = _evaluate(server, name, "dict(os.environ)")
    assert "MMS_KEYSTORE_PASS" not in seen
    assert "MMS_WORKER_SECRET" not in seen
    assert seen["MMS_DEFAULT"] == "kept"


def test_a_worker_holds_no_file_of_the_server(shared_server: Callable[..., Server]) -> None:
    server = shared_server()
    name = _register(server)
    links = "[os.path.realpath('/proc/self/fd/' + fd) for fd in os.listdir('/proc/self/fd')]"
    kinds = ("/dev/null", "/proc")
    files = [link for link in _evaluate(server, name, links) if not link.startswith(kinds)]
    assert files == []


@pytest.mark.parametrize("preload", ["false", "true"])
def test_workers_run_as_their_user_and_serve(
    shared_server: Callable[..., Server], nobody: pwd.struct_passwd, preload: str
) -> None:
    server = shared_server(WORKERS_OF_NOBODY, before=open_folders)
    name = _register(server, preload_model=preload, runtime=python_for_all())
    ids = "[os.getuid(), os.geteuid(), os.getgid(), os.getgroups(), os.environ['USER']]"
    groups = os.getgrouplist("nobody", nobody.pw_gid)
    assert _evaluate(server, name, ids) == [nobody.pw_uid] * 2 + [nobody.pw_gid, groups, "nobody"]
    for secret in (server.directory / "secret", f"/proc/{server.pid}/environ"):
        assert _evaluate(server, name, f"open({str(secret)!r}).read()") == "PermissionError"
    (pid,) = [worker["pid"] for worker in server.describe(name)["workers"]]
    psutil.Process(pid).kill()
    assert _evaluate(server, name, "[os.getpid(), os.getuid()]") != [pid, nobody.pw_uid]
    assert _evaluate(server, name, "os.getuid()") == nobody.pw_uid


def test_workers_of_another_user_unpack_and_read_archives(
    shared_server: Callable[..., Server], nobody: pwd.struct_passwd
) -> None:
    server = shared_server(WORKERS_OF_NOBODY, before=open_folders)
    folder = write_echo(server, "packed", _OBEDIENT)
    shutil.make_archive(str(server.store / "packed"), "zip", server.store / folder)
    (server.store / "packed.zip").rename(server.store / "packed.mar")
    reply = server.register(
        "packed.mar", initial_workers=1, synchronous="true", runtime=python_for_all()
    )
    assert reply.status == 200, server.output()
    name = "packed"
    assert _evaluate(server, name, "os.getuid()") == nobody.pw_uid


def test_models_of_one_archive_share_files_that_their_workers_cannot_change(
    shared_server: Callable[..., Server], nobody: pwd.struct_passwd
) -> None:
    server = shared_server(WORKERS_OF_NOBODY, before=open_folders)
    folder = write_echo(server, unique_name("shared"), _OBEDIENT)
    shutil.make_archive(str(server.store / folder), "zip", server.store / folder)
    (server.store / f"{folder}.zip").rename(server.store / f"{folder}.mar")
    names = [unique_name("sharing") for _ in range(2)]
    for name in names:
        options = {"initial_workers": 1, "synchronous": "true", "runtime": python_for_all()}
        reply = server.register(f"{folder}.mar", model_name=name, **options)
        assert reply.status == 200, server.output()
    first, second = names
    (place,) = {_evaluate(server, name, "os.getcwd()") for name in names}
    for change in ("open('service.py', 'a')", "os.remove('service.py')", "os.mkdir('more')"):
        assert _evaluate(server, first, change) == "PermissionError"
    server.management.delete(f"/models/{first}")
    assert "service.py" in _evaluate(server, second, "os.listdir('.')")
    server.management.delete(f"/models/{second}")
    eventually("the shared folder goes", lambda: not os.path.exists(place))


@pytest.mark.parametrize("way", ["folder", "venv"])
def test_packages_of_a_model_are_installed_as_the_user_that_its_workers_run_as(
    start_server: Callable[..., Server], nobody: pwd.struct_passwd, way: str
) -> None:
    runtime = python_for_all()
    if subprocess.run([runtime, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        pytest.skip("the interpreter that another user can read has no pip")
    settings = {"worker_user": "nobody", "install_requirements": way}
    server = start_server(settings, before=open_folders, environment={"PIP_NO_INDEX": "1"})
    code = "import tinypackage\n" + _OBEDIENT
    folder = write_echo(server, "packed", code)
    write_wheel(server.store / folder / "wheels")
    (server.store / folder / "requirements.txt").write_text("tinypackage\n")
    shutil.make_archive(str(server.store / "packed"), "zip", server.store / folder)
    (server.store / "packed.zip").rename(server.store / "packed.mar")
    reply = server.register("packed.mar", initial_workers=1, synchronous="true", runtime=runtime)
    assert reply.status == 200, reply.text
    place = "__import__('tinypackage').__file__"
    assert _evaluate(server, "packed", f"[os.getuid(), os.stat({place}).st_uid]") == [
        *(nobody.pw_uid, nobody.pw_uid)
    ]


def test_an_interpreter_that_the_user_cannot_read_is_named(
    shared_server: Callable[..., Server], nobody: pwd.struct_passwd
) -> None:
    if is_open_to_all(os.__file__):
        pytest.skip("the interpreter of these tests can be read by everybody")
    server = shared_server(WORKERS_OF_NOBODY, before=open_folders)
    name = write_echo(server)
    assert server.register(name, initial_workers=1, synchronous="true").status == 500
    server.wait_for_log("mms_log.log", f"cannot read the interpreter's library: {os.__file__}")


def test_a_limit_that_the_system_refuses_is_named_where_the_model_is_registered(
    start_server: Callable[..., Server],
) -> None:
    server = start_server({"worker_rlimits": f"nofile={2**40}"})
    name = write_echo(server)
    reply = server.register(name, initial_workers=1, synchronous="true")
    assert reply.status == 500
    server.wait_for_log("mms_log.log", f"cannot limit nofile to {2**40}")
    assert json.loads(reply.body)["type"]
