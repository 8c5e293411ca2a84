"""`mms`: what it asks a server, what it prints, and its exit codes."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from mms.cli.mms import main
from mms.cli.multi_model_server import main as multi_model_server
from mms.cli.troubleshooting import see

from .fake_server import FakeServer, fake_server

ROOT = Path(__file__).resolve().parents[2]
WORKER = {"id": "9000-a", "status": "READY", "gpu": False, "pid": 7}


def described(name: str, version: str | None, **more: Any) -> dict[str, Any]:
    document = {"modelName": name, "modelUrl": f"{name}.mar", "minWorkers": 1, "maxWorkers": 2}
    document |= {"batchSize": 4, "workers": [WORKER], "defaultVersion": True}
    if version is not None:
        document["modelVersion"] = version
    return document | more


@pytest.fixture
def server(folder: Path) -> Iterator[FakeServer]:
    """A server where the configuration of the current folder says that it is."""
    with fake_server(folder / "s") as server:
        (folder / "config.properties").write_text(
            f"inference_address={server.address}\nmanagement_address={server.address}\n"
        )
        yield server


def run(*argv: str, data: bytes | None = None) -> Result:
    result = CliRunner().invoke(main, argv, input=data)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# Models


def test_what_a_server_says_does_not_drive_the_terminal(server: FakeServer) -> None:
    driving = "no\nsuch\x1b]0;title\x07 model\r"
    shown = "no\nsuch\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER} model\N{REPLACEMENT CHARACTER}"
    error = {"code": 404, "type": "Gone", "message": driving}
    server.answers = {
        "GET /models/m": (404, error),
        "DELETE /models/m": (200, {"status": driving}),
    }
    assert f"404 Gone: {shown}\n" in run("models", "describe", "m").output
    assert run("models", "unregister", "m").output == f"{shown}\n"


def test_models_are_listed_with_all_their_versions(server: FakeServer) -> None:
    names = [{"modelName": "a b"}, {"modelName": "gone"}, {"modelName": "z"}]
    server.answers = {
        "GET /models": (200, {"models": names}),
        "GET /models/a%20b/all": (
            200,
            [described("a b", "1"), described("a b", "2", defaultVersion=False, workers=[])],
        ),
        # AWS's server knows no versions.
        "GET /models/z": (200, described("z", None)),
    }
    result = run("models", "list")
    assert result.exit_code == 0
    assert [line.split() for line in result.output.splitlines()] == [
        ["MODEL", "VERSION", "DEFAULT", "READY", "WORKERS", "BATCH", "URL"],
        ["a", "b", "1", "yes", "1", "1-2", "4", "a", "b.mar"],
        ["a", "b", "2", "no", "0", "1-2", "4", "a", "b.mar"],
        ["z", "-", "yes", "1", "1-2", "4", "z.mar"],
    ]
    listed = json.loads(run("models", "list", "--json").output)
    assert [(m["modelName"], m.get("modelVersion")) for m in listed] == [
        ("a b", "1"),
        ("a b", "2"),
        ("z", None),
    ]


def test_the_decisions_of_a_models_scaling_are_shown_with_their_reasons(server: FakeServer) -> None:
    decision = {"time": "now", "decision": "up", "before": 1, "after": 2, "wanted": 3}
    document = {
        "modelName": "m",
        "isScaledByLoad": True,
        "decisions": [{**decision, "reason": "requests wait 80 ms"}],
    }
    server.answers = {
        "GET /models/m/scaling": (200, document),
        "GET /models/m/2/scaling": (200, {**document, "decisions": []}),
    }
    output = run("models", "scaling", "m").output
    assert output.splitlines()[-1].split() == [
        *("now", "1", "->", "2", "3", "requests", "wait", "80", "ms")
    ]
    assert json.loads(run("models", "scaling", "m", "--json").output) == document
    assert "WHY" not in run("models", "scaling", "m", "--version", "2").output


def test_a_list_of_several_pages_is_followed_to_its_end(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mms.client import Answer
    from mms.client.answer import Call
    from mms.client.connections import Connections

    pages = {
        "0": {"nextPageToken": "1", "models": [{"modelName": "a"}]},
        "1": {"nextPageToken": "2", "models": [{"modelName": "b"}]},
        # Behind an empty page nothing follows, whatever its token says.
        "2": {"nextPageToken": "2", "models": []},
    }

    def send(self: Connections, call: Call) -> Answer:
        url = urlsplit(call.path)
        if url.path == "/models":
            token = parse_qs(url.query)["next_page_token"][0]
            return Answer(200, {}, json.dumps(pages[token]).encode())
        return Answer(200, {}, json.dumps([described(url.path.split("/")[2], "1")]).encode())

    monkeypatch.setattr(Connections, "send", send)
    listed = json.loads(run("models", "list", "--json").output)
    assert [model["modelName"] for model in listed] == ["a", "b"]


def test_a_server_without_models_says_how_to_add_one(server: FakeServer) -> None:
    server.answers["GET /models"] = (200, {"models": []})
    assert run("models", "list").output == "No models. `mms models register ARCHIVE` adds one.\n"


def test_a_model_is_described_with_its_workers_and_what_failed(server: FakeServer) -> None:
    queue = {"remainingCapacity": 98, "pendingRequests": 2}
    more = {"loadError": "no weights", "loadTraceback": "Traceback ...", "jobQueueStatus": queue}
    more["workers"] = [{**WORKER, "loadTimes": {"process": 0.1, "import": 0.2}}]
    server.answers["GET /models/m/2"] = (200, described("m", "2", **more))
    result = run("models", "describe", "m", "--version", "2")
    rows = [line.split() for line in result.output.splitlines()]
    assert ["modelName", "m"] in rows
    assert ["waitingRequests", "2"] in rows
    assert ["9000-a", "READY", "no", "7", *["process", "0.1,", "import", "0.2"]] in rows
    assert result.output.endswith("\nTraceback ...\n")
    document = json.loads(run("models", "describe", "m", "--version", "2", "--json").output)
    assert document == described("m", "2", **more)


def test_a_component_is_registered_with_its_parameters(server: FakeServer) -> None:
    server.answers["POST /models"] = (200, {"status": "Workers scaled"})
    argv = ["--prepackaged", "sklearn", "--model-uri", "s3://b/iris", "--row-batching"]
    assert run("models", "register", *argv, "--param", "method=predict:STRING").exit_code == 0
    assert json.loads(server.asked[0].body) == {
        "initial_workers": 1,
        "synchronous": True,
        "prepackaged": "sklearn",
        "model_uri": "s3://b/iris",
        "row_batching": True,
        "parameters": [{"name": "method", "value": "predict", "type": "STRING"}],
    }


def test_a_function_is_registered_by_its_document(server: FakeServer, folder: Path) -> None:
    server.answers["POST /models"] = (200, {"status": "Workers scaled"})
    (folder / "f.yaml").write_text("graph: {kind: router}")
    argv = ["--serving-spec", "f.yaml", "--class-args", '{"a": [1]}', "--gpu-ids", "0,2"]
    assert run("models", "register", *argv, "--request-timeout", "0.5").exit_code == 0
    assert json.loads(server.asked[0].body) == {
        "initial_workers": 1,
        "synchronous": True,
        "serving_spec": {"graph": {"kind": "router"}},
        "class_args": {"a": [1]},
        "gpu_ids": "0,2",
        "request_timeout": 0.5,
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["scale", "m"], "Give WORKERS, or what is to change, such as --batch-size."),
        (["scale", "m", "--max", "2"], "Give WORKERS"),
        (["register", "a.mar", "--class-args", "[1]"], "'[1]' is not a JSON object"),
        (["register", "--serving-spec", "none.yaml"], "none.yaml cannot be read: No such file"),
    ],
)
def test_flags_that_cannot_be_are_a_misuse(
    server: FakeServer, argv: list[str], message: str
) -> None:
    result = run("models", *argv)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert server.asked == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "Give ARCHIVE, or --prepackaged with --model-uri"),
        (["--prepackaged", "sklearn"], "Give ARCHIVE"),
        (["a.mar", "--param", "n=x:INT"], "the value 'x' is not a valid INT"),
    ],
)
def test_a_registration_that_cannot_be_is_a_misuse(
    server: FakeServer, argv: list[str], message: str
) -> None:
    result = run("models", "register", *argv)
    assert result.exit_code == 2
    assert message in result.output
    assert server.asked == []


def test_a_model_is_registered_with_what_is_given_and_nothing_else(server: FakeServer) -> None:
    server.answers["POST /models"] = (200, {"status": "Workers scaled"})
    assert run("models", "register", "a.mar").output == "Workers scaled\n"
    argv = ["--name", "n", "--workers", "0", "--batch-size", "8", "--response-timeout", "9"]
    run("models", "register", "b.mar", *argv, "--no-preload", "--no-wait")
    first, second = server.asked
    assert first.headers["Content-Type"] == "application/json"
    assert json.loads(first.body) == {"url": "a.mar", "initial_workers": 1, "synchronous": True}
    assert json.loads(second.body) == {
        "url": "b.mar",
        "model_name": "n",
        "initial_workers": 0,
        "batch_size": 8,
        "response_timeout": 9,
        "preload_model": False,
        "synchronous": False,
    }


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        (["scale", "m", "2"], "PUT /models/m?min_worker=2&max_worker=2&synchronous=true"),
        (
            ["scale", "m", "0", "--max", "3", "--version", "1/0", "--no-wait"],
            "PUT /models/m/1%2F0?min_worker=0&max_worker=3&synchronous=false",
        ),
        (
            ["scale", "m", "--batch-size", "8", "--no-retry", "--response-timeout", "2"],
            "PUT /models/m?synchronous=true&batch_size=8&retry=false&response_timeout=2",
        ),
        (["unregister", "a b"], "DELETE /models/a%20b"),
        (["unregister", "m", "--version", "2"], "DELETE /models/m/2"),
        (["set-default", "m", "2"], "PUT /models/m/2/set-default"),
    ],
)
def test_a_change_is_asked_for_and_its_outcome_is_printed(
    server: FakeServer, argv: list[str], asked: str
) -> None:
    server.answers[asked.partition("?")[0]] = (200, {"status": "As you say"})
    result = run("models", *argv)
    assert (result.exit_code, result.output) == (0, "As you say\n")
    assert [f"{a.method} {a.path}" for a in server.asked] == [asked]
    assert json.loads(run("models", *argv, "--json").output) == {"status": "As you say"}


@pytest.mark.parametrize(
    "words",
    [
        *("models describe he", "predict he", "logs he", "models scale --json he", "top he"),
        *("top other he", "bench he", "bench run he", "tune he", "sample he", "profile he"),
    ],
)
def test_a_shell_completes_the_names_of_models(server: FakeServer, words: str) -> None:
    names = ["hello", "help", "other"]
    server.answers["GET /models"] = (200, {"models": [{"modelName": name} for name in names]})
    variables = {
        "_MMS_COMPLETE": "bash_complete",
        "COMP_WORDS": f"mms {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    completed = CliRunner().invoke(main, prog_name="mms", env=variables)
    assert completed.output.split() == ["plain,hello", "plain,help"]


def test_without_a_server_a_shell_completes_no_names(folder: Path) -> None:
    (folder / "config.properties").write_text(f"management_address=unix:{folder}/none")
    variables = {
        "_MMS_COMPLETE": "bash_complete",
        "COMP_WORDS": "mms predict he",
        "COMP_CWORD": "2",
    }
    completed = CliRunner().invoke(main, prog_name="mms", env=variables)
    assert (completed.output.strip(), completed.exit_code) == ("", 0)


def test_a_model_is_waited_for(server: FakeServer) -> None:
    server.answers["GET /models/m"] = (200, described("m", "1"))
    result = run("models", "wait", "m")
    assert (result.exit_code, result.output) == (0, "Model m is ready.\n")
    assert json.loads(run("models", "wait", "m", "--json").output)["modelName"] == "m"
    late = run("models", "wait", "other", "--timeout", "0.1")
    assert late.exit_code == 3
    assert late.stderr == "Error: Model other was not registered within 0.1 s (--timeout).\n"


def test_the_versions_of_a_model_are_listed(server: FakeServer) -> None:
    server.answers["GET /models/m/all"] = (200, [described("m", "1"), described("m", "2")])
    rows = [line.split()[:2] for line in run("models", "versions", "m").output.splitlines()]
    assert rows == [["MODEL", "VERSION"], ["m", "1"], ["m", "2"]]


# Predictions


@pytest.mark.parametrize(
    ("name", "options", "content_type"),
    [
        ("x.json", [], "application/json"),
        ("x.txt", [], "text/plain"),
        ("x.jpg", [], "image/jpeg"),
        ("x", [], "application/octet-stream"),
        ("x.txt", ["--content-type", "a/b"], "a/b"),
    ],
)
def test_a_file_is_sent_with_its_type(
    server: FakeServer, folder: Path, name: str, options: list[str], content_type: str
) -> None:
    (folder / name).write_bytes(b"\x00in")
    server.answers["POST /predictions/m"] = (200, b"\xff\x00out")
    result = run("predict", "m", name, *options)
    assert result.stdout_bytes == b"\xff\x00out"
    (asked,) = server.asked
    assert (asked.headers["Content-Type"], asked.body) == (content_type, b"\x00in")


@pytest.mark.parametrize("argv", [[], ["-"]])
def test_standard_input_is_sent_where_no_file_is_named(server: FakeServer, argv: list[str]) -> None:
    server.answers["POST /predictions/m/1.0"] = (200, b"out")
    result = run("predict", "m", *argv, "--version", "1.0", data=b"in")
    assert (result.output, server.asked[0].body) == ("out", b"in")


def test_a_failed_prediction_is_an_error(server: FakeServer) -> None:
    error = {"code": 503, "type": "PredictionException", "message": "Prediction failed"}
    server.answers["POST /predictions/m"] = (503, error)
    result = run("predict", "m", data=b"in")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: {server.address}: 503 PredictionException: Prediction failed\n"


# Health and metrics


@pytest.mark.parametrize(
    ("status", "document", "exit_code", "told"),
    [
        (200, {"status": "Healthy"}, 0, "Healthy"),
        (200, {"Status": "Healthy"}, 0, "Healthy"),
        (200, {"status": "Partial Healthy"}, 1, "Partial Healthy"),
        (503, {"status": "Unhealthy"}, 1, "Unhealthy"),
    ],
)
def test_only_health_is_exit_code_0(
    server: FakeServer, status: int, document: dict[str, str], exit_code: int, told: str
) -> None:
    server.answers["GET /ping"] = (status, document)
    result = run("ping")
    assert (result.exit_code, result.output) == (exit_code, f"{told}\n")
    assert json.loads(run("ping", "--json").output) == document


METRICS = b"""# HELP a_total Help.
# TYPE a_total counter
a_total{model="m"} 3.0
# HELP b Help.
# TYPE b gauge
b 0.5
"""


def test_metrics_are_printed_as_the_server_gives_them(server: FakeServer) -> None:
    server.answers["GET /metrics"] = (200, METRICS)
    assert run("metrics").output.encode() == METRICS


def test_metrics_can_be_chosen_by_a_part_of_their_names(server: FakeServer) -> None:
    server.answers["GET /metrics"] = (200, METRICS)
    rows = [line.split() for line in run("metrics", "a_t").output.splitlines()]
    assert rows == [["METRIC", "LABELS", "VALUE"], ["a_total", "model=m", "3"]]
    assert json.loads(run("metrics", "b", "--json").output) == [
        {"name": "b", "labels": {}, "value": 0.5}
    ]
    none = run("metrics", "zzz")
    assert (none.exit_code, none.stderr) == (1, "Error: No metric has 'zzz' in its name.\n")


# Where the server is


def test_the_address_of_a_flag_beats_the_file(server: FakeServer, folder: Path) -> None:
    with fake_server(folder / "other") as other:
        other.answers["GET /ping"] = (200, {"status": "Healthy"})
        assert run("ping", "--inference", other.address).exit_code == 0
    assert (len(other.asked), len(server.asked)) == (1, 0)


def test_where_no_server_answers_the_error_says_how_to_start_one(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    result = run("ping", "--inference", address)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        f"Error: No server answers at {address} (Connection refused). Start one with "
        "`mms serve PATH` or `multi-model-server --start`, or name its address with --inference.\n"
        f"see {see('No server answers at')}\n"
    )
    missing = run("models", "list", "--management", f"unix:{folder}/gone")
    assert missing.exit_code == 3
    assert f"unix:{folder}/gone (No such file or directory)" in missing.stderr
    assert "--management" in missing.stderr


def test_a_server_that_does_not_answer_in_time_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = run("ping", "--inference", address, "--timeout", "0.05")
    assert result.exit_code == 3
    assert result.stderr == (
        f"Error: {address} has not answered within 0.05 s (--timeout).\n"
        f"see {see('has not answered within')}\n"
    )


def test_another_program_at_the_address_is_told(server: FakeServer) -> None:
    server.answers["GET /models"] = (200, b"<html>")
    result = run("models", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the answer is not JSON: '<html>'" in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://h", "http://h:0"])
def test_an_address_that_is_none_is_a_misuse(url: str) -> None:
    result = run("ping", "--inference", url)
    assert result.exit_code == 2
    assert "--inference" in result.stderr


def test_a_wrong_file_in_the_current_folder_is_told(folder: Path) -> None:
    (folder / "config.properties").write_text("inference_address=nowhere")
    result = run("ping")
    assert result.exit_code == 1
    assert "config.properties:1: inference_address=nowhere" in result.stderr


@pytest.fixture
def tls_address(folder: Path) -> Iterator[str]:
    """A server with a certificate that nobody has signed."""
    from mms.settings import Settings
    from mms.sockets.tls import make_context

    context = make_context(Settings())
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(4096)
                    body = b'{"status": "Healthy"}'
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                    wrapped.sendall(head.encode() + body)
            except (ssl.SSLError, ConnectionError):
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    thread.join()
    listener.close()


def test_an_untrusted_certificate_needs_leave(tls_address: str) -> None:
    refused = run("ping", "--inference", tls_address)
    assert refused.exit_code == 3
    assert f"The certificate of {tls_address} is not trusted" in refused.stderr
    assert "--insecure" in refused.stderr
    assert run("ping", "--inference", tls_address, "--insecure").output == "Healthy\n"


# Settings


def test_settings_are_shown_with_where_they_come_from(folder: Path) -> None:
    path = folder / "config.properties"
    path.write_text("drain_timeout_s=5\nkeystore_pass=secret\nqueue=1\n")
    result = run("settings", "--changed")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows == [
        ["SETTING", "VALUE", "UNIT", "FROM"],
        ["drain_timeout_s", "5.0", "seconds", f"{path}:1"],
        ["keystore_pass", "(hidden)", f"{path}:2"],
    ]
    assert result.stderr.startswith(f"warning: {path}:3: unknown setting queue")
    everything = {row["name"]: row for row in json.loads(run("settings", "--json").stdout)}
    assert everything["max_connections"] == {
        "name": "max_connections",
        "value": 20000,
        "unit": "",
        "source": "default",
    }
    assert everything["keystore_pass"]["value"] == "(hidden)"


def test_settings_of_a_named_file_are_shown(folder: Path) -> None:
    (folder / "other").write_text("job_queue_size=3")
    (row,) = json.loads(run("settings", "--config", "other", "--changed", "--json").stdout)
    assert (row["value"], row["source"]) == (3, f"{folder / 'other'}:1")
    missing = run("settings", "--config", "gone")
    assert missing.exit_code == 2
    assert "gone is not a file" in missing.stderr


# All together


def test_the_commands_work_against_a_server(folder: Path) -> None:
    model = folder / "store" / "hello"
    model.mkdir(parents=True)
    (model / "hello.py").write_text(
        "def handle(data, context):\n    return data and [str(len(d['body'])) for d in data]\n"
    )
    (folder / "config.properties").write_text(
        f"inference_address=unix:{folder}/i\nmanagement_address=unix:{folder}/m\nmodel_store=store\n"
    )
    assert multi_model_server(["--start"]) == 0
    try:
        assert run("ping").output == "Healthy\n"
        argv = ["--name", "hello", "--handler", "hello:handle"]
        assert run("models", "register", "hello", *argv).output == "Workers scaled\n"
        assert run("predict", "hello", data=b"four").output == "4"
        assert run("models", "scale", "hello", "2").output == "Workers scaled\n"
        assert "hello" in run("models", "list").output
        assert "mms_requests_total" in run("metrics").output
        assert run("models", "unregister", "hello").output == 'Model "hello" unregistered\n'
        assert run("predict", "hello", data=b"four").exit_code == 1
    finally:
        assert multi_model_server(["--stop"]) == 0


def test_help_comes_at_once() -> None:
    heavy = ("rich", "http.client", "prometheus_client", "mms.settings", "numpy", "aiohttp")
    code = (
        "import sys\nfrom mms.cli.mms import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(set({heavy!r}) & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
