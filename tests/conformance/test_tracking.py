"""Records of requests to handlers and components: the parameter tracking, the streams, drift, metrics."""

from __future__ import annotations

import datetime
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.client import in_parallel
from support.server import Server, manifest, unique_name
from support.waiting import eventually

pytestmark = pytest.mark.better_than_mms

HANDLER = """
import json, time

def handle(data, context):
    if data is None:
        return None
    answers = []
    for item in data:
        body = item.get("body")
        if body == {"sleep": True}:
            time.sleep(1.2)
        if body == {"fail": True}:
            raise ValueError("asked to")
        is_numbers = isinstance(body, list) and not isinstance(body[0], (list, str))
        answers.append([sum(body)] if is_numbers else {"size": len(body)})
    return answers
"""
WHEN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")


@pytest.fixture
def model(server: Server) -> str:
    name = unique_name("tracked")
    server.write_model(name, HANDLER, manifest(name))
    return name


def register(server: Server, model: str, tracking: object, **parameters: object) -> None:
    text = tracking if isinstance(tracking, str) else json.dumps(tracking)
    reply = server.register(
        model,
        model_name=model,
        initial_workers=1,
        synchronous="true",
        tracking=text,
        **parameters,
    )
    assert reply.status == 200, reply


def predict(server: Server, model: str, body: object) -> Any:
    reply = server.inference.post_json(f"/predictions/{model}", body)
    assert reply.status == 200, reply
    return reply.json()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def records(path: Path, count: int) -> list[dict[str, Any]]:
    return eventually(
        f"{count} records", lambda: found if len(found := read(path)) >= count else None
    )


@pytest.mark.edge
def test_a_request_has_a_record_of_what_was_asked_and_answered(
    server: Server, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    register(server, model, {"path": str(path), "labels": {"team": "a"}, "function_uri": "p/f"})
    before = datetime.datetime.now(datetime.timezone.utc)
    assert predict(server, model, [1, 2]) == [3]
    (record,) = records(path, 1)
    request_id = record["request"].pop("id")
    assert len(request_id) == 36
    when = record.pop("when")
    assert WHEN.fullmatch(when)
    assert abs(datetime.datetime.fromisoformat(when) - before) < datetime.timedelta(seconds=20)
    assert 0 < record.pop("microsec") < 5_000_000
    assert record.pop("host")
    assert isinstance(record.pop("worker"), int)
    assert record == {
        "class": "handle",
        "model": model,
        "version": "",
        "function_uri": "p/f",
        "labels": {"team": "a"},
        "request": {"inputs": [1, 2]},
        "op": "predict",
        "resp": {"id": request_id, "outputs": [3]},
    }
    server.unregister(model)


def test_microseconds_count_whole_seconds_too(server: Server, model: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    register(server, model, str(path))
    predict(server, model, {"sleep": True})
    (record,) = records(path, 1)
    assert 1_200_000 <= record["microsec"] < 6_000_000
    server.unregister(model)


def test_sampling_leaves_records_out_and_changes_no_answer(
    server: Server, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    register(server, model, {"path": str(path), "sample": 3})
    assert [predict(server, model, [number]) for number in range(7)] == [[n] for n in range(7)]
    # The end of a model writes what waits.
    server.unregister(model)
    assert [record["request"]["inputs"] for record in read(path)] == [[2], [5]]


def test_requests_can_share_a_record_and_the_end_writes_the_last_that_is_not_full(
    server: Server, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    register(server, model, {"path": str(path), "batch": 3})
    for number in range(4):
        predict(server, model, [number])
    server.unregister(model)
    first, last = read(path)
    assert first["headers"] == ["request", "op", "resp", "when", "microsec", "metrics"]
    assert [row[0]["inputs"] for row in first["values"]] == [[0], [1], [2]]
    assert [row[2]["outputs"] for row in last["values"]] == [[3]]


@pytest.mark.edge
def test_an_error_has_a_record_however_rare_samples_are(
    server: Server, model: str, tmp_path: Path
) -> None:
    path, errors = tmp_path / "records.jsonl", tmp_path / "errors.jsonl"
    register(server, model, {"path": str(path), "sample": 1000, "error_stream": str(errors)})
    reply = server.inference.post_json(f"/predictions/{model}", {"fail": True})
    assert reply.status == 503
    (record,) = records(path, 1)
    assert (record["error"], record["status"]) == ("Prediction failed", 503)
    assert record["request"]["inputs"] == [{"fail": True}]
    assert "resp" not in record
    (error,) = records(errors, 1)
    assert error["source"] == "_handler"
    assert error["message"] == "Prediction failed"
    assert error["event"]["id"] == record["request"]["id"]
    assert error["args"]["model"] == model
    server.unregister(model)


def test_each_request_of_a_batch_has_its_record(server: Server, model: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    register(server, model, str(path), batch_size=4, max_batch_delay=5000, batch_policy="fixed")
    calls = [lambda number=number: predict(server, model, [number, 1]) for number in range(4)]
    assert sorted(in_parallel(calls)) == [[1], [2], [3], [4]]
    found = records(path, 4)
    assert sorted(record["request"]["inputs"][0] for record in found) == [0, 1, 2, 3]
    for record in found:
        assert record["resp"]["outputs"] == [sum(record["request"]["inputs"])]
        assert record["resp"]["id"] == record["request"]["id"]
    server.unregister(model)


@pytest.mark.edge
def test_bytes_and_large_bodies_are_told_by_their_size(
    server: Server, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    register(server, model, str(path))
    large = json.dumps(["x" * 700_000]).encode()
    for body, media_type in ((b"\x89PNG\0\xff", "image/png"), (large, "application/json")):
        reply = server.inference.post(
            f"/predictions/{model}", body, headers={"Content-Type": media_type}
        )
        assert reply.status in (200, 503)
    found = {r["request"]["content_type"]: r["request"]["size_bytes"] for r in records(path, 2)}
    assert found == {"image/png": 6, "application/json": len(large)}
    server.unregister(model)


def test_models_share_a_file_and_each_is_counted(
    server: Server, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    other = unique_name("tracked")
    server.write_model(other, HANDLER, manifest(other))
    register(server, model, str(path))
    register(server, other, str(path))
    predict(server, model, [1])
    predict(server, other, [1])
    predict(server, other, [2])
    records(path, 3)
    text = server.management.get("/metrics").text
    for name, count in ((model, 1), (other, 2)):
        line = f'mms_tracking_records_written_total{{model="{name}",stream="records",version=""}} {count}.0'
        assert line in text
        assert f'mms_tracking_records_dropped_total{{model="{name}"' in text
        described = server.describe(name)["tracking"]
        assert described["records"] == {"written": count, "dropped": 0}
        assert described["path"] == str(path)
        server.unregister(name)


class _Inbox(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.records: list[dict[str, Any]] = []
        self.gate = threading.Event()


class _Post(BaseHTTPRequestHandler):
    server: _Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.gate.wait(20)
        self.server.records.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def inbox() -> Iterator[_Inbox]:
    with _Inbox() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.gate.set()
        found.shutdown()
        thread.join()


def test_an_endpoint_that_hangs_delays_no_prediction(
    server: Server, model: str, inbox: _Inbox
) -> None:
    register(server, model, f"http://127.0.0.1:{inbox.server_address[1]}/in")
    assert [predict(server, model, [number]) for number in range(50)] == [[n] for n in range(50)]
    assert inbox.records == []
    inbox.gate.set()
    server.unregister(model)
    assert [record["resp"]["outputs"] for record in inbox.records] == [[n] for n in range(50)]


def test_the_archive_can_ask_for_tracking_and_the_registration_can_refuse_it(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    name = unique_name("tracked")
    extensions = {"extensions": {"tracking": {"path": str(path)}}}
    server.write_model(name, HANDLER, manifest(name, model=extensions))
    with server.registered(name) as model:
        predict(server, model, [1])
        assert len(records(path, 1)) == 1
    with server.registered(name, tracking="off") as model:
        predict(server, model, [1])
        assert "tracking" not in server.describe(model)
    assert len(read(path)) == 1


@pytest.mark.parametrize(
    ("tracking", "words"),
    [
        ("ftp://host/x", "unsupported stream path ftp://host/x"),
        ('{"path": "/tmp/x", "samples": 3}', "tracking has no member samples"),
        ('{"path": "/tmp/x", "sample": 0}', "sample is 0, but must be a whole number, from 1"),
        ("{", "tracking is not valid JSON"),
        ("/dev/null/records.jsonl", "/dev/null"),
    ],
)
def test_tracking_that_cannot_be_is_refused_and_leaves_no_model(
    server: Server, model: str, tracking: str, words: str
) -> None:
    reply = server.register(model, model_name=model, tracking=tracking)
    assert reply.status == 400
    assert words in reply.json()["message"]
    assert server.management.get(f"/models/{model}").status == 404


def test_a_stopped_server_has_written_its_records(servers: Any, tmp_path: Path) -> None:
    path = tmp_path / "{model}.jsonl"
    server = Server(servers.new_directory(), {"tracking": str(path)})
    server.write_model("mine", HANDLER, manifest("mine"))
    server.start()
    try:
        assert server.register("mine", model_name="mine", initial_workers=1).status == 200
        for number in range(200):
            predict(server, "mine", [number])
    finally:
        server.stop()
    found = read(tmp_path / "mine.jsonl")
    assert [record["resp"]["outputs"] for record in found] == [[n] for n in range(200)]


STATS = {
    "f0": {"hist": [[10, 10], [0, 1, 2]], "mean": 1.0},
    "f1": {"hist": [[10, 10], [0, 1, 2]], "mean": 1.0},
}


def test_drift_compares_the_newest_requests_with_the_reference_in_the_archive(
    server: Server, model: str
) -> None:
    folder = server.store / model
    (folder / "stats.json").write_text(json.dumps(STATS))
    register(server, model, {"path": "memory://", "reference": "stats.json"})
    for row in ([0.5, 0.5], [1.5, 7], [0.5, 8], [1.5, 9]):
        predict(server, model, [row])
    report = eventually(
        "4 requests",
        lambda: (
            found
            if (found := server.management.get(f"/models/{model}/drift").json())["requests"] == 4
            else None
        ),
    )
    by_name = {feature["name"]: feature for feature in report["features"]}
    assert by_name["f0"]["tvd"] == 0
    assert by_name["f0"]["status"] == "no drift"
    assert by_name["f1"]["tvd"] == pytest.approx(0.75)
    assert by_name["f1"]["status"] == "drift detected"
    assert report["reference"] == "stats.json"
    last = server.management.get(f"/models/{model}/drift?last=1").json()
    assert last["requests"] == 1
    assert {feature["name"]: feature["tvd"] for feature in last["features"]}["f1"] == 1.0
    server.unregister(model)


def test_drift_of_a_model_without_tracking_says_how_to_get_it(server: Server, model: str) -> None:
    with server.registered(model) as name:
        reply = server.management.get(f"/models/{name}/drift")
        assert reply.status == 400
        assert "register it with tracking=" in reply.json()["message"]
    assert server.management.get("/models/nobody/drift").status == 404


def test_workers_that_are_forked_from_a_loaded_process_are_tracked(
    server: Server, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    register(server, model, str(path), preload_model="true")
    predict(server, model, [1, 2])
    server.unregister(model)
    assert [record["resp"]["outputs"] for record in read(path)] == [[3]]


def test_a_component_is_tracked_by_the_rows_of_its_messages(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    name = unique_name("tracked")
    source = "class Doubler:\n    def predict(self, X, names, meta=None):\n        return X * 2\n"
    server.write_model(
        name,
        source,
        manifest(name, "service:Doubler", model={"extensions": {"interface": "seldon"}}),
    )
    body = {"url": name, "model_name": name, "initial_workers": 1, "tracking": {"path": str(path)}}
    reply = server.management.post_json("/models", body)
    assert reply.status == 200, reply
    message = {"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}}
    reply = server.inference.post_json(f"/seldon/default/{name}/api/v1.0/predictions", message)
    assert reply.status == 200, reply
    (record,) = records(path, 1)
    assert record["request"]["inputs"] == [[1, 2], [3, 4]]
    assert record["request"]["names"] == ["a", "b"]
    assert record["resp"]["outputs"] == [[2, 4], [6, 8]]
    assert (record["class"], record["op"]) == ("Doubler", "predict")
    server.unregister(name)
