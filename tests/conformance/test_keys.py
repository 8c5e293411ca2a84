"""Who may do what: keys and their roles on every API, and what a start without them refuses."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from support.client import Address, Client, Reply, loopback_address
from support.processes import command_path, free_port
from support.server import Server, ServerDidNotStart, ServerPool, by_lane, unique_name
from support.waiting import eventually

from mms.security import KeyFile, Role, new_key

from .mlrun.service import add_model

pytestmark = [pytest.mark.better_than_mms, pytest.mark.edge]

ROLES = ("inference", "management", "metrics")
#: The messages of Seldon's contract: `DefaultData.ndarray` is not needed to be refused.
NO_MESSAGE = b""


def mms_keys(file: Path, command: str, *arguments: str) -> str:
    done = subprocess.run(
        [command_path("mms"), "keys", command, "--file", str(file), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def make_key(file: Path, *roles: str) -> str:
    """As the command does, in a fraction of the time."""
    text, key = new_key(roles[0], map(Role, roles), now=time.time())
    KeyFile(file).change(lambda known: [*known, key])
    return text


class KeyedServer(Server):
    """A server with a key of each role, and one more without any right to be here."""

    def __init__(self, directory: Path, lane: str) -> None:
        directory.mkdir(parents=True)
        self.key_file = directory / "keys"
        self.keys = {role: make_key(self.key_file, role) for role in ROLES}
        self.keys["wrong"] = self.keys["inference"][:-1] + "!"
        self.grpc_port = free_port()
        super().__init__(
            directory,
            {
                "lane": lane,
                "keys_file": str(self.key_file),
                "load_models": "noop",
                "default_workers_per_model": "1",
                "grpc_address": f"grpc://127.0.0.1:{self.grpc_port}",
                "cors_allowed_origin": "https://example.org",
                "cors_allowed_headers": "authorization",
            },
        )
        self._clients = 0
        self.come_from_elsewhere()

    def come_from_elsewhere(self) -> None:
        """Be another client: one that is refused too often is told to wait."""
        self._clients += 1
        source = loopback_address(1, self._clients)
        self.inference = Client(replace(self.inference.address, source=source))
        address = replace(self.management.address, source=source)
        self.management = _Signing(address, self.keys["management"])

    def ask(self, client: Client, role: str, method: str, path: str, body: str = "") -> Reply:
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        plain = Client(client.address)
        return plain.request(method, path, body or None, headers, "application/json")


class _Signing(Client):
    """Sends a key with each call."""

    def __init__(self, address: Address, key: str) -> None:
        super().__init__(address)
        self._key = key

    def request(self, method: str, path: str, *arguments: object, **options: object) -> Reply:
        given = dict(options.pop("headers", None) or {})  # type: ignore[call-overload]
        headers = {"x-api-key": self._key, **given}
        return super().request(method, path, *arguments, headers=headers, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def keyed_servers(servers: ServerPool) -> Iterator[Callable[[str], KeyedServer]]:
    yield from by_lane(servers, KeyedServer)


@pytest.fixture
def keyed(keyed_servers: Callable[[str], KeyedServer], lane: str) -> KeyedServer:
    server = keyed_servers(lane)
    server.come_from_elsewhere()
    return server


INFERENCE_PATHS = ["/predictions/noop", "/invocations", "/models/noop/invoke", "/noop/predict"]


@pytest.mark.parametrize("path", INFERENCE_PATHS)
def test_predictions_need_the_role_inference(keyed: KeyedServer, path: str) -> None:
    got = {
        role: keyed.ask(keyed.inference, role, "POST", path, "1").status
        for role in ("", "wrong", *ROLES)
    }
    assert got == {"": 401, "wrong": 401, "inference": 200, "management": 403, "metrics": 403}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models"),
        ("GET", "/models/noop"),
        ("POST", "/models?url=absent"),
        ("PUT", "/models/noop?min_worker=1"),
        ("DELETE", "/models/absent"),
    ],
)
def test_management_needs_its_role(keyed: KeyedServer, method: str, path: str) -> None:
    got = {
        role: keyed.ask(keyed.management, role, method, path).status
        for role in ("", "wrong", "inference", "metrics")
    }
    assert got == {"": 401, "wrong": 401, "inference": 403, "metrics": 403}
    assert keyed.ask(keyed.management, "management", method, path).status not in (401, 403)


def test_metrics_need_their_role(keyed: KeyedServer) -> None:
    got = {
        role: keyed.ask(keyed.management, role, "GET", "/metrics").status
        for role in ("", "wrong", *ROLES)
    }
    assert got == {"": 401, "wrong": 401, "inference": 403, "management": 403, "metrics": 200}


def test_refusals_are_counted_by_their_status(keyed: KeyedServer) -> None:
    def counts() -> dict[str, float]:
        text = keyed.ask(keyed.management, "metrics", "GET", "/metrics").text
        pattern = r'mms_requests_total{model="",status="(40[13]|429)",version=""} (\S+)'
        return {"401": 0.0, "403": 0.0, "429": 0.0} | {
            status: float(count) for status, count in re.findall(pattern, text)
        }

    before = counts()
    for role in ("", "wrong", "metrics"):
        keyed.ask(keyed.inference, role, "POST", "/predictions/noop", "1")
        keyed.ask(keyed.inference, role, "POST", "/seldon/default/noop/api/v1.0/predictions", "{}")
        keyed.ask(keyed.management, role, "POST", "/models?url=absent")
    for _ in range(25):
        keyed.ask(keyed.inference, "wrong", "POST", "/predictions/noop", "1")
    after = counts()
    more = {status: after[status] - before[status] for status in before}
    # 403 counts towards the limit of refusals, and goes on.
    assert more["403"] == 3
    assert more["401"] + more["429"] == 31
    assert more["429"] >= 5


def test_descriptions_and_what_is_not_there_need_any_key(keyed: KeyedServer) -> None:
    for client in (keyed.inference, keyed.management):
        assert keyed.ask(client, "", "GET", "/api-description").status == 401
        assert keyed.ask(client, "", "GET", "/nothing/of/this").status == 401
        for role in ROLES:
            assert keyed.ask(client, role, "GET", "/api-description").status == 200
            assert keyed.ask(client, role, "GET", "/nothing/of/this").status == 404


@pytest.mark.parametrize("path", ["/ping", "/livez", "/readyz", "/startupz"])
def test_probes_need_no_key(keyed: KeyedServer, path: str) -> None:
    assert keyed.ask(keyed.inference, "", "GET", path).status == 200


def test_who_has_no_key_does_not_learn_which_model_is_not_ready(keyed: KeyedServer) -> None:
    keyed.write_model(
        name := unique_name("broken"),
        "raise RuntimeError('no')\n",
        {"model": {"modelName": name, "handler": "service:handle"}, "runtime": "python"},
    )
    assert keyed.register(name, initial_workers=1, synchronous="false").status == 202
    try:
        unready = eventually(
            "it is known",
            lambda: (
                reply
                if (reply := keyed.ask(keyed.inference, "", "GET", "/readyz")).status == 503
                else None
            ),
        )
        assert unready is not None
        assert unready.json() == {"status": "NotReady"}
        told = keyed.ask(keyed.inference, "inference", "GET", "/readyz").json()
        assert name in told["reasons"][0]
        assert keyed.ask(keyed.inference, "", "GET", f"/models/{name}/ready").status == 401
    finally:
        keyed.unregister(name)


def test_the_errors_are_mms_s_json_and_say_how_to_show_a_key(keyed: KeyedServer) -> None:
    reply = keyed.ask(keyed.inference, "", "POST", "/predictions/noop", "x")
    assert reply.header("www-authenticate") == 'Bearer realm="multi-model-server"'
    assert reply.header("connection") == "keep-alive"
    document = reply.json()
    assert (document["code"], document["type"]) == (401, "UnauthorizedException")
    assert "x-api-key" in document["message"]
    reply = keyed.ask(keyed.inference, "metrics", "POST", "/predictions/noop", "x")
    assert reply.header("www-authenticate") is None
    assert reply.json() == {
        "code": 403,
        "type": "ForbiddenException",
        "message": "The key does not have the role inference, which this request needs.",
    }


def test_a_refused_body_is_not_waited_for(keyed: KeyedServer) -> None:
    with keyed.inference.wire() as wire:
        wire.send(
            b"POST /predictions/noop HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\nxyz"
        )
        assert wire.read_reply().status == 401


def test_an_unknown_model_is_no_news_for_who_has_no_key(keyed: KeyedServer) -> None:
    with_key = keyed.ask(keyed.inference, "inference", "POST", "/predictions/absent", "x")
    assert with_key.status == 404
    assert keyed.ask(keyed.inference, "", "POST", "/predictions/absent", "x").status == 401


def test_one_connection_may_carry_requests_with_and_without_a_key(keyed: KeyedServer) -> None:
    key = f"x-api-key: {keyed.keys['inference']}"
    with keyed.inference.wire() as wire:
        for _ in range(3):
            assert wire.call("POST", "/predictions/noop", b"x", key).body == b"OK"
        assert wire.call("POST", "/predictions/noop", b"x").status == 401


def test_handlers_see_no_key_and_what_is_meant_for_them(keyed: KeyedServer) -> None:
    name = keyed.shared("inspect")
    headers = [
        ("X-Api-Key", keyed.keys["inference"]),
        ("Authorization", "Bearer of-the-model"),
        ("X-Other", "1"),
    ]
    reply = keyed.inference.request("POST", f"/predictions/{name}", "x", headers)
    assert reply.status == 200
    assert keyed.keys["inference"] not in reply.text
    seen = {key.lower(): value for key, value in reply.json()["headers"].items()}
    assert seen["authorization"] == "Bearer of-the-model"
    assert seen["x-other"] == "1"
    assert "x-api-key" not in seen


def test_seldon_s_routes_refuse_in_seldon_s_form(keyed: KeyedServer) -> None:
    name = keyed.shared("seldon", handler="components:Identity")
    path = f"/seldon/{name}/api/v1.0/predictions"
    body = json.dumps({"data": {"ndarray": [[1]]}})
    reply = keyed.ask(keyed.inference, "", "POST", path, body)
    assert reply.status == 401
    assert reply.json()["status"]["reason"] == "UnauthorizedException"
    assert "x-api-key" in reply.json()["status"]["info"]
    assert keyed.ask(keyed.inference, "metrics", "POST", path, body).status == 403
    assert keyed.ask(keyed.inference, "inference", "POST", path, body).status == 200
    for probe in ("live", "ready", "health/ping"):
        assert keyed.ask(keyed.inference, "", "GET", f"/{probe}").status == 200
        assert keyed.ask(keyed.inference, "", "GET", f"/seldon/{name}/{probe}").status == 401
        assert keyed.ask(keyed.inference, "metrics", "GET", f"/seldon/{name}/{probe}").status == 200
    assert keyed.ask(keyed.inference, "", "GET", f"/seldon/{name}/health/status").status == 401


def test_the_tree_v2_refuses_in_mlrun_s_form(keyed: KeyedServer) -> None:
    add_model(keyed, "mul", "Mul", {"multiplier": 2})
    path = "/v2/models/mul/infer"
    body = json.dumps({"inputs": [1]})
    reply = keyed.ask(keyed.inference, "", "POST", path, body)
    assert reply.status == 401
    assert reply.text.startswith("Unauthorized: ")
    assert reply.header("www-authenticate")
    assert keyed.ask(keyed.inference, "management", "POST", path, body).status == 403
    assert keyed.ask(keyed.inference, "inference", "POST", path, body).status == 200
    assert keyed.ask(keyed.inference, "", "GET", "/v2/health").status == 200
    assert keyed.ask(keyed.inference, "", "GET", "/v2/models/").status == 401


def test_browsers_may_ask_before_they_send_the_key(keyed: KeyedServer) -> None:
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    reply = keyed.inference.options("/predictions/absent", headers=headers)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.header("access-control-allow-headers") == "authorization"
    assert keyed.inference.options("/predictions/noop").status == 401


def grpc_code(server: KeyedServer, role: str) -> grpc.StatusCode:
    metadata = [("x-api-key", server.keys[role])] if role else []
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary("/seldon.protos.Seldon/Predict")
        with pytest.raises(grpc.RpcError) as caught:
            call(NO_MESSAGE, metadata=[*metadata, ("seldon", "absent")], timeout=20)
    code: grpc.StatusCode = caught.value.code()
    return code


def test_calls_of_grpc_need_the_role_inference(keyed: KeyedServer) -> None:
    codes = {role: grpc_code(keyed, role) for role in ("", "wrong", *ROLES)}
    assert codes == {
        "": grpc.StatusCode.UNAUTHENTICATED,
        "wrong": grpc.StatusCode.UNAUTHENTICATED,
        "inference": grpc.StatusCode.NOT_FOUND,
        "management": grpc.StatusCode.PERMISSION_DENIED,
        "metrics": grpc.StatusCode.PERMISSION_DENIED,
    }


def test_the_logs_name_whose_key_it_was_and_never_the_key(keyed: KeyedServer) -> None:
    keyed.ask(keyed.management, "inference", "POST", "/models?url=absent")
    keyed.wait_for_log(
        "mms_log.log", r"Refused POST /models of /127.*key inference \([0-9a-f]{8}\)"
    )
    keyed.ask(keyed.management, "management", "DELETE", "/models/absent")
    keyed.wait_for_log(
        "mms_log.log", r"Key management \([0-9a-f]{8}\) of /127.*DELETE /models/absent"
    )
    written = keyed.output() + "".join(
        file.read_text(errors="replace") for file in keyed.logs.iterdir() if file.is_file()
    )
    for key in keyed.keys.values():
        assert key[13:] not in written


def test_keys_come_and_go_while_the_server_runs(keyed: KeyedServer) -> None:
    key = mms_keys(keyed.key_file, "create", name := unique_name("visitor"), "--role", "inference")
    line = f"authorization: Bearer {key}"
    with keyed.inference.wire() as kept:

        def may_enter() -> bool:
            keyed.come_from_elsewhere()
            with keyed.inference.wire() as wire:
                return wire.call("POST", "/predictions/noop", b"x", line).status == 200

        eventually("the new key counts", may_enter)
        assert kept.call("POST", "/predictions/noop", b"x", line).status == 200
        mms_keys(keyed.key_file, "revoke", name)
        eventually("the key counts no more", lambda: not may_enter())
        # Also where the very same bytes were served before.
        assert kept.call("POST", "/predictions/noop", b"x", line).status == 401


def test_the_tool_shows_the_key_of_its_environment(keyed: KeyedServer) -> None:
    def listed(**environment: str) -> subprocess.CompletedProcess[str]:
        address = keyed.management.address.setting()
        return subprocess.run(
            [command_path("mms"), "models", "list", "--management", address],
            env=keyed.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert "401 UnauthorizedException" in listed().stderr
    assert "noop" in listed(MMS_API_KEY=keyed.keys["management"]).stdout


def test_guessing_gets_429_while_keys_go_on(keyed: KeyedServer) -> None:
    replies = [
        keyed.inference.post("/predictions/noop", "x", headers={"x-api-key": f"guess-{number}"})
        for number in range(40)
    ]
    statuses = [reply.status for reply in replies]
    assert statuses[:20] == [401] * 20
    assert statuses.count(429) >= 15
    assert int(str(replies[-1].header("retry-after"))) in (1, 2, 3)
    assert keyed.ask(keyed.inference, "inference", "POST", "/predictions/noop", "1").status == 200
    logged = keyed.log("mms_log.log").splitlines()
    source = keyed.inference.address.source
    assert sum(f"/{source}:" in line and "is not valid" in line for line in logged) < 25


def test_inference_may_be_open_beside_management_with_keys(
    start_server: Callable[..., Server], scratch: Path, lane: str
) -> None:
    scratch.mkdir(exist_ok=True)
    key = make_key(scratch / "keys", "management", "inference")
    server = start_server(
        {
            "keys_file": str(scratch / "keys"),
            "open_roles": "inference",
            "lane": lane.removeprefix("lane="),
            "load_models": "inspect",
            "default_workers_per_model": "1",
        },
        is_combined=True,
    )
    assert server.inference.get("/models").status == 401
    assert server.inference.get("/models", headers={"x-api-key": key}).status == 200
    for token in ("Bearer of-the-model", f"Bearer {key}"):
        reply = server.inference.get("/predictions/inspect", headers={"Authorization": token})
        assert reply.status == 200
        assert ("of-the-model" in reply.text) is ("of-the-model" in token)
        assert key not in reply.text


def refused(start_server: Callable[..., Server], settings: dict[str, str]) -> str:
    """The one line that a start ends with."""
    with pytest.raises(ServerDidNotStart) as caught:
        start_server(settings)
    assert caught.value.exit_code == 1
    return caught.value.output.splitlines()[-1]


def test_management_in_the_open_is_refused_with_the_ways_out(
    start_server: Callable[..., Server],
) -> None:
    line = refused(start_server, {"management_address": f"http://0.0.0.0:{free_port()}"})
    for word in ("management_address", "keys_file", "tls_client_ca", "allow_open_management"):
        assert word in line


def test_management_in_the_open_may_be_asked_for(start_server: Callable[..., Server]) -> None:
    port = free_port()
    server = start_server(
        {"management_address": f"http://0.0.0.0:{port}", "allow_open_management": "true"}
    )
    assert Client(Address(port=port)).get("/models").status == 200
    assert f"anybody who can connect to http://0.0.0.0:{port} can run code" in server.output()


def test_management_in_the_open_may_have_keys(
    start_server: Callable[..., Server], scratch: Path
) -> None:
    scratch.mkdir(exist_ok=True)
    key = make_key(scratch / "keys", "management")
    port = free_port()
    start_server(
        {"management_address": f"http://0.0.0.0:{port}", "keys_file": str(scratch / "keys")}
    )
    client = Client(Address(port=port))
    assert client.get("/models").status == 401
    assert client.get("/models", headers={"x-api-key": key}).status == 200


def test_a_file_of_keys_that_cannot_be_used_ends_the_start(
    start_server: Callable[..., Server], scratch: Path
) -> None:
    file = scratch / "keys"
    line = refused(start_server, {"keys_file": str(file)})
    assert str(file) in line
    assert "mms keys create" in line


def test_an_expired_key_is_refused_at_its_time(keyed: KeyedServer) -> None:
    text, key = new_key("short", [Role.INFERENCE], now=time.time())
    KeyFile(keyed.key_file).change(lambda known: [*known, key])
    line = f"x-api-key: {text}"

    def status() -> int:
        keyed.come_from_elsewhere()
        with keyed.inference.wire() as wire:
            return wire.call("POST", "/predictions/noop", b"x", line).status

    eventually("the key counts", lambda: status() == 200)
    # Only now, so that it has counted before it ends, however long that took.
    ends_at = int(time.time()) + 2
    short = replace(key, expires_at=float(ends_at))
    KeyFile(keyed.key_file).change(lambda known: [short if k == key else k for k in known])
    eventually("the key has ended", lambda: status() == 401)
    assert time.time() >= ends_at
