"""The two clients against a server that answers by a script."""

from __future__ import annotations

import fcntl
import inspect
import json
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mms.client.steps
from mms.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    LogLine,
    ServerRefused,
    ServerUnreachable,
)
from mms.client.async_client import AsyncModels
from mms.client.client import Models
from mms.client.predictions import path_of

from .either import Either
from .scripted_server import answer, chunked, scripted_server


@pytest.fixture(params=[False, True], ids=["blocking", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mms.client.steps, "_FIRST_PAUSE_S", 0.001)


def test_a_body_is_sent_as_what_it_is(is_async: bool, tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(b"\x89PNG")
    sent = [{"a": 1}, "text", b"\xff", file, [1, 2]]
    with scripted_server(*[answer(200, b"{}")] * len(sent)) as server:
        client = Either(server.address, is_async=is_async)
        client(*[lambda client, data=data: client.predict("a b/c", data) for data in sent])
    bodies = [request.partition(b"\r\n\r\n") for request in server.requests]
    assert [body for *_, body in bodies] == [b'{"a": 1}', b"text", b"\xff", b"\x89PNG", b"[1, 2]"]
    kinds = [b"application/json", b"text/plain; charset=utf-8", b"application/octet-stream"]
    for (head, *_), kind in zip(bodies, [*kinds, b"image/png", b"application/json"], strict=True):
        assert head.startswith(b"POST /predictions/a%20b%2Fc HTTP/1.1")
        assert b"content-type: " + kind in head.replace(b"Content-Type", b"content-type")
    # One connection is enough for calls that follow each other.
    assert server.connections == 1


@pytest.mark.parametrize(
    ("headers", "body", "value"),
    [
        ([], b'{"a": 1}', {"a": 1}),
        ([], b"hello", "hello"),
        ([], b"\xff", b"\xff"),
        (["Content-Type: text/plain"], b"1", "1"),
        (["Content-Type: image/png"], b"1", b"1"),
        (["Content-Type: application/problem+json"], b"1", 1),
    ],
)
def test_an_answer_is_what_it_says_that_it_is(
    is_async: bool, headers: list[str], body: bytes, value: Any
) -> None:
    with scripted_server(answer(200, body, *headers)) as server:
        (found,) = Either(server.address, is_async=is_async)(lambda c: c.predict("m"))
    assert found.value == value


def test_a_key_and_the_time_that_is_waited_go_with_a_prediction(is_async: bool) -> None:
    with scripted_server(answer(), answer()) as server:
        client = Either(server.address, is_async=is_async, key="secret", timeout_s=20)
        client(lambda c: c.predict("m"), lambda c: c.predict("m", timeout_s=3))
    first, second = (request.lower() for request in server.requests)
    assert b"authorization: bearer secret" in first
    told = [int(r.partition(b"x-request-timeout: ")[2].split(b"\r\n")[0]) for r in (first, second)]
    assert 15_000 < told[0] <= 20_000
    assert 2_000 < told[1] <= 3_000


def test_an_error_has_the_servers_words(is_async: bool) -> None:
    error = {"code": 404, "type": "ModelNotFoundException", "message": "Model not found: m"}
    with (
        scripted_server(answer(404, json.dumps(error).encode())) as server,
        pytest.raises(ServerRefused, match="404 ModelNotFoundException: Model not") as raised,
    ):
        Either(server.address, is_async=is_async)(lambda c: c.predict("m"))
    assert (raised.value.status, raised.value.type) == (404, "ModelNotFoundException")
    assert raised.value.answer is not None
    assert raised.value.answer.json() == error


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_server_has_not_taken_is_sent_again(is_async: bool, status: int) -> None:
    busy = answer(status, b"busy", "Retry-After: 0")
    with scripted_server(busy, busy, answer(200, b"1")) as server:
        (found,) = Either(server.address, is_async=is_async)(lambda c: c.predict("m"))
        assert found.value == 1
        assert len(server.requests) == 3
    with scripted_server(busy, answer(200, b"1")) as server:
        with pytest.raises(ServerRefused, match=str(status)) as raised:
            Either(server.address, is_async=is_async, retries=0)(lambda c: c.predict("m"))
        assert raised.value.retry_after_s == 0


def test_an_error_of_the_model_is_not_sent_again(is_async: bool) -> None:
    # It has no Retry-After.
    with scripted_server(answer(503, b"failed"), answer()) as server:
        with pytest.raises(ServerRefused):
            Either(server.address, is_async=is_async)(lambda c: c.predict("m"))
        assert len(server.requests) == 1


def test_a_pause_that_is_longer_than_the_time_left_is_not_made(is_async: bool) -> None:
    busy = answer(503, b"busy", "Retry-After: 60")
    with scripted_server(busy) as server, pytest.raises(ServerRefused, match="busy"):
        Either(server.address, is_async=is_async, timeout_s=5)(lambda c: c.predict("m"))


def test_after_a_lost_connection_only_what_may_be_repeated_is(is_async: bool) -> None:
    with scripted_server(None, answer(200, b"1")) as server:
        with pytest.raises(ServerUnreachable):
            Either(server.address, is_async=is_async)(lambda c: c.predict("m"))
        assert len(server.requests) == 1
    with scripted_server(None, None, answer(200, b"1")) as server:
        (found,) = Either(server.address, is_async=is_async)(
            lambda c: c.predict("m", is_repeatable=True)
        )
        assert (found.value, len(server.requests)) == (1, 3)


def test_a_server_that_is_not_there_is_named(is_async: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(ServerUnreachable, match=f"No server answers at {address}"):
        Either(address, is_async=is_async)(lambda c: c.models.names())
    with pytest.raises(ServerUnreachable, match="unix:/nowhere/s"):
        Either("unix:/nowhere/s", is_async=is_async)(lambda c: c.ping())


def test_a_server_that_says_nothing_is_not_waited_for(is_async: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DeadlineExceeded, match=r"has not answered within 0\.05 s"):
            Either(address, is_async=is_async, timeout_s=0.05)(lambda c: c.predict("m"))


def test_an_answer_that_breaks_off_is_an_error(is_async: bool) -> None:
    broken = b"HTTP/1.1 200 X\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf"
    with scripted_server(broken) as server, pytest.raises(ServerUnreachable):
        Either(server.address, is_async=is_async)(lambda c: c.predict("m"))


def test_a_stream_comes_in_pieces_and_its_connection_is_used_again(is_async: bool) -> None:
    with scripted_server(chunked(b"a", b"bc"), answer(200, b"1")) as server:
        pieces, second = Either(server.address, is_async=is_async)(
            lambda c: c.stream("m", "go"), lambda c: c.predict("m")
        )
    assert b"".join(pieces) == b"abc"
    assert (second.value, server.connections) == (1, 1)


def test_a_stream_that_breaks_off_is_an_error(is_async: bool) -> None:
    half = chunked(b"a", is_whole=False) + b"\r\nConnection: close"
    with scripted_server(half) as server, pytest.raises(ServerUnreachable, match="broke off"):
        Either(server.address, is_async=is_async)(lambda c: c.stream("m", "go"))


def test_events_are_their_data_and_an_error_among_them_is_raised(is_async: bool) -> None:
    good = chunked(b"data: a\ndata: b\n\n: alive\n\nda", b"ta:c\n\n")
    bad = chunked(b'data: 1\n\nevent: error\ndata: {"code": 500, "type": "T", "message": "m"}\n\n')
    with scripted_server(good, bad) as server:
        client = Either(server.address, is_async=is_async)
        assert client(lambda c: c.events("m")) == [["a\nb", "c"]]
        with pytest.raises(ServerRefused, match="500 T: m") as raised:
            client(lambda c: c.events("m"))
    assert (raised.value.status, raised.value.type) == (500, "T")
    assert b"text/event-stream" in server.requests[0]


def test_tensors_travel_in_their_binary_form(is_async: bool) -> None:
    head = json.dumps(
        {
            "model_name": "m",
            "model_version": "2",
            "id": "7",
            "outputs": [
                {
                    "name": "y",
                    "datatype": "FP32",
                    "shape": [1, 2],
                    "parameters": {"binary_data_size": 8},
                },
                {"name": "z", "datatype": "BYTES", "shape": [1], "data": ["a"]},
            ],
        }
    ).encode()
    body = head + np.array([1.5, 2], "<f4").tobytes()
    reply = answer(200, body, f"Inference-Header-Content-Length: {len(head)}")
    with scripted_server(reply) as server:
        (found,) = Either(server.address, is_async=is_async)(
            lambda c: c.infer("m", {"x": np.ones((2, 1), "i4"), "t": ["a"]}, version="2", id="7")
        )
    assert (found.model_name, found.model_version, found.id) == ("m", "2", "7")
    assert found.outputs["y"].tolist() == [[1.5, 2.0]]
    assert found.outputs["z"].tolist() == [b"a"]
    (request,) = server.requests
    assert request.startswith(b"POST /v2/models/m/versions/2/infer HTTP/1.1")
    sent = request.partition(b"\r\n\r\n")[2]
    assert sent.endswith(np.ones(2, "<i4").tobytes() + b"\x01\x00\x00\x00a")


def test_an_input_that_is_no_tensor_is_named(is_async: bool) -> None:
    client = Either("http://127.0.0.1:1", is_async=is_async)
    with pytest.raises(ValueError, match="input x is no tensor"):
        client(lambda c: c.infer("m", {"x": np.array([1j])}))


def test_models_are_registered_scaled_and_removed(is_async: bool) -> None:
    told = answer(200, b'{"status": "done"}')
    with scripted_server(*[told] * 4) as server:
        found = Either(server.address, is_async=is_async)(
            lambda c: c.models.register("a.mar", model_name="m", batch_size=4, handler=None),
            lambda c: c.models.scale("m", 2, version="1", retry=False),
            lambda c: c.models.set_default("m", "1"),
            lambda c: c.models.unregister("m", "1"),
        )
    assert found == ["done"] * 4
    assert [request.split(b" HTTP")[0] for request in server.requests] == [
        b"POST /models",
        b"PUT /models/m/1?min_worker=2&max_worker=2&synchronous=true&retry=false",
        b"PUT /models/m/1/set-default",
        b"DELETE /models/m/1",
    ]
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2]) == {
        "url": "a.mar",
        "initial_workers": 1,
        "synchronous": True,
        "model_name": "m",
        "batch_size": 4,
    }


DESCRIBED = {"modelName": "m", "minWorkers": 1, "maxWorkers": 1, "batchSize": 1, "workers": []}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], r"is not a model's description: \[\]"),
        (None, "is not a model's description: None"),
        (DESCRIBED | {"minWorkers": 1e999}, "is not a model's description"),
        (DESCRIBED | {"workers": [5]}, "is not a model's description"),
        ({"models": 5}, "is not a list of models: {'models': 5}"),
        ({"models": [{"modelName": "m"}], "nextPageToken": 0}, "has no end: 1 names so far"),
    ],
    ids=str,
)
def test_what_another_server_answers_is_told(document: object, said: str) -> None:
    is_list = isinstance(document, dict) and "models" in document
    with (
        scripted_server(answer(200, json.dumps(document).encode())) as server,
        pytest.raises(ServerRefused, match=said),
    ):
        Either(server.address, is_async=False)(
            lambda c: c.models.names() if is_list else c.models.wait("m")
        )


def test_the_list_of_one_that_torchserve_describes_a_model_by_is_its_description() -> None:
    with scripted_server(answer(200, json.dumps([DESCRIBED]).encode())) as server:
        (found,) = Either(server.address, is_async=False)(lambda c: c.models.describe("m"))
    assert found == DESCRIBED


def worker(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, **more}


def test_a_model_is_waited_for_until_its_workers_are_ready(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mms.client.models._LOOK_S", 0.001)

    def state(*workers: dict[str, Any], **more: Any) -> bytes:
        return answer(200, json.dumps({**DESCRIBED, "workers": workers, **more}).encode())

    states = [answer(404), state(worker("LOADING")), state(worker("READY"))]
    seen: list[Any] = []
    with scripted_server(*states) as server:
        (found,) = Either(server.address, is_async=is_async)(
            lambda c: c.models.wait("m", on_progress=seen.append)
        )
    assert found["workers"] == [{"status": "READY"}]
    assert len(seen) == 2
    failed = state(worker("LOADING", reason="no weights; next start"), loadError="no weights")
    with scripted_server(failed) as server, pytest.raises(ServerRefused, match="no weights"):
        Either(server.address, is_async=is_async)(lambda c: c.models.wait("m"))
    with (
        scripted_server(*[answer(404)] * 200) as server,
        pytest.raises(DeadlineExceeded, match=r"was not registered within 0\.05 s"),
    ):
        Either(server.address, is_async=is_async)(lambda c: c.models.wait("m", timeout_s=0.05))


def test_lines_of_models_are_followed(is_async: bool) -> None:
    line = {"time": "t", "level": "INFO", "modelName": "m", "worker": "w", "stream": "stdout"}
    line |= {"logger": "l", "message": "hi", "number": 1}
    text = json.dumps(line).encode() + b"\n"
    with scripted_server(chunked(text[:9], text[9:] + b'\n{"lost": true}\n')) as server:
        (found,) = Either(server.address, is_async=is_async)(
            lambda c: c.models.follow_logs("m", lines=5)
        )
    assert found == [LogLine("t", "INFO", "m", "w", "stdout", "l", "hi"), LogLine(is_gap=True)]
    assert server.requests[0].startswith(b"GET /models/m/logs?lines=5&follow=true ")


def test_both_clients_have_the_same_methods() -> None:
    for blocking, other in ((Client, AsyncClient), (Models, AsyncModels)):
        names = {name for name in vars(blocking) if not name.startswith("_")}
        assert names == {name for name in vars(other) if not name.startswith("_")}
        for name in names:
            parameters = inspect.signature(getattr(blocking, name)).parameters
            assert str(parameters) == str(inspect.signature(getattr(other, name)).parameters)


def test_threads_share_a_client() -> None:
    # The server serves one connection after the other.
    replies = [answer(200, b"1", is_kept=False)] * 8
    with scripted_server(*replies) as server, Client(server.address) as client:
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                client.call("GET", "/ping")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert (failures, len(server.requests)) == ([], 8)


def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    replies = (answer(200, b"1"), None, answer(200, b"2"))
    with scripted_server(*replies) as server, Client(server.address, retries=0, key="") as client:
        client.predict("m")
        (connection,) = client._connections._idle[client.place.inference]
        # The server ends the connection instead of answering, as one that has waited too long.
        connection.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.sock.recv(1) == b""
        # As in a process that has many files open.
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        number = fcntl.fcntl(connection.sock, fcntl.F_DUPFD, min(1500, most - 10))
        connection.sock.close()
        connection.sock = socket.socket(fileno=number)
        assert client.predict("m").value == 2
    assert server.connections == 2


def test_a_name_of_bytes_that_are_no_text_is_sent_as_it_is() -> None:
    assert path_of("models", b"a\xff".decode("utf-8", "surrogateescape")) == "/models/a%FF"


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="http://host:port, https://host:port or unix:/path"):
        Client("localhost:8080")
    with pytest.raises(ValueError, match="the key has characters that no header can have"):
        Client(key="a\nb")
    with pytest.raises(ValueError, match="client_certificate: gone is not a PEM file"):
        Client("https://localhost:8443", client_certificate="gone")


def test_importing_the_client_brings_nothing_heavy() -> None:
    heavy = ("aiohttp", "numpy", "mms.settings", "asyncio", "rich")
    code = (
        "import sys, mms.client\nmms.client.Client\n"
        f"sys.exit(', '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
