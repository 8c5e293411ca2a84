"""The console where there are keys: the login, its cookie, and what a session may do."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.waiting import until

from mms.security import Access, Guard, KeyFile, KeyRing, Role, new_key

JSON = "Content-Type: application/json"


class Keyed:
    """A front with a key of each role, and one of a role that no model of it knows."""

    def __init__(self, path: Path, make_bench: Any) -> None:
        self.file = KeyFile(path)
        self.texts: dict[str, str] = {}
        for role in Role:
            text, key = new_key(role.value, [role], now=0.0)
            self.texts[role.value] = text
            self.file.change(lambda known, key=key: [*known, key])
        self.guard = Guard(KeyRing(self.file))
        self._make_bench = make_bench

    async def start(self) -> None:
        self.bench = await self._make_bench(access=Access(self.guard, None))
        self.origin = f"http://127.0.0.1:{self.bench.port}"

    async def call(self, method: str, path: str, body: bytes = b"", *headers: str) -> Any:
        host = f"Host: 127.0.0.1:{self.bench.port}"
        return await self.bench.call(method, path, body, host, *headers)

    async def login(self, role: str) -> tuple[str, str]:
        """Return a line with the cookie of a session, and one with its token."""
        body = json.dumps({"key": self.texts[role]}).encode()
        status, head, answer = await self.call("POST", "/console/login", body, JSON)
        assert status == 200, answer
        cookie = re.search(rb"Set-Cookie: ([^;]+);", head)
        assert cookie is not None
        return f"Cookie: {cookie[1].decode()}", f"X-CSRF-Token: {json.loads(answer)['token']}"


@pytest.fixture
async def keyed(tmp_path: Path, make_bench: Any) -> AsyncIterator[Keyed]:
    found = Keyed(tmp_path / "keys", make_bench)
    await found.start()
    yield found


async def test_the_cookie_of_a_login_is_for_the_console_and_no_script_reads_it(
    keyed: Keyed,
) -> None:
    body = json.dumps({"key": keyed.texts["management"]}).encode()
    _, head, answer = await keyed.call("POST", "/console/login", body, JSON)
    line = re.search(rb"Set-Cookie: (.*)\r\n", head)
    assert line is not None
    value, *attributes = line[1].split(b"; ")
    assert value.startswith(b"mms-console-%d=" % keyed.bench.port)
    assert set(attributes) == {b"Path=/console", b"Max-Age=28800", b"HttpOnly", b"SameSite=Strict"}
    assert keyed.texts["management"].encode() not in head + answer


async def test_a_key_that_is_not_valid_is_refused_and_counted(keyed: Keyed) -> None:
    body = b'{"key": "mms_00000000_wrong"}'
    statuses = [(await keyed.call("POST", "/console/login", body, JSON))[0] for _ in range(21)]
    assert statuses[:20] == [401] * 20
    assert statuses[20] == 429


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"key": 1}', b'{"key"', b'"x"', b"\xff", b"[" * 4000]
)
async def test_a_login_without_a_key_is_told_what_it_takes(keyed: Keyed, body: bytes) -> None:
    status, _, answer = await keyed.call("POST", "/console/login", body, JSON)
    assert status == 400 and b"The login takes" in answer


async def test_a_form_cannot_log_in(keyed: Keyed) -> None:
    body = json.dumps({"key": keyed.texts["management"]}).encode()
    status, _, _ = await keyed.call("POST", "/console/login", body, "Content-Type: text/plain")
    assert status == 400


async def test_a_session_has_the_roles_of_its_key(keyed: Keyed) -> None:
    cookie, token = await keyed.login("inference")
    _, _, answer = await keyed.call("GET", "/console/session", b"", cookie)
    assert json.loads(answer)["roles"] == ["inference"]
    assert (await keyed.call("POST", "/console/api/predictions/m", b"x", cookie, token))[0] == 200
    for path in ("/console/snapshot", "/console/api/models", "/console/events", "/console/store"):
        assert (await keyed.call("GET", path, b"", cookie))[0] == 403, path
    cookie, token = await keyed.login("management")
    assert (await keyed.call("GET", "/console/api/models", b"", cookie))[0] == 200
    assert (await keyed.call("POST", "/console/api/predictions/m", b"x", cookie, token))[0] == 403


@pytest.mark.parametrize("role", ["inference", "metrics"])
async def test_a_session_without_the_role_of_management_changes_and_sees_nothing(
    keyed: Keyed, role: str
) -> None:
    cookie, token = await keyed.login(role)
    calls = [
        ("POST", "/models?url=m.mar"),
        ("PUT", "/models/m?min_worker=1"),
        ("PUT", "/models/m/1.0/set-default"),
        ("DELETE", "/models/m"),
        *(("GET", f"/models{path}") for path in ("", "/m", "/m/logs", "/m/samples", "/m/scaling")),
    ]
    if role == "metrics":
        calls.append(("POST", "/predictions/m"))
    for method, path in calls:
        status, _, _ = await keyed.call(method, f"/console/api{path}", b"", cookie, token)
        assert status == 403, (method, path)


async def test_without_a_session_nothing_but_the_page_is_shown(keyed: Keyed) -> None:
    _, _, answer = await keyed.call("GET", "/console/session")
    assert json.loads(answer) == {"hasKeys": True, "roles": []}
    assert (await keyed.call("GET", "/console"))[0] == 200
    for path in ("/console/snapshot", "/console/api/models", "/console/events"):
        assert (await keyed.call("GET", path))[0] == 401, path


async def test_a_change_needs_the_token_of_the_session(keyed: Keyed) -> None:
    cookie, token = await keyed.login("management")
    _, other = await keyed.login("management")
    path = "/console/api/models/m/1.0"
    for lines in ((), (other,), ("X-CSRF-Token: ",)):
        status, _, answer = await keyed.call("DELETE", path, b"", cookie, *lines)
        assert status == 403 and b"no X-CSRF-Token of its session" in answer
    status, _, answer = await keyed.call("DELETE", path, b"", cookie, token)
    # It gets to the model.
    assert b"X-CSRF-Token" not in answer and status != 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_page_of_another_origin_has_no_session(keyed: Keyed, site: str) -> None:
    cookie, token = await keyed.login("management")
    line = f"Sec-Fetch-Site: {site}"
    assert (await keyed.call("GET", "/console/snapshot", b"", cookie, line))[0] == 401
    _, _, answer = await keyed.call("GET", "/console/session", b"", cookie, line)
    assert "token" not in json.loads(answer)
    status, _, _ = await keyed.call("DELETE", "/console/api/models/m", b"", cookie, token, line)
    assert status == 401


async def test_a_session_counts_below_the_console_alone(keyed: Keyed) -> None:
    cookie, token = await keyed.login("management")
    for path in ("/models", "/metrics", "/openapi.json"):
        assert (await keyed.call("GET", path, b"", cookie, token))[0] == 401, path


async def test_a_log_out_ends_the_session_and_takes_the_cookie_back(keyed: Keyed) -> None:
    cookie, token = await keyed.login("management")
    status, head, _ = await keyed.call("POST", "/console/logout", b"", cookie, token)
    assert status == 200 and b"Max-Age=0" in head
    assert (await keyed.call("GET", "/console/snapshot", b"", cookie))[0] == 401


async def test_no_model_is_told_of_a_session(keyed: Keyed) -> None:
    cookie, token = await keyed.login("inference")
    await keyed.call("POST", "/console/api/predictions/m", b"x", cookie, token, "X-Own: 1")
    (request,) = keyed.bench.host.requests
    assert b"X-Own" in request.headers
    assert b"mms-console" not in request.headers and b"X-CSRF-Token" not in request.headers


async def test_a_stream_ends_with_the_key_that_it_was_begun_with(keyed: Keyed) -> None:
    cookie, _ = await keyed.login("management")
    reader, writer = await keyed.bench.connect()
    head = f"GET /console/events HTTP/1.1\r\nHost: 127.0.0.1:{keyed.bench.port}\r\n{cookie}\r\n\r\n"
    writer.write(head.encode())
    assert (await reader.readline()).split()[1] == b"200"
    await reader.readuntil(b'data: {"time"')
    keyed.file.change(lambda known: [])
    await until(keyed.guard.ring.refresh, "the file of keys is read again")
    # The last chunk.
    await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
